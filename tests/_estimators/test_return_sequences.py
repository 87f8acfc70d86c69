"""One prediction for every step: forms, weights, scores and scikit-learn's tools."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm._network.losses import SquaredError
from sklstm._network.network import SequenceNetwork
from sklstm._training.objective import Objective
from sklstm._training.samples import Samples
from sklstm.sequences import check_sequences

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": 6, "return_sequences": True, "max_iter": 4}


@pytest.fixture
def ragged(rng):
    X = [rng.normal(size=(length, 2)) for length in rng.integers(1, 9, size=40)]
    y = [np.where(x[:, 0].cumsum() > 0, "above", "below") for x in X]
    return X, y


@pytest.fixture
def even(rng):
    X = rng.normal(size=(40, 7, 2))
    return X, X[:, :, 0].cumsum(axis=1)


def as_objects(arrays):
    objects = np.empty(len(arrays), dtype=object)
    objects[:] = arrays
    return objects


def test_a_label_for_every_step_is_learned(ragged, seed):
    X, y = ragged
    model = LSTMClassifier(16, return_sequences=True, learning_rate_init=0.02, random_state=seed)
    model.fit(X, y)
    assert model.score(X, y) > 0.9
    assert [len(labels) for labels in model.predict(X)] == [len(x) for x in X]
    assert {label for labels in model.predict(X) for label in labels} == {"above", "below"}


def test_a_number_for_every_step_is_learned(even, seed):
    X, y = even
    y = 1e4 + 1e3 * y
    model = LSTMRegressor(16, return_sequences=True, learning_rate_init=0.02, random_state=seed)
    assert model.fit(X, y).score(X, y) > 0.9
    assert model.predict(X).shape == y.shape


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_gradient_is_exact(bidirectional, rng):
    """With targets and weights of their own for every step, in shards, against differences."""
    X = [rng.normal(size=(length, 2)) for length in rng.integers(1, 9, size=130)]
    sequences = check_sequences(X)
    n_steps = len(sequences.values)
    samples = Samples(
        sequences, rng.normal(size=(n_steps, 2)), rng.uniform(0, 2, size=n_steps), per_step=True
    )
    network = SequenceNetwork(2, (4, 3), 2, bidirectional=bidirectional, pooling=None)
    objective = Objective(network, SquaredError(), samples, alpha=0.1)
    parameters = rng.normal(size=network.layout.size)
    indices = rng.permutation(len(X))[:129]
    direction = rng.normal(size=network.layout.size)
    slope = objective(parameters, indices)[1] @ direction
    ahead, behind = (objective(parameters + h * direction, indices)[0] for h in (1e-5, -1e-5))
    assert slope == pytest.approx((ahead - behind) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("form", [list, tuple, as_objects])
def test_ragged_predictions_have_the_form_of_the_targets(form, ragged, seed):
    X, y = ragged
    model = LSTMClassifier(**SMALL, random_state=seed).fit(form(X), form(y))
    for method, width in (("predict", ()), ("predict_proba", (2,)), ("decision_function", ())):
        values = getattr(model, method)(form(X))
        assert type(values) is (np.ndarray if form is as_objects else list)
        assert [v.shape for v in values] == [(len(x), *width) for x in X]
    for p, log_p in zip(model.predict_proba(X), model.predict_log_proba(X), strict=True):
        np.testing.assert_allclose(p.sum(axis=1), 1)
        np.testing.assert_allclose(np.log(p), log_p)


@pytest.mark.parametrize("n_samples", [1, 4096, 4097])
@pytest.mark.parametrize("x_form", [np.array, list, as_objects])
@pytest.mark.parametrize("y_form", [np.array, list, as_objects])
def test_the_form_of_the_targets_decides_for_any_number_of_sequences(
    n_samples, x_form, y_form, even, seed
):
    X, y = even
    model = LSTMRegressor(**SMALL, random_state=seed).fit(x_form(list(X)), y_form(list(y)))
    repeated = np.arange(n_samples) % len(X)
    predicted = model.predict(x_form([X[k] for k in repeated]))
    if y_form is np.array:
        assert predicted.shape == (n_samples, 7)
        assert predicted.dtype == np.float64
    else:
        assert type(predicted) is type(y_form(list(y)))
        assert len(predicted) == n_samples
    expected = model.predict(X)
    for k in (0, n_samples - 1):
        np.testing.assert_allclose(predicted[k], expected[repeated[k]], rtol=1e-12, atol=1e-12)


def test_sequences_of_several_lengths_give_a_list_although_targets_were_an_array(even, seed):
    X, y = even
    model = LSTMRegressor(**SMALL, random_state=seed).fit(X, y)
    predicted = model.predict([X[0], X[1][:3]])
    assert type(predicted) is list
    assert [len(steps) for steps in predicted] == [7, 3]


@pytest.mark.parametrize("n_outputs", [None, 3])
def test_arrays_give_arrays(n_outputs, even, seed):
    X, y = even
    if n_outputs is not None:
        y = np.stack([y + k for k in range(n_outputs)], axis=-1)
    model = LSTMRegressor(**SMALL, random_state=seed).fit(X, y)
    assert model.predict(X).shape == y.shape
    assert model.predict(X[:3, :4]).shape == (3, 4, *y.shape[2:])


def test_a_table_of_series_has_a_table_of_targets(even, seed):
    X, y = even
    model = LSTMRegressor(**SMALL, random_state=seed).fit(X[:, :, 0], y)
    assert model.predict(X[:, :, 0]).shape == y.shape


def test_several_labels_for_every_step(even, seed):
    X, _ = even
    y = (X > 0).astype(int)
    model = LSTMClassifier(**SMALL, random_state=seed).fit(X, y)
    assert model.predict(X).shape == y.shape
    assert 0 < model.predict_proba(X).min() < model.predict_proba(X).max() < 1
    ragged = LSTMClassifier(**SMALL, random_state=seed).fit(list(X), list(y))
    np.testing.assert_array_equal(np.stack(ragged.predict(list(X))), model.predict(X))


def test_padding_has_no_effect(even, rng, seed):
    X, y = even
    lengths = rng.integers(1, 8, size=len(X))
    lengths[0] = 7
    padded, targets = X.copy(), y.copy()
    for k, length in enumerate(lengths):
        padded[k, length:] = targets[k, length:] = np.nan
    model = LSTMRegressor(**SMALL, random_state=seed).fit(padded, targets)
    one_by_one = ([x[:n] for x, n in zip(a, lengths, strict=True)] for a in (X, y))
    same = LSTMRegressor(**SMALL, random_state=seed).fit(*one_by_one)
    for name, values in model.parameters_.items():
        np.testing.assert_array_equal(values, same.parameters_[name])
    np.testing.assert_array_equal(np.isnan(model.predict(padded)), np.isnan(targets))


def test_labels_of_padded_steps_are_none(even, seed):
    X, y = even
    labels = np.where(y > 0, "above", "below")
    X[3, 5:] = np.nan
    predicted = LSTMClassifier(**SMALL, random_state=seed).fit(X, labels).predict(X)
    assert predicted.shape == labels.shape
    assert predicted[3, 5:].tolist() == [None, None]


def fitted(X, y, seed, sample_weight=None, **parameters):
    model = LSTMClassifier(**SMALL | parameters, random_state=seed)
    return model.fit(X, y, sample_weight=sample_weight)


def assert_same(one, other):
    for name, values in one.parameters_.items():
        np.testing.assert_array_equal(values, other.parameters_[name])
    assert one.loss_curve_ == other.loss_curve_


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_weight_of_a_sequence_is_that_of_its_steps(solver, ragged, rng, seed):
    X, y = ragged
    weights = rng.integers(1, 4, size=len(X)).astype(float)
    by_step = [np.full(len(x), w) for x, w in zip(X, weights, strict=True)]
    assert_same(
        fitted(X, y, seed, weights, solver=solver), fitted(X, y, seed, by_step, solver=solver)
    )


@pytest.mark.parametrize("class_weight", [None, "balanced", {"above": 3}])
def test_weight_zero_leaves_a_sequence_out(class_weight, ragged, seed):
    X, y = ragged
    by_step = [np.full(len(x), float(k != 5)) for k, x in enumerate(X)]
    left_out = fitted(X[:5] + X[6:], y[:5] + y[6:], seed, class_weight=class_weight)
    assert_same(fitted(X, y, seed, by_step, class_weight=class_weight), left_out)


def test_weight_zero_leaves_a_step_out(ragged, seed):
    """What its label is then does not matter, neither to the loss nor to the score."""
    X, y = ragged
    by_step = [(np.arange(len(x)) != 0).astype(float) for x in X]
    other = [np.r_[["above" if a[0] == "below" else "below"], a[1:]] for a in y]
    model = fitted(X, y, seed, by_step, class_weight="balanced")
    # Full batches are ordered by content, labels included, so sums may round differently.
    same = fitted(X, other, seed, by_step, class_weight="balanced")
    for name, values in model.parameters_.items():
        np.testing.assert_allclose(values, same.parameters_[name], rtol=1e-9, atol=1e-12)
    assert model.score(X, y, by_step) == model.score(X, other, by_step)


def test_weight_two_is_a_sequence_given_twice(ragged, seed):
    X, y = ragged
    weights = np.ones(len(X))
    weights[:7] = 2
    full = {"batch_size": 100}
    assert_same(fitted(X, y, seed, weights, **full), fitted(X + X[:7], y + y[:7], seed, **full))


def test_class_weight_counts_steps(rng, seed):
    """Balanced weights make the classes' steps, not their sequences, count alike."""
    X = [rng.normal(size=(9, 1)), rng.normal(size=(1, 1))] * 10
    y = [np.zeros(9, int), np.ones(1, int)] * 10
    by_step = [np.full(9, 10 / 18), np.full(1, 5.0)] * 10
    one = fitted(X, y, seed, class_weight="balanced")
    other = fitted(X, y, seed, by_step)
    for name, values in one.parameters_.items():
        np.testing.assert_allclose(values, other.parameters_[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_step_does_not_depend_on_other_sequences(bidirectional, ragged, seed):
    X, y = ragged
    model = fitted(X, y, seed, bidirectional=bidirectional)
    together = model.decision_function(X)
    for k in range(0, len(X), 7):
        np.testing.assert_allclose(model.decision_function([X[k]])[0], together[k], atol=1e-12)


def test_a_prefix_gives_the_first_predictions(ragged, seed):
    """The forward direction does not depend on later steps."""
    X, y = ragged
    model = fitted(X, y, seed)
    long = max(X, key=len)
    whole, prefix = model.decision_function([long, long[:3]])
    np.testing.assert_allclose(prefix, whole[:3], atol=1e-12)


def test_partial_fit_per_step_equals_epochs_of_fit(ragged, seed):
    X, y = ragged
    # Mean and scale of the inputs are merged in each call, which rounds.
    options = {"alpha": 0.0, "label_smoothing": 0.0, "scale_inputs": False}
    model = LSTMClassifier(**SMALL, **options, random_state=seed)
    with pytest.raises(ValueError, match="classes must be passed"):
        model.partial_fit(X, y)
    for _ in range(4):
        model.partial_fit(X, y, classes=["above", "below"])
    assert_same(model, fitted(X, y, seed, learning_rate="constant", tol=0, **options))


def test_cross_validation(ragged, seed):
    X, y = ragged
    model = LSTMClassifier(**SMALL, random_state=seed)
    scores = cross_val_score(model, X, as_objects(y), cv=3)
    assert scores.shape == (3,)
    assert ((scores >= 0) & (scores <= 1)).all()
    search = GridSearchCV(model, {"hidden_layer_sizes": [2, 6]}, cv=2, n_jobs=2).fit(X, y)
    assert search.best_estimator_.score(X, y) == search.score(X, y)


def test_cross_val_predict_of_arrays(even, seed):
    X, y = even
    predicted = cross_val_predict(LSTMRegressor(**SMALL, random_state=seed), X, y, cv=3)
    assert predicted.shape == y.shape


def test_cross_val_predict_of_ragged_steps(ragged, seed):
    X, y = ragged
    model = LSTMClassifier(**SMALL, random_state=seed)
    predicted = cross_val_predict(model, X, as_objects(y), cv=3)
    assert predicted.shape == (len(X),)
    assert [len(steps) for steps in predicted] == [len(x) for x in X]
    first = model.fit(X[14:], as_objects(y[14:]))
    for steps, expected in zip(predicted[:14], first.predict(X[:14]), strict=True):
        np.testing.assert_array_equal(steps, expected)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X, y: (X, y[:-1]), r"inconsistent numbers of samples: \[40, 39\]"),
        (lambda X, y: (X, [*y[:6], y[6][:-1], *y[7:]]), r"^y\[6\]: expected one value for each"),
        (lambda X, y: (X, np.zeros(40)), "^y: expected one value for each step"),
        (lambda X, y: (X, [*y[:6], np.stack([y[6]] * 2, 1), *y[7:]]), r"^y\[6\]: expected shape"),
    ],
)
def test_errors_of_step_targets_name_the_sample(spoil, message, ragged, seed):
    model = LSTMClassifier(**SMALL, random_state=seed)
    X, y = spoil(*ragged)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert vars(model) == vars(clone(model))


def test_errors_of_step_weights_name_the_sample(ragged, seed):
    X, y = ragged
    with pytest.raises(ValueError, match=r"sample_weight\.shape == \(3,\), expected \(40,\)"):
        fitted(X, y, seed, np.ones(3))
    by_step = [np.ones(len(x)) for x in X]
    by_step[2] = np.ones(len(X[2]) + 1)
    with pytest.raises(ValueError, match=r"^sample_weight\[2\]: expected one weight for each"):
        fitted(X, y, seed, by_step)
