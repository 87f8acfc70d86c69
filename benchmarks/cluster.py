"""Evaluations of L-BFGS on one and on two workers of a Dask cluster, in turns.

CPU time hardly depends on what else the machine does. On idle cores an evaluation takes that of the
busiest worker, plus that of this process, which is the client and the scheduler. The table shows
medians over all evaluations but the first ones, which load the code. With ``--threads``, the same
evaluations are also computed in this process by one and two threads: the machine's own limit.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from distributed import Client, LocalCluster

from sklstm import LSTMRegressor
from sklstm._training.cluster import current_cluster
from sklstm.interop.dask import workers

#: Wall time, CPU time of the busiest worker and CPU time of this process, for each evaluation.
Times = list[tuple[float, float, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--features", type=int, default=8)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", action="store_true")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(arguments.sequences, arguments.steps, arguments.features))
    y = X.mean(axis=(1, 2))
    print(arguments, flush=True)
    if arguments.threads:
        compare_threads(X, y, arguments.hidden, arguments.rounds)
    times: dict[int, Times] = {1: [], 2: []}
    with new_client(1) as one, new_client(2) as two:
        for k in range(arguments.rounds + 1):
            for n, client in ((1, one), (2, two)):
                found = evaluations(client, X, y, arguments.hidden)
                times[n] += found if k else []
        for client in (one, two):
            client.cluster.close()
    report(times)


def new_client(n_workers: int) -> Client:
    cluster = LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0")
    return Client(cluster)


def evaluations(client: Client, X: np.ndarray, y: np.ndarray, hidden: int) -> Times:
    """The times of the evaluations of a short fit."""
    reg = LSTMRegressor(hidden, solver="lbfgs", max_fun=3, tol=0, random_state=0)
    times: Times = []
    with workers(client), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster: Any = current_cluster.get()
        keep = cluster.keep
        cluster.keep = lambda parts: with_times(client, keep(parts), times)
        reg.fit(X, y)
    return times


def compare_threads(X: np.ndarray, y: np.ndarray, hidden: int, rounds: int) -> None:
    """Print the wall times of short fits with one and two threads, in turns."""
    times: dict[int, list[float]] = {1: [], 2: []}
    for k in range(rounds + 1):
        for n_jobs, found in times.items():
            settings = {"solver": "lbfgs", "max_fun": 3, "tol": 0, "random_state": 0}
            reg = LSTMRegressor(hidden, n_jobs=n_jobs, **settings)
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                reg.fit(X, y)
            found += [time.perf_counter() - start] if k else []
    one, two = (median(found) for found in times.values())
    print(f"one process: {one:.2f} s a fit, two threads {two:.2f} s, {one / two:.2f} times as fast")


def with_times(client: Client, kept: Any, times: Times) -> Any:
    """The kept parts, whose map also measures its times."""
    kept.map = timed(client, kept.map, times)
    return kept


def timed(client: Client, map_parts: Callable[..., Any], times: Times) -> Callable[..., Any]:
    def measured(*arguments: Any) -> Any:
        before = client.run(time.process_time)
        wall, own = time.perf_counter(), time.process_time()
        results = map_parts(*arguments)
        wall, own = time.perf_counter() - wall, time.process_time() - own
        after = client.run(time.process_time)
        times.append((wall, max(after[k] - before[k] for k in after), own))
        return results

    return measured


def report(times: dict[int, Times]) -> None:
    medians = {
        n: [median(column) for column in zip(*rows, strict=True)] for n, rows in times.items()
    }
    for n, (wall, busiest, own) in medians.items():
        print(
            f"{n} worker(s), {len(times[n])} evaluations: wall {wall:.2f} s, CPU of the busiest "
            f"worker {busiest:.2f} s, of client and scheduler {own:.3f} s"
        )
    (wall_1, *one), (wall_2, *two) = medians[1], medians[2]
    print(f"wall time, as the machine was: {wall_1 / wall_2:.2f} times as fast on two")
    print(f"CPU time, as on idle cores: {sum(one) / sum(two):.2f} times as fast on two")


if __name__ == "__main__":
    main()
