"""Saving, loading and cloning."""

import copy
import pickle

import joblib
import numpy as np
import pytest
from data import FORMS, SMALL, assert_same_fit, fingerprint, outputs, problem
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklstm import LSTMClassifier, LSTMRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

both = pytest.mark.parametrize("Estimator", [LSTMClassifier, LSTMRegressor])


def by_pickle(estimator, folder):
    return pickle.loads(pickle.dumps(estimator))


def by_old_pickle(estimator, folder):
    return pickle.loads(pickle.dumps(estimator, protocol=2))


def by_joblib(estimator, folder):
    joblib.dump(estimator, folder / "model.joblib")
    return joblib.load(folder / "model.joblib")


def by_compressed_joblib(estimator, folder):
    joblib.dump(estimator, folder / "model.joblib.gz", compress=3)
    return joblib.load(folder / "model.joblib.gz")


def by_memory_map(estimator, folder):
    joblib.dump(estimator, folder / "model.joblib")
    return joblib.load(folder / "model.joblib", mmap_mode="r")


def by_copy(estimator, folder):
    return copy.deepcopy(estimator)


WAYS = [by_pickle, by_old_pickle, by_joblib, by_compressed_joblib, by_memory_map, by_copy]
every_way = pytest.mark.parametrize("way", WAYS)


@both
@every_way
@pytest.mark.parametrize("form", ["2d", "2d pandas", "3d", "list", "NaN-padded", "polars frames"])
def test_a_copy_returns_the_same(Estimator, way, form, rng, seed, tmp_path):
    X, (_, y) = FORMS[form](rng), problem(rng)
    estimator = Estimator(**SMALL, random_state=seed).fit(X, y)
    loaded = way(estimator, tmp_path)
    said = outputs(estimator, X)
    for method, values in outputs(loaded, X).items():
        np.testing.assert_array_equal(values, said[method], err_msg=method)
    for method in ("hidden_states", "input_gradients"):
        pairs = zip(getattr(loaded, method)(X), getattr(estimator, method)(X), strict=True)
        for found, expected in pairs:
            np.testing.assert_array_equal(found, expected)
    assert loaded.get_params() == estimator.get_params()
    assert getattr(loaded, "feature_names_in_", "none") is not None
    assert fingerprint(loaded) == fingerprint(estimator) or way is by_memory_map


@both
@every_way
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("batch_size", ["auto", 10])
def test_a_copy_continues_to_train(Estimator, way, solver, batch_size, rng, seed, tmp_path):
    X, y = problem(rng)
    estimator = Estimator(
        **SMALL, solver=solver, batch_size=batch_size, dropout=0.2, warm_start=True,
        random_state=seed,
    ).fit(X, y)  # fmt: skip
    loaded = way(estimator, tmp_path)
    assert_same_fit(estimator.fit(X, y), loaded.fit(X, y))
    assert loaded.loss_curve_ == estimator.loss_curve_
    if solver != "lbfgs":
        assert_same_fit(estimator.partial_fit(X, y), loaded.partial_fit(X, y))


@pytest.mark.parametrize(
    "parameters",
    [{"hidden_layer_sizes": (4, 3)}, {"bidirectional": True}, {"pooling": "max"},
     {"dtype": "float32"}, {"dtype": np.float32}, {"early_stopping": True}, {"n_jobs": 2},
     {"class_weight": {0: 2.0}}],
    ids=str,
)  # fmt: skip
def test_every_kind_of_model_pickles(parameters, rng, seed):
    X, y = problem(rng)
    clf = LSTMClassifier(**SMALL | parameters, random_state=seed).fit(X, y)
    loaded = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "huber", "quantile", "gaussian", "poisson"]
)
@pytest.mark.parametrize("quantile", [0.5, [0.1, 0.9], np.array([0.1, 0.9])], ids=str)
def test_every_loss_pickles(loss, quantile, rng, seed):
    X, y = problem(rng)
    reg = LSTMRegressor(**SMALL, loss=loss, quantile=quantile, random_state=seed).fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reg)).predict(X), reg.predict(X))


