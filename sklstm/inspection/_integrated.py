"""Integrated gradients."""

from __future__ import annotations

import warnings
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from sklstm._estimators.base import BaseLSTM
from sklstm._estimators.model import FittedModel, checked_finite, joined
from sklstm._estimators.number_targets import NumberTargets
from sklstm._network import embedding
from sklstm._network.network import SequenceNetwork
from sklstm._threads import ParallelMap, with_workers
from sklstm._training.prediction import raw_predictions
from sklstm.inspection._composite import integrate
from sklstm.inspection._models import lstm_and_input, parts_of
from sklstm.inspection._outputs import Output
from sklstm.inspection._paths import Lines, integrate_adaptively
from sklstm.sequences import Sequences
from sklstm.sequences._ragged import as_numbers
from sklstm.sequences._reading import is_list_of_sequences

Array = NDArray[np.floating]


def integrated_gradients(
    estimator: Any,
    X: Any,
    *,
    target: Any = None,
    step: int | None = None,
    baselines: Any = None,
    n_points: int | None = None,
    tol: float = 1e-3,
) -> Any:
    """Attribute a prediction to its inputs by integrated gradients.

    The attribution of an input [1]_ is its difference from a baseline, times the mean of the
    gradient on the straight line from the baseline to the sequence. The attributions of a sequence
    sum to the difference between its output and that of the baseline (completeness).

    Parameters
    ----------
    estimator : LSTMClassifier, LSTMRegressor or Pipeline
        A fitted estimator, or a fitted pipeline that ends with one.
    X : array-like, dataframe or list of n_samples sequences
        As in ``fit``. The steps of a pipeline before the last one transform it.
    target : label, int or tuple of int, default=None
        A class, for its logit, or the index of a regression output: a number or, for targets with
        several axes, a tuple. None is the only output, or with three or more classes (or labels)
        the one with the highest logit for ``X``.
    step : int, default=None
        With ``return_sequences``, the time step whose prediction is explained; negative steps count
        from the end of each sequence. None is the sum of the predictions of all steps.
    baselines : float, array-like or sequences, default=None
        A value for all features, one for each feature, or sequences in the form of the LSTM's input
        with the lengths of ``X``. None is the mean of each feature in the training data if the
        estimator standardises its inputs, and zero otherwise.
    n_points : int, default=None
        The largest number of points of the line at which gradients are computed. They belong to
        Gauss-Legendre rules with 8 points or more, on parts of the line that are short where the
        output changes abruptly. None bisects the line until the attributions are complete within
        ``tol``.
    tol : float, default=1e-3
        The sum of the attributions of a sequence may differ from the difference between the outputs
        by ``tol`` times this difference, and with a logit by at most ``tol``. With ``n_points``, a
        larger error is only a warning.

    Returns
    -------
    ndarray of shape (n_samples, n_timesteps[, n_features]) or list of ndarray
        Attributions in float64, in the form of ``X``; NaN where a 3-D array was padded. The inputs
        are those of the LSTM: for a pipeline, ``pipeline[:-1].transform(X)``. With
        ``vocabulary_size``, these are the embeddings of the tokens, and the attributions of a token
        have the shape (embedding_size,); their sum belongs to the token.

    Raises
    ------
    TypeError
        If the estimator is no LSTM, and no pipeline that ends with one.
    ValueError
        If ``target``, ``step`` or ``baselines`` do not fit the estimator and ``X``, if ``n_points``
        or ``tol`` is not positive, or if ``X`` is malformed.

    Warns
    -----
    ConvergenceWarning
        If the attributions of a sequence are not complete within ``tol``, after 48 bisections or
        with ``n_points`` points.

    See Also
    --------
    input_gradients : The gradient at the sequence alone.

    Notes
    -----
    The attributions of inputs that a transformer scales and shifts are those of the features before
    it, with a baseline before it. All computations are in float64, whatever the dtype of the model.
    The output of a trained LSTM may rise steeply on a short part of the line, often near the
    baseline, and with ``pooling="max"`` or ``"mean_max"`` the gradient jumps where the step of a
    maximum changes. The bisection finds them: the integral over each part of the line must be the
    difference between the outputs at its ends. The weights of the points of a part are changed as
    little as possible so that this holds.

    A given number of points may be too small for such an output. Their weights are changed in the
    same way, so that the attributions are complete to about 1e-12 nearly always, but then each
    attribution may be less accurate than their sum. Increase ``n_points`` to see which digits stay.

    References
    ----------
    .. [1] Sundararajan, Taly & Yan 2017, "Axiomatic Attribution for Deep Networks", Equation 1 and
       Proposition 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMClassifier
    >>> from sklstm.inspection import integrated_gradients
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(length, 2)) for length in rng.integers(4, 9, size=40)]
    >>> y = [int(x[:, 0].mean() > 0) for x in X]
    >>> clf = LSTMClassifier(8, random_state=0).fit(X, y)
    >>> attributions = integrated_gradients(clf, X, baselines=0.0)
    >>> logits = clf.decision_function(X) - clf.decision_function([0 * x for x in X])
    >>> bool(np.allclose([a.sum() for a in attributions], logits, atol=1e-3))
    True
    """
    lstm, X = lstm_and_input(estimator, X)
    model = lstm._fitted_model()
    rule = _Rule.checked(n_points, tol)

    def on_parts(parallel_map: ParallelMap) -> list[tuple[Any, Array]]:
        found = []
        for part, first in parts_of(model, X, lstm):
            output = Output.of(model, target, step, part, first)
            given = _Baselines(baselines, lstm, first).of(part, model)
            with model.naming_large_inputs(part, first):
                lines = _lines(model, part, given, output, parallel_map)
                total, excess = rule.integrate(lines)
                total *= output.unit
            total = checked_finite(total, "integrated gradients", lstm)
            squeezed = part.flat and not model.network.embeds
            found.append((part.like_input(total[:, 0] if squeezed else total), excess))
        return found

    parts = with_workers(lstm.n_jobs, on_parts)
    _warn(np.concatenate([excess for _, excess in parts]), rule)
    return joined([attributions for attributions, _ in parts])


