"""Pipelines that are accurate without tuning."""

from __future__ import annotations

from itertools import cycle
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_scalar

from sklstm._estimators.classifier import LSTMClassifier
from sklstm._estimators.regressor import LSTMRegressor

#: Parameters of a classifier and a regressor; docs/accuracy.rst says how they were chosen.
PARAMETERS: dict[str, Any] = {"bidirectional": True, "scale_noise": 0.2, "dtype": "float32"}
NETWORKS = {
    "classifier": (LSTMClassifier, PARAMETERS | {"input_noise": 0.2, "dropout": 0.3}),
    "regressor": (LSTMRegressor, PARAMETERS),
}

#: The steps before the network, for the members of an ensemble in turns. Averages of probabilities
#: gain from members that see other channels; docs/accuracy.rst says what was measured.
ONCE, TWICE = ("differences",), ("differences", "second_differences")
CONVOLUTIONS = ("convolutions",)
MEMBERS: dict[type, tuple[tuple[str, ...], ...]] = {
    LSTMClassifier: (ONCE, CONVOLUTIONS, TWICE, CONVOLUTIONS, (), CONVOLUTIONS),
    LSTMRegressor: (ONCE, TWICE),
}


def sequence_pipeline(
    estimator: Any, *, n_members: int = 1, n_jobs: int | None = None, random_state: Any = None
) -> Any:
    """Return a pipeline or an ensemble that is accurate without tuning.

    The pipeline appends the differences between time steps to the channels. Its network is
    bidirectional, and is trained with noise, a classifier also with dropout. On the data sets of
    :doc:`/accuracy`, it is more accurate than an estimator with default parameters. A fit takes
    about twice as long as a default one in the same precision.

    Parameters
    ----------
    estimator : {"classifier", "regressor"} or LSTMClassifier or LSTMRegressor
        "classifier" and "regressor" are networks with the parameters that were found to be good. An
        estimator is cloned and used as it is.
    n_members : int, default=1
        Number of pipelines. With more than one, a VotingClassifier or VotingRegressor averages
        their probabilities or predictions. They differ in their random numbers and in their steps:
        differences are computed once, twice or not at all, and every second classifier has random
        convolutions instead.
    n_jobs : int or None, default=None
        Number of jobs that fit the members of an ensemble, as scikit-learn defines it. With one
        member, number of threads of the estimator.
    random_state : int, RandomState instance or None, default=None
        Seed of the estimator, or of the seeds of all members and their convolutions. With None,
        that of ``estimator``.

    Returns
    -------
    Pipeline, VotingClassifier or VotingRegressor
        Not fitted. The steps of a Pipeline are "differences" and "lstm"; ensembles name their
        Pipelines "member_0", "member_1" and so on. Members may have the steps
        "second_differences" or "convolutions".

    Raises
    ------
    TypeError
        If ``estimator`` is something else, or ``n_members`` is not an integer.
    ValueError
        If ``estimator`` is another string, or if ``n_members`` is less than 1, or more than 1 with
        ``return_sequences=True``: voting averages predictions for sequences, not for time steps.

    See Also
    --------
    LSTMClassifier, LSTMRegressor : The last step of the pipeline.
    sklstm.preprocessing.SequenceDifferences : The first step.
    sklstm.preprocessing.RandomConvolutions : The first step of some members of an ensemble.

    Notes
    -----
    ``X`` may have any form that the estimators accept. Tokens have neither differences nor
    convolutions: with ``vocabulary_size``, the pipeline has the step "lstm" alone. With
    ``return_sequences=True`` and ``bidirectional=False``, a prediction depends on its own and
    earlier time steps alone, since differences look back; a
    :class:`sklstm.streaming.SequenceStream` of such a Pipeline returns the same predictions step by
    step.

    Voting ensembles take one target for each sequence, and sample weights only through
    scikit-learn's metadata routing.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import sequence_pipeline
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(n, 2)).cumsum(axis=0) for n in rng.integers(5, 15, size=60)]
    >>> y = ["up" if series[-1, 0] > 0 else "down" for series in X]
    >>> model = sequence_pipeline("classifier", random_state=0)
    >>> [name for name, _ in model.steps]
    ['differences', 'lstm']
    >>> model.set_params(lstm__hidden_layer_sizes=8).fit(X, y).predict(X).shape
    (60,)
    """
    lstm = _network(estimator)
    check_scalar(n_members, "n_members", Integral, min_val=1)
    if n_members == 1:
        return _pipeline(lstm.set_params(n_jobs=_given(n_jobs, lstm.n_jobs)), random_state)
    if lstm.return_sequences:
        raise ValueError(
            f"n_members={n_members} with return_sequences=True: voting averages predictions for "
            "sequences, not for time steps; expected n_members=1"
        )
    seeds = _seeds(_given(random_state, lstm.random_state), n_members)
    choices = next(choices for kind, choices in MEMBERS.items() if isinstance(lstm, kind))
    members = [
        (f"member_{k}", _pipeline(clone(lstm), seed, names))
        for k, (seed, names) in enumerate(zip(seeds, cycle(choices), strict=False))
    ]
    return _ensemble(lstm, members, n_jobs)


def _network(estimator: Any) -> LSTMClassifier | LSTMRegressor:
    """The last step of a pipeline."""
    if isinstance(estimator, LSTMClassifier | LSTMRegressor):
        return clone(estimator)
    if isinstance(estimator, str) and estimator in NETWORKS:
        make, parameters = NETWORKS[estimator]
        return make(**parameters)
    error = ValueError if isinstance(estimator, str) else TypeError
    raise error(
        'estimator: expected "classifier", "regressor", an LSTMClassifier or an LSTMRegressor, got '
        f"{estimator!r}"
    )


def _pipeline(lstm: Any, random_state: Any, names: tuple[str, ...] = ONCE) -> Any:
    """A pipeline with these steps before the network, unless time steps are tokens."""
    from sklearn.pipeline import Pipeline

    seed = _given(random_state, lstm.random_state)
    before = names if lstm.vocabulary_size is None else ()
    steps = [(name, _transformer(name, seed)) for name in before]
    return Pipeline([*steps, ("lstm", lstm.set_params(random_state=seed))])


def _transformer(name: str, random_state: Any) -> Any:
    from sklstm.preprocessing import RandomConvolutions, SequenceDifferences

    if name == "convolutions":
        return RandomConvolutions(random_state=random_state)
    return SequenceDifferences(skip_sparse=True)


def _ensemble(lstm: Any, members: list[tuple[str, Any]], n_jobs: int | None) -> Any:
    from sklearn.ensemble import VotingClassifier, VotingRegressor

    if isinstance(lstm, LSTMClassifier):
        return VotingClassifier(members, voting="soft", n_jobs=n_jobs)
    return VotingRegressor(members, n_jobs=n_jobs)


def _seeds(random_state: Any, n: int) -> list[int | None]:
    """A seed for each member, or None for each."""
    if random_state is None:
        return [None] * n
    return check_random_state(random_state).randint(np.iinfo(np.int32).max, size=n).tolist()


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value
