"""The pipelines and ensembles that sequence_pipeline returns."""

import pickle

import numpy as np
import pytest
from data import RAGGED_FORMS, cut, problem
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline

from sklstm import LSTMClassifier, LSTMRegressor, sequence_pipeline
from sklstm.preprocessing import RandomConvolutions, SequenceDifferences
from sklstm.streaming import SequenceStream

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

QUICK = {"hidden_layer_sizes": 4, "max_iter": 3}
KINDS = {"classifier": LSTMClassifier, "regressor": LSTMRegressor}
VOTING = {"classifier": VotingClassifier, "regressor": VotingRegressor}
kinds = pytest.mark.parametrize("kind", KINDS)


def quick(kind, **options):
    """A pipeline or an ensemble whose networks are small."""
    model = sequence_pipeline(kind, **options)
    for parameter in [name for name in model.get_params() if name.endswith("__max_iter")]:
        prefix = parameter.removesuffix("max_iter")
        model.set_params(**{f"{prefix}{name}": value for name, value in QUICK.items()})
    return model


def response(model):
    return model.predict_proba if hasattr(model, "predict_proba") else model.predict


@kinds
def test_the_steps(kind):
    model = sequence_pipeline(kind)
    assert isinstance(model, Pipeline)
    assert [name for name, _ in model.steps] == ["differences", "lstm"]
    assert isinstance(model[0], SequenceDifferences)
    assert type(model[-1]) is KINDS[kind]
    assert model[-1].bidirectional
    assert "SequenceDifferences" in model._repr_html_()
    assert "bidirectional=True" in repr(model)


@kinds
def test_it_is_what_it_says(kind, rng, seed):
    """A fit equals one of the steps by hand."""
    X, y = problem(rng)
    X = cut(X, rng)
    model = quick(kind, random_state=seed).fit(X, y)
    expected = clone(model[-1])
    assert expected.random_state == seed
    differences = [np.diff(x, axis=0, prepend=x[:1]) for x in X]
    both = [np.column_stack(pair) for pair in zip(X, differences, strict=True)]
    expected.fit(both, y)
    np.testing.assert_array_equal(response(model)(X), response(expected)(both))


