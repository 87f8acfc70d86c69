"""Evaluations of L-BFGS on one and on two workers of a Dask cluster.

An evaluation is the difference of two fits, of 3 and of 13 evaluations, so that sending the data
does not count. CPU time of a worker hardly depends on what else the machine does. On idle cores an
evaluation takes that of the slowest worker, plus that of the client.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from distributed import Client, LocalCluster

from sklstm import LSTMRegressor
from sklstm.interop.dask import workers

FEW, MANY = 3, 13


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--features", type=int, default=8)
    parser.add_argument("--hidden", type=int, default=64)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(arguments.sequences, arguments.steps, arguments.features))
    y = X.mean(axis=(1, 2))
    print(f"{arguments}", flush=True)
    found = {n: measure(n, X, y, arguments.hidden) for n in (1, 2)}
    for n, (wall, client, busiest) in found.items():
        print(
            f"{n} worker(s): wall {wall:.2f} s, CPU of the busiest worker {busiest:.2f} s, "
            f"of the client {client:.3f} s"
        )
    (wall_1, client_1, busiest_1), (wall_2, client_2, busiest_2) = found[1], found[2]
    print(f"wall time, as the machine was: {wall_1 / wall_2:.2f} times as fast on two")
    ratio = (busiest_1 + client_1) / (busiest_2 + client_2)
    print(f"CPU time, as on idle cores: {ratio:.2f} times as fast on two")


def measure(n_workers: int, X: np.ndarray, y: np.ndarray, hidden: int) -> tuple[float, ...]:
    """Wall time, CPU time of the client and of the busiest worker, for one evaluation."""
    cluster = LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0")
    with cluster, Client(cluster) as client:
        fit(client, X, y, hidden, 2)  # loads the code
        few, many = (fit(client, X, y, hidden, n) for n in (FEW, MANY))
    n_evaluations = many[-1] - few[-1]
    return tuple((b - a) / n_evaluations for a, b in zip(few[:-1], many[:-1], strict=True))


def fit(
    client: Client, X: np.ndarray, y: np.ndarray, hidden: int, n_evaluations: int
) -> tuple[float, ...]:
    """The same times for a whole fit, and its number of evaluations."""
    reg = LSTMRegressor(hidden, solver="lbfgs", max_fun=n_evaluations, tol=0, random_state=0)
    calls: list[float] = []
    before = client.run(time.process_time)
    wall, own = time.perf_counter(), time.process_time()
    with workers(client), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counting(reg, calls).fit(X, y)
    wall, own = time.perf_counter() - wall, time.process_time() - own
    after = client.run(time.process_time)
    return wall, own, max(after[k] - before[k] for k in after), len(calls)


def counting(reg: LSTMRegressor, calls: list[float]) -> LSTMRegressor:
    """The estimator; each evaluation of a fit is added to ``calls``."""
    from sklstm._training.cluster import current_cluster

    cluster = current_cluster.get()
    assert cluster is not None
    original = cluster.map

    def counted(*arguments):  # type: ignore[no-untyped-def]
        calls.append(time.perf_counter())
        return original(*arguments)

    cluster.map = counted  # type: ignore[method-assign]
    return reg


if __name__ == "__main__":
    main()
