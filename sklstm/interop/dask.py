"""Training on the workers of a Dask cluster, and collections of Dask that do not fit into memory.

It needs two packages: ``pip install "dask[array,bag]" distributed``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

import numpy as np

from sklstm._training.cluster import current_cluster

__all__ = ["partial_fit", "predict", "workers"]

#: How often an evaluation is repeated if workers die.
MAX_ATTEMPTS = 10

#: Seconds between two attempts, times the number of attempts so far.
PAUSE = 0.2

#: Seconds to wait for a worker if none is left.
PATIENCE = 60


@contextmanager
def workers(client: Any) -> Iterator[None]:
    """Share the gradients of ``solver="lbfgs"`` over the workers of a Dask cluster.

    Each fit in the block sends the training data to the workers once, in parts. An evaluation of
    the objective then sends the parameters to each worker and gets gradients back. If a worker
    dies, its part is sent to another one, and the evaluation is repeated. Predictions are computed
    in this process.

    Parameters
    ----------
    client : distributed.Client
        The client of a cluster. Each thread of a worker computes one part. The workers need the
        same versions of sklstm and NumPy.

    Yields
    ------
    None

    Raises
    ------
    ImportError
        If ``distributed`` is not installed.
    TypeError
        If ``client`` is no synchronous client.

    See Also
    --------
    partial_fit : Training on data that do not fit into memory.

    Notes
    -----
    The workers compute the same shards as one process, and their gradients are added in the same
    order. So the result has the same bits, if the processors are alike. Fits with another solver
    raise an error in the block: their batches are too small to be shared.

    Examples
    --------
    >>> import numpy as np
    >>> from distributed import Client
    >>> from sklstm import LSTMRegressor
    >>> from sklstm.interop.dask import workers
    >>> X = np.random.default_rng(0).normal(size=(200, 10, 2))
    >>> reg = LSTMRegressor(8, solver="lbfgs", tol=0.1, random_state=0)
    >>> with Client(n_workers=2, threads_per_worker=1, dashboard_address=":0") as client:
    ...     with workers(client):
    ...         reg = reg.fit(X, X.sum(axis=(1, 2)))
    >>> reg.predict(X).shape
    (200,)
    """
    cluster = _Workers(client)
    token = current_cluster.set(cluster)
    try:
        import dask

        # Without a warning: the parameters of a large network are part of each evaluation.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "4 GB"}):
            yield
    finally:
        current_cluster.reset(token)


class _Workers:
    """The workers of a client."""

    def __init__(self, client: Any) -> None:
        distributed = _distributed()
        if not isinstance(client, distributed.Client) or client.asynchronous:
            raise TypeError(
                "client: expected a synchronous distributed.Client, got an object of type "
                f"{type(client).__name__}"
            )
        self._client = client

    @property
    def n_threads(self) -> int:
        return len(_threads(self._client))

    def keep(self, parts: Sequence[Any]) -> _KeptParts:
        return _KeptParts(self._client, parts)


def _threads(client: Any) -> list[str]:
    """The address of its worker for each thread of the cluster."""
    client.wait_for_workers(1, timeout=PATIENCE)
    found = sorted(client.nthreads().items())
    return [address for address, n_threads in found for _ in range(n_threads)]


class _KeptParts:
    """The parts of the data of one fit; this process keeps them too."""

    def __init__(self, client: Any, parts: Sequence[Any]) -> None:
        self._client = client
        self._parts = list(parts)
        self._kept: list[Any] = [None] * len(self._parts)  # the futures of the parts

    def map(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        for attempt in range(MAX_ATTEMPTS):
            complete = attempt == 0 and None not in self._kept
            if not complete:
                _threads(self._client)  # waits until there is one, or raises an error
            try:
                if not complete:
                    self._send_missing()
                return self._map_once(function, arguments)
            except _failures():
                if attempt + 1 == MAX_ATTEMPTS:
                    raise
                time.sleep(PAUSE * attempt)
        raise AssertionError  # the last attempt returns or raises

    def _map_once(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> list[Any]:
        """Call the function with each part, by a worker that has it: Dask prefers these.

        It is one message to the scheduler, which holds the arguments once.
        """
        shared = [[argument] * len(self._kept) for argument in arguments]
        futures = self._client.map(function, self._kept, *shared, pure=False)
        results: list[Any] = self._client.gather(futures)
        return results

    def _send_missing(self) -> None:
        """Send the parts that no worker has, to the threads of all workers in turn.

        The scheduler chooses the workers: it knows first which ones are alive.
        """
        for k, part in enumerate(self._parts):
            if self._kept[k] is None or self._kept[k].status != "finished":
                self._kept[k] = None
                self._kept[k] = self._client.scatter(part, hash=False)

    def release(self) -> None:
        self._parts, self._kept = [], []


def _failures() -> tuple[type[BaseException], ...]:
    """The errors of an evaluation during which a worker died."""
    from distributed.scheduler import KilledWorker

    # An OSError is also a lost connection, or that no worker was found in time.
    return (CancelledError, asyncio.CancelledError, KilledWorker, OSError, TimeoutError)


def partial_fit(
    estimator: Any, X: Any, y: Any = None, *, classes: Any = None, sample_weight: Any = None
) -> Any:
    """Train on a collection of Dask, one partition after the other.

    Only one partition is in memory at a time. One call is one pass over the data; for more, call it
    again.

    Parameters
    ----------
    estimator : LSTMClassifier, LSTMRegressor or another estimator with partial_fit
        The estimator, which is changed.
    X : dask array, bag or sequence of delayed objects
        A partition is a chunk of samples of an array, a partition of a bag of sequences, or what a
        delayed object returns, such as the contents of a file: X in any form, or without ``y`` a
        tuple of X and y.
    y : dask array, bag, sequence of delayed objects or None, default=None
        Targets, with the same partitions as ``X``.
    classes : array-like, default=None
        All classes, for a classifier that has not been fitted yet.
    sample_weight : dask array, bag, sequence of delayed objects or None, default=None
        Weights, with the same partitions as ``X``.

    Returns
    -------
    estimator : object
        The estimator.

    Raises
    ------
    ImportError
        If Dask is not installed.
    TypeError
        If an argument is of another type, or ``estimator`` has no partial_fit.
    ValueError
        If there are no partitions, if their numbers differ, or if a partition is malformed. A note
        of the error has its number. The estimator keeps what it learned from those before.

    See Also
    --------
    predict : Predictions by partition.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from sklstm import LSTMRegressor
    >>> from sklstm.interop.dask import partial_fit, predict
    >>> X = da.random.default_rng(0).normal(size=(120, 10, 2), chunks=(40, -1, -1))
    >>> reg = partial_fit(LSTMRegressor(8, random_state=0), X, X.sum(axis=(1, 2)))
    >>> int(reg.t_)
    6
    >>> predict(reg, X).compute().shape
    (120,)
    """
    _require("dask")
    if isinstance(estimator, type) or not hasattr(estimator, "partial_fit"):
        kind = "a class" if isinstance(estimator, type) else type(estimator).__name__
        raise TypeError(f"estimator: expected an estimator with partial_fit, got {kind}")
    names = ("X", "y", "sample_weight")
    given = {name: k for name, k in zip(names, (X, y, sample_weight), strict=True) if k is not None}
    partitions = {name: _partitions(collection, name) for name, collection in given.items()}
    counts = {name: len(parts) for name, parts in partitions.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise ValueError(f"expected the same number of partitions, at least one, got {counts}")
    options = {} if classes is None else {"classes": classes}
    for k, parts in enumerate(zip(*partitions.values(), strict=True)):
        try:
            estimator.partial_fit(**_loaded(dict(zip(partitions, parts, strict=True))), **options)
        except Exception as error:
            error.add_note(f"This is partition {k} of {counts['X']}, counted from 0.")
            raise
    return estimator


def _loaded(partition: dict[str, Any]) -> dict[str, Any]:
    """One partition in memory; X may be a tuple of X and y."""
    import dask

    arguments = dict(zip(partition, dask.compute(*partition.values()), strict=True))
    X = arguments["X"]
    if "y" not in arguments and isinstance(X, tuple) and len(X) == 2:
        arguments["X"], arguments["y"] = X
    return arguments


def predict(estimator: Any, X: Any, *, method: str = "predict") -> Any:
    """Predict a collection of Dask by partition, where the partitions are.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator or Pipeline.
    X : dask array, bag or sequence of delayed objects
        Samples, as for :func:`partial_fit`.
    method : str, default="predict"
        The method to call, such as "predict_proba".

    Returns
    -------
    dask array, bag or list of delayed objects
        The predictions, which are computed when they are needed, with the partitions of ``X``.
        The predictions of a bag are a bag with one element for each sample.

    Raises
    ------
    ImportError
        If Dask is not installed.
    TypeError
        If ``X`` is of another type.

    See Also
    --------
    partial_fit : Training on a collection.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from sklstm import LSTMClassifier
    >>> from sklstm.interop.dask import predict
    >>> X = np.random.default_rng(0).normal(size=(60, 5, 2))
    >>> clf = LSTMClassifier(8, random_state=0).fit(X, X[:, :, 0].sum(axis=1) > 0)
    >>> lazy = predict(clf, da.from_array(X, chunks=(20, -1, -1)), method="predict_proba")
    >>> lazy.chunks
    ((20, 20, 20), (2,))
    >>> bool(np.allclose(lazy.compute(), clf.predict_proba(X)))
    True
    """
    _require("dask")
    import dask
    import dask.array as da
    import dask.bag as db

    if isinstance(X, db.Bag):
        return X.map_partitions(_predicted_list, dask.delayed(estimator), method)
    if not isinstance(X, da.Array):
        model = dask.delayed(estimator)
        return [dask.delayed(_predicted)(part, model, method) for part in _partitions(X, "X")]
    X = X.rechunk(dict.fromkeys(range(1, X.ndim), -1))
    like = _predicted(np.zeros((1, *X.shape[1:]), X.dtype), estimator, method)
    rest = like.shape[1:]
    return X.map_blocks(
        _predicted,
        estimator,
        method,
        dtype=like.dtype,
        chunks=(X.chunks[0], *((k,) for k in rest)),
        drop_axis=list(range(1, X.ndim)),
        new_axis=list(range(1, 1 + len(rest))),
        meta=np.empty((0,) * like.ndim, like.dtype),
    )


def _predicted(X: Any, estimator: Any, method: str) -> Any:
    return getattr(estimator, method)(X)


def _predicted_list(X: Any, estimator: Any, method: str) -> list[Any]:
    samples = list(X)
    return list(getattr(estimator, method)(samples)) if samples else []


def _partitions(collection: Any, name: str) -> list[Any]:
    """The partitions of a collection along its first axis, as delayed objects."""
    import dask.array as da
    import dask.bag as db
    from dask.delayed import Delayed

    if isinstance(collection, da.Array):
        rest = dict.fromkeys(range(1, collection.ndim), -1)
        return list(collection.rechunk(rest).to_delayed().ravel())
    if isinstance(collection, db.Bag):
        return list(collection.to_delayed())
    if isinstance(collection, list | tuple) and all(isinstance(k, Delayed) for k in collection):
        return list(collection)
    raise TypeError(
        f"{name}: expected a dask array, a dask bag or a list of delayed objects, got an object of "
        f"type {type(collection).__name__}"
    )


def _distributed() -> Any:
    _require("distributed")
    import distributed

    return distributed


def _require(name: str) -> None:
    from importlib.util import find_spec

    if find_spec(name) is None:
        raise ImportError(
            f'sklstm.interop.dask needs {name}: pip install "dask[array,bag]" distributed'
        )


# Pickles name these objects by the public path.
for _function in (partial_fit, predict, workers):
    _function.__module__ = __name__