@kinds
@pytest.mark.parametrize("n_members", [2, 3])
def test_an_ensemble_averages_its_members(kind, n_members, rng, seed):
    X, y = problem(rng)
    X = cut(X, rng)
    model = quick(kind, n_members=n_members, random_state=seed).fit(X, y)
    assert type(model) is VOTING[kind]
    assert [name for name, _ in model.estimators] == [f"member_{k}" for k in range(n_members)]
    members = model.estimators_
    assert len({member[-1].random_state for member in members}) == n_members
    mean = np.mean([response(member)(X) for member in members], axis=0)
    np.testing.assert_allclose(response(model)(X), mean, 1e-12)
    again = quick(kind, n_members=n_members, random_state=seed, n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(response(model)(X), response(again)(X))


D, C = "differences", "convolutions"
STEPS = {
    "classifier": [[D], [C], [D, f"second_{D}"], [C], [], [C], [D]],
    "regressor": [[D], [D, f"second_{D}"], [D], [D, f"second_{D}"]],
}


@kinds
def test_members_differ_in_their_steps(kind):
    model = sequence_pipeline(kind, n_members=len(STEPS[kind]))
    members = [pipeline for _, pipeline in model.estimators]
    assert [[name for name, _ in member.steps] for member in members] == [
        [*names, "lstm"] for names in STEPS[kind]
    ]
    for member in members:
        for name, step in member.steps[:-1]:
            assert type(step) is (RandomConvolutions if name == C else SequenceDifferences)


def test_members_have_other_kernels(rng, seed):
    X, y = problem(rng)
    model = quick("classifier", n_members=4, random_state=seed).fit(X, y)
    one, other = (model.estimators_[k] for k in (1, 3))
    assert one[0].kernels_.shape == other[0].kernels_.shape == (32, 9, 2)
    assert not np.isclose(one[0].kernels_, other[0].kernels_).all(axis=(1, 2)).any()
    again = quick("classifier", n_members=4, random_state=seed).fit(X, y)
    np.testing.assert_array_equal(again.estimators_[1][0].kernels_, one[0].kernels_)


@kinds
@pytest.mark.parametrize("n_members", [1, 2])
@pytest.mark.parametrize("form", [*RAGGED_FORMS, "3-D array", "table"])
def test_every_form(form, n_members, kind, rng, seed):
    X, y = problem(rng)
    if form == "table":
        X, expected_X = X[:, :, 0], X[:, :, :1]
    elif form == "3-D array":
        expected_X = list(X)
    else:
        expected_X = cut(X, rng)
        X = RAGGED_FORMS[form](expected_X)
    model = quick(kind, n_members=n_members, random_state=seed).fit(X, y)
    expected = quick(kind, n_members=n_members, random_state=seed).fit(expected_X, y)
    np.testing.assert_allclose(response(model)(X), response(expected)(expected_X), 1e-5, 1e-6)


@pytest.mark.parametrize("n_members", [1, 2])
def test_tokens_have_no_other_steps(n_members, rng, seed):
    X = [rng.integers(0, 5, n) for n in rng.integers(1, 7, 30)]
    y = np.array(["low", "high"])[[int(x[0] > 2) for x in X]]
    lstm = LSTMClassifier(vocabulary_size=5, random_state=seed, **QUICK)
    model = sequence_pipeline(lstm, n_members=n_members).fit(X, y)
    members = [model] if n_members == 1 else model.estimators_
    assert all([name for name, _ in member.steps] == ["lstm"] for member in members)
    assert model.predict_proba(X).shape == (30, 2)
    if n_members == 1:
        np.testing.assert_array_equal(model.predict_proba(X), lstm.fit(X, y).predict_proba(X))


@kinds
def test_steps_are_causal_without_the_reverse_direction(kind, rng, seed):
    X, _ = problem(rng)
    X = cut(X, rng)
    y = [(x[:, 0] > 0).astype(float) for x in X]
    lstm = KINDS[kind](return_sequences=True, random_state=seed, **QUICK)
    model = sequence_pipeline(lstm).fit(X, y)
    predicted = response(model)(X)
    for n_steps in (1, 3):
        shorter = response(model)([x[:n_steps] for x in X])
        for short, whole in zip(shorter, predicted, strict=True):
            np.testing.assert_allclose(short, whole[:n_steps], 1e-10, 1e-10)
    stream = SequenceStream(model)
    step = stream.step_proba if kind == "classifier" else stream.step
    for x_t, expected in zip(X[1], predicted[1], strict=True):
        np.testing.assert_allclose(step(x_t[None])[0], expected, 1e-10, 1e-10)


@kinds
@pytest.mark.parametrize("n_members", [1, 2])
def test_search_clone_and_pickle(kind, n_members, rng, seed):
    X, y = problem(rng)
    X = cut(X, rng)
    model = quick(kind, n_members=n_members, random_state=seed)
    name = "lstm__alpha" if n_members == 1 else "member_1__lstm__alpha"
    search = GridSearchCV(model, {name: [1e-4, 1.0]}, cv=2, n_jobs=2).fit(X, y)
    assert search.best_params_[name] in (1e-4, 1.0)
    assert np.isfinite(cross_val_score(model, X, y, cv=2)).all()
    fitted = clone(model).fit(X, y)
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(response(fitted)(X), response(loaded)(X))


@pytest.mark.parametrize("n_members", [1, 3])
def test_an_estimator_is_cloned_and_used_as_it_is(n_members, seed):
    lstm = LSTMRegressor(7, dropout=0.1, random_state=seed, n_jobs=2)
    model = sequence_pipeline(lstm, n_members=n_members)
    used = [model[-1]] if n_members == 1 else [member[-1] for _, member in model.estimators]
    for network in used:
        assert network is not lstm
        changed = network.get_params() | {"random_state": lstm.random_state}
        assert changed == lstm.get_params()
    assert n_members > 1 or used[0].random_state == seed
    other = sequence_pipeline(lstm, random_state=seed + 1, n_jobs=1)
    assert (other[-1].random_state, other[-1].n_jobs) == (seed + 1, 1)
    assert lstm.random_state == seed


def test_without_a_seed_members_have_none():
    model = sequence_pipeline("classifier", n_members=2)
    assert [member[-1].random_state for _, member in model.estimators] == [None, None]
    assert model.n_jobs is None


def test_seeds_of_a_random_state_differ_between_calls(seed):
    random_state = np.random.RandomState(seed)
    first, second = (
        sequence_pipeline("regressor", n_members=2, random_state=random_state) for _ in range(2)
    )
    seeds = [p[-1].random_state for model in (first, second) for _, p in model.estimators]
    assert len(set(seeds)) == 4


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (["classifer"], {}, ValueError, 'estimator: expected "classifier", .* got .classifer.'),
        ([LSTMClassifier], {}, TypeError, "estimator: expected .* got <class"),
        ([None], {}, TypeError, "estimator: expected .* got None"),
        (["classifier"], {"n_members": 0}, ValueError, "n_members == 0, must be >= 1"),
        (["classifier"], {"n_members": 1.5}, TypeError, "n_members must be an instance of"),
        (
            [LSTMRegressor(return_sequences=True)],
            {"n_members": 2},
            ValueError,
            "n_members=2 with return_sequences=True: .* expected n_members=1",
        ),
    ],
)
def test_invalid_arguments(arguments, options, error, message):
    with pytest.raises(error, match=message):
        sequence_pipeline(*arguments, **options)


@kinds
def test_it_learns(kind, rng, seed):
    X = [rng.normal(size=(n, 2)).cumsum(axis=0) for n in rng.integers(5, 15, size=120)]
    ends = np.array([x[-1, 0] for x in X])
    y = ends if kind == "regressor" else np.where(ends > 0, "up", "down")
    model = sequence_pipeline(kind, random_state=seed).fit(X[:80], y[:80])
    assert model.score(X[80:], y[80:]) > 0.8