class _Rule(NamedTuple):
    """How to integrate."""

    n_points: int | None
    tol: float

    @classmethod
    def checked(cls, n_points: Any, tol: Any) -> _Rule:
        is_count = isinstance(n_points, Integral) and not isinstance(n_points, bool)
        if n_points is not None and not (is_count and int(n_points) > 0):
            raise ValueError(f"n_points: expected a positive integer or None, got {n_points!r}")
        if not (isinstance(tol, Real) and float(tol) > 0):
            raise ValueError(f"tol: expected a positive number, got {tol!r}")
        return cls(None if n_points is None else int(n_points), float(tol))

    def integrate(self, lines: Lines) -> tuple[Array, Array]:
        """Return attributions, and by how much each sequence's error exceeds the tolerance."""
        n = len(lines.sequences)
        ends = [lines.outputs(np.arange(n), np.full(n, position)) for position in (0.0, 1.0)]
        difference = np.abs(ends[1] - ends[0])
        if not isinstance(lines.output.targets, NumberTargets):
            difference = np.minimum(difference, 1)
        rounding = 1e-12 * (np.abs(ends[0]) + np.abs(ends[1]))
        tolerance = np.maximum(self.tol * difference, rounding)
        if self.n_points is None:
            total, errors = integrate_adaptively(lines, ends[0], ends[1], tolerance)
        else:
            total, errors = integrate(lines, self.n_points)
        return total, errors - tolerance


def _warn(excess: Array, rule: _Rule) -> None:
    """Warn if the attributions of a sequence are not complete."""
    incomplete = np.flatnonzero(excess > 0)
    remedy = "tol" if rule.n_points is None else f"tol, or n_points={rule.n_points}"
    if len(incomplete):
        warnings.warn(
            f"The integrated gradients of {len(incomplete)} sequence(s), the first of them "
            f"X[{incomplete[0]}], may not sum to the difference between the outputs within "
            f"tol={rule.tol:g}. Increase {remedy}.",
            ConvergenceWarning,
            stacklevel=3,
        )


def _lines(
    model: FittedModel,
    part: Sequences,
    baselines: Array,
    output: Output,
    parallel_map: ParallelMap,
) -> Lines:
    """Return the lines in float64, between embeddings or scaled inputs."""
    network, parameters = model.network, model.state.parameters.astype(np.float64)
    raw = raw_predictions(network, parameters, part, parallel_map)
    values: Any = part.values
    if network.embeds:
        values = embedding.forward(network.layout.views(parameters), values)
        network = SequenceNetwork(**{**network.settings(), "vocabulary_size": None})
        parameters = parameters[: network.layout.size]  # the embedding is last
    elif part.scaling is not None:
        values = part.scaling.apply(values, np.float64)
        baselines = part.scaling.apply(np.ascontiguousarray(baselines), np.float64)
    sequences = replace(part, values=values.astype(np.float64, copy=False), scaling=None)
    return Lines(network, parameters, sequences, baselines, output.at(raw), parallel_map)


class _Baselines(NamedTuple):
    """What the user gave as baselines; the sequences from ``first_sample`` on need theirs."""

    given: Any
    lstm: BaseLSTM
    first_sample: int

    def of(self, part: Sequences, model: FittedModel) -> Array:
        """Return the baselines of these sequences, (S, n_inputs)."""
        shape = len(part.values), model.network.n_inputs
        given = self.given
        if given is None:
            given = getattr(self.lstm, "input_mean_", None)
            given = 0.0 if given is None or model.network.embeds else given
        elif is_list_of_sequences(given) or np.ndim(given) > 1:
            return self._sequences(part, model)
        values = as_numbers(given, "baselines").astype(np.float64)
        if values.shape not in ((), (1,), shape[1:]):
            raise ValueError(
                f"baselines: expected a number, one for each of {shape[1]} feature(s), or "
                f"sequences in the form of X, got shape {values.shape}"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"baselines: expected finite numbers, got {values.tolist()}")
        return np.broadcast_to(values, shape)

    def _sequences(self, part: Sequences, model: FittedModel) -> Array:
        if model.network.embeds:
            raise ValueError(
                "baselines: expected None, a number or one for each number of an embedding, "
                "because the LSTM reads tokens; got sequences"
            )
        stop = self.first_sample + len(part)
        if len(self.given) < stop:
            raise ValueError(f"baselines: expected a sequence for each in X, got {len(self.given)}")
        try:
            read = model.form.read(self.given[self.first_sample : stop], self.lstm)
        except ValueError as error:
            raise ValueError(f"baselines: {error}") from error
        wrong = read.lengths != part.lengths
        if wrong.any():
            k = int(np.argmax(wrong))
            raise ValueError(
                f"baselines[{self.first_sample + k}]: expected {part.lengths[k]} step(s) as in "
                f"X[{self.first_sample + k}], got {read.lengths[k]}"
            )
        return read.values.astype(np.float64)