def test_a_pickle_holds_parameters_and_no_data(rng, seed):
    X, y = problem(rng, n=2000, n_timesteps=20)
    clf = LSTMClassifier(**SMALL | {"max_iter": 1}, random_state=seed).fit(X, y)
    clf.predict(X)
    n_parameters = sum(values.size for values in clf.parameters_.values())
    # The parameters, two moments of Adam, and the state of a random generator (2.5 kB).
    assert len(pickle.dumps(clf)) < 3 * 8 * n_parameters + 8000 < X.nbytes / 20


@both
def test_unfitted_estimators_pickle(Estimator, rng):
    loaded = pickle.loads(pickle.dumps(Estimator(**SMALL)))
    with pytest.raises(NotFittedError):
        loaded.predict(problem(rng)[0])
    loaded.fit(*problem(rng))


@both
def test_parameters_are_read_only(Estimator, rng, seed):
    estimator = Estimator(**SMALL, random_state=seed).fit(*problem(rng))
    assert {name.split(".")[0] for name in estimator.parameters_} == {"lstm_0", "dense"}
    assert estimator.parameters_["lstm_0.weight_ih"].shape == (2, 16)
    assert estimator.parameters_["lstm_0.weight_hh"].shape == (4, 16)
    assert estimator.parameters_["lstm_0.bias"].shape == (16,)
    for values in estimator.parameters_.values():
        with pytest.raises(ValueError, match="read-only"):
            values[...] = 0
    with pytest.raises(AttributeError):
        estimator.parameters_ = {}


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "mean_max"])
def test_names_and_shapes_of_parameters(pooling, rng, seed):
    clf = LSTMClassifier(
        (3, 5), bidirectional=True, pooling=pooling, max_iter=1, random_state=seed
    ).fit(*problem(rng, n_classes=3))
    shapes = {name: values.shape for name, values in clf.parameters_.items()}
    expected = {}
    for layer, n_inputs, hidden in ((0, 2, 3), (1, 6, 5)):
        for direction in ("", "_reverse"):
            name = f"lstm_{layer}{direction}"
            expected[f"{name}.weight_ih"] = (n_inputs, 4 * hidden)
            expected[f"{name}.weight_hh"] = (hidden, 4 * hidden)
            expected[f"{name}.bias"] = (4 * hidden,)
    expected["dense.weight"] = (20 if pooling == "mean_max" else 10, 3)
    expected["dense.bias"] = (3,)
    assert shapes == expected


# Parameters


@both
def test_clone_is_unfitted_and_equal(Estimator, rng, seed):
    X, y = problem(rng)
    parameters = SMALL | {"solver": "sgd", "pooling": "max", "random_state": seed}
    estimator = Estimator(**parameters).fit(X, y)
    other = clone(estimator)
    assert other.get_params() == estimator.get_params()
    assert {name for name in vars(other) if name.startswith("_") or name.endswith("_")} == set()
    assert_same_fit(estimator, other.fit(X, y))


@both
def test_get_and_set_params(Estimator):
    estimator = Estimator()
    defaults = estimator.get_params()
    changed = {"hidden_layer_sizes": (3, 2), "dropout": 0.5, "max_grad_norm": None}
    assert estimator.set_params(**changed) is estimator
    assert estimator.get_params() == defaults | changed
    with pytest.raises(ValueError, match="Invalid parameter 'units'"):
        estimator.set_params(units=3)


@both
def test_fit_changes_no_parameter(Estimator, rng):
    sizes = [4, 3]
    state = np.random.RandomState(0)
    estimator = Estimator(hidden_layer_sizes=sizes, max_iter=1, random_state=state)
    before = estimator.get_params()
    estimator.fit(*problem(rng))
    after = estimator.get_params()
    assert all(after[name] is value for name, value in before.items())
    assert sizes == [4, 3]
