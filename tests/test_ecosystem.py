"""scikit-learn's tools with estimators of sklstm, on tables, 3-D arrays and ragged lists.

Some of scikit-learn's tools validate X and accept only tables. In scikit-learn 1.9 these are
BaggingClassifier and BaggingRegressor, GradientBoosting (its init), OneVsOneClassifier,
OutputCodeClassifier, ClassifierChain, SelfTrainingClassifier, permutation_importance and
partial_dependence. AdaBoost accepts 3-D arrays, but not lists.
"""

import numpy as np
import pytest
import sklearn
from data import SMALL, cut, objects, problem
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  enables HalvingGridSearchCV
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.metrics import accuracy_score, make_scorer, mean_absolute_error
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    TimeSeriesSplit,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    train_test_split,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

from sklstm import LSTMClassifier, LSTMRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FORMS = {
    "2d": lambda X, rng: X[:, :, 0],
    "3d": lambda X, rng: X,
    "list": lambda X, rng: cut(X, rng, shortest=3),
    "object array": lambda X, rng: objects(cut(X, rng, shortest=3)),
}
every_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture
def y(rng):
    return rng.permutation(np.arange(48) % 3)


@pytest.fixture
def data(form, y, rng):
    """Return X in the form of the test, and targets with three classes."""
    X = rng.normal(size=(48, 5, 2)) + 1.5 * (y - 1)[:, None, None]
    return FORMS[form](X, rng), y


@pytest.fixture
def clf(seed):
    return LSTMClassifier(
        hidden_layer_sizes=6, learning_rate_init=0.02, max_iter=60, random_state=seed
    )


@pytest.fixture
def reg(seed):
    return LSTMRegressor(
        hidden_layer_sizes=6, learning_rate_init=0.02, max_iter=60, random_state=seed
    )


# Pipelines


@pytest.mark.parametrize("form", ["2d"])
def test_pipeline_with_a_scaler(data, clf, reg):
    X, y = data
    X = 1e4 + 1e3 * X
    for estimator in (clf, reg):
        model = make_pipeline(StandardScaler(), estimator).fit(X, y)
        scaled = StandardScaler().fit_transform(X)
        expected = clone(estimator).fit(scaled, y)
        np.testing.assert_array_equal(model.predict(X), expected.predict(scaled))
        assert model.score(X, y) > 0.6
        assert model[-1].n_features_in_ == model.n_features_in_ == 5


@pytest.mark.parametrize("form", ["2d"])
def test_pipeline_of_frames(data, clf):
    pytest.importorskip("pandas")
    X, y = data
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), clf).fit(X, y)
    assert model[-1].feature_names_in_.tolist() == [f"x{k}" for k in range(5)]
    assert model.predict(X).shape == (48,)


@pytest.mark.parametrize("form", ["2d"])
def test_pipeline_in_single_precision(data, clf):
    X, y = data
    model = make_pipeline(StandardScaler(), clf.set_params(dtype="float32")).fit(X, y)
    assert model.predict_proba(X).dtype == np.float32


@pytest.mark.parametrize("form", ["3d", "list", "object array"])
def test_pipeline_of_sequences(data, clf):
    X, y = data
    model = make_pipeline(FunctionTransformer(), clf).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), clone(clf).fit(X, y).predict(X))


# Model selection


@every_form
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_grid_search(data, clf, n_jobs):
    X, y = data
    grid = {"learning_rate_init": [1e-9, 3e-2], "pooling": ["last", "mean"]}
    search = GridSearchCV(clf, grid, cv=2, scoring="neg_log_loss", n_jobs=n_jobs).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_["learning_rate_init"] == 3e-2
    again = clone(clf).set_params(**search.best_params_).fit(X, y)
    np.testing.assert_array_equal(search.predict_proba(X), again.predict_proba(X))
    assert accuracy_score(y, search.predict(X)) > 0.6


@pytest.mark.parametrize("form", ["2d"])
def test_grid_search_over_a_pipeline(data, clf):
    X, y = data
    model = make_pipeline(StandardScaler(), clf)
    search = GridSearchCV(
        model, {"lstmclassifier__hidden_layer_sizes": [3, (4, 3)]}, cv=2, n_jobs=2
    )
    assert search.fit(X, y).score(X, y) > 0.5


@every_form
def test_grid_search_is_the_same_with_two_jobs(data, clf):
    X, y = data
    clf.set_params(n_jobs=2)
    scores = [
        GridSearchCV(clf, {"alpha": [0.0, 1.0]}, cv=2, n_jobs=n_jobs)
        .fit(X, y)
        .cv_results_["mean_test_score"]
        for n_jobs in (None, 2)
    ]
    np.testing.assert_array_equal(*scores)


@every_form
def test_halving_grid_search(data, clf, seed):
    X, y = data
    grid = {"learning_rate_init": [1e-9, 1e-2]}
    settings = {"cv": 2, "factor": 2, "scoring": "neg_log_loss", "random_state": seed}
    search = HalvingGridSearchCV(clf, grid, min_resources=24, **settings).fit(X, y)
    assert search.best_params_ == {"learning_rate_init": 1e-2}
    search.set_params(resource="max_iter", min_resources=12, max_resources=24).fit(X, y)
    assert search.best_estimator_.max_iter == 24


@every_form
def test_randomized_search(data, reg, seed):
    X, y = data
    search = RandomizedSearchCV(
        reg, {"learning_rate_init": [1e-2, 1e-6]}, n_iter=2, cv=2, random_state=seed
    )
    assert search.fit(X, y).best_params_ == {"learning_rate_init": 1e-2}


@every_form
def test_cross_validation(data, clf):
    X, y = data
    assert cross_val_score(clf, X, y, cv=3, n_jobs=2).mean() > 0.6
    proba = cross_val_predict(clf, X, y, cv=3, method="predict_proba")
    assert proba.shape == (48, 3)
    assert accuracy_score(y, proba.argmax(axis=1)) > 0.6
    found = cross_validate(clf, X, y, cv=2, scoring=["accuracy", "neg_log_loss"])
    assert np.isfinite(found["test_neg_log_loss"]).all()


@every_form
@pytest.mark.parametrize("incremental", [False, True])
def test_learning_curve(data, clf, incremental):
    X, y = data
    sizes, scores, _ = learning_curve(
        clf, X, y, cv=2, train_sizes=[12, 24], exploit_incremental_learning=incremental
    )
    assert sizes.tolist() == [12, 24]
    assert np.isfinite(scores).all()


@every_form
def test_validation_curve(data, clf):
    X, y = data
    train, _ = validation_curve(clf, X, y, param_name="max_iter", param_range=[1, 40], cv=2)
    assert train[1].mean() > train[0].mean()


@every_form
def test_time_series_split(data, reg):
    X, y = data
    scores = cross_val_score(reg, X, y.astype(float), cv=TimeSeriesSplit(3))
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()


@every_form
def test_scorers(data, reg):
    X, y = data
    scorer = make_scorer(mean_absolute_error, greater_is_better=False)
    scores = cross_val_score(reg, X, y, cv=KFold(2), scoring=scorer)
    assert ((scores < 0) & (scores > -2)).all()


@every_form
def test_train_test_split(data, clf):
    X, y = data
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    assert clf.fit(X_train, y_train).score(X_test, y_test) > 0.5


# Meta-estimators


@every_form
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(data, clf, method):
    X, y = data
    model = CalibratedClassifierCV(clf, cv=2, method=method).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    assert model.score(X, y) > 0.6


@every_form
def test_tuned_threshold(data, clf):
    X, y = data
    model = TunedThresholdClassifierCV(clf, cv=2).fit(X, y > 0)
    assert model.score(X, y > 0) > 0.6


@every_form
def test_stacking(data, clf, reg):
    X, y = data
    layers = [("last", clf), ("mean", clone(clf).set_params(pooling="mean"))]
    assert StackingClassifier(layers, cv=2).fit(X, y).score(X, y) > 0.6
    reg.set_params(max_iter=100)  # half of the samples are one batch: one update in each epoch
    assert StackingRegressor([("reg", reg)], cv=2).fit(X, y).score(X, y) > 0.3


@every_form
def test_voting(data, clf, reg):
    X, y = data
    voters = [("last", clf), ("mean", clone(clf).set_params(pooling="mean"))]
    assert VotingClassifier(voters, voting="soft", n_jobs=2).fit(X, y).score(X, y) > 0.6
    assert VotingRegressor([("reg", reg)]).fit(X, y).score(X, y) > 0.3


@every_form
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_one_versus_rest(data, clf, n_jobs):
    X, y = data
    model = OneVsRestClassifier(clf, n_jobs=n_jobs).fit(X, y)
    assert len(model.estimators_) == 3
    assert model.score(X, y) > 0.6


@every_form
def test_transformed_targets(data, reg):
    X, y = data
    model = TransformedTargetRegressor(reg, func=np.log1p, inverse_func=np.expm1).fit(X, y)
    expected = np.expm1(clone(reg).fit(X, np.log1p(y)).predict(X))
    np.testing.assert_allclose(model.predict(X), expected)


@every_form
def test_multioutput(data, clf, reg):
    X, y = data
    Y = np.c_[y, 2 - y]
    assert MultiOutputClassifier(clf).fit(X, Y).predict(X).shape == (48, 2)
    assert MultiOutputRegressor(reg).fit(X, Y).predict(X).shape == (48, 2)


@pytest.mark.parametrize("form", ["2d", "3d"])
def test_adaboost(data, clf, reg):
    X, y = data
    assert AdaBoostClassifier(clf, n_estimators=2, random_state=0).fit(X, y).score(X, y) > 0.5
    assert AdaBoostRegressor(reg, n_estimators=2, random_state=0).fit(X, y).score(X, y) > 0.3


@pytest.mark.parametrize("form", ["2d"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda clf: BaggingClassifier(clf, n_estimators=2, random_state=0),
        OneVsOneClassifier,
        lambda clf: OutputCodeClassifier(clf, code_size=3, random_state=0),
    ],
    ids=["bagging", "one versus one", "output codes"],
)
def test_meta_estimators_for_tables(data, clf, wrap):
    X, y = data
    assert wrap(clf).fit(X, y).score(X, y) > 0.6


@pytest.mark.parametrize("form", ["2d"])
def test_other_tools_for_tables(data, clf, reg):
    X, y = data
    assert BaggingRegressor(reg, n_estimators=2, random_state=0).fit(X, y).score(X, y) > 0.3
    assert ClassifierChain(clf).fit(X, np.c_[y > 0, y > 1]).predict(X).shape == (48, 2)
    partly = np.where(np.arange(48) < 10, -1, y)
    assert SelfTrainingClassifier(clf).fit(X, partly).score(X, y) > 0.6
    clf.fit(X, y)
    drops = permutation_importance(clf, X, y, n_repeats=2, random_state=0).importances_mean
    assert drops.shape == (5,)
    assert drops.max() > 0
    shown = partial_dependence(reg.fit(X, y), X, [0], grid_resolution=4)["average"]
    assert shown.shape == (1, 4)
    assert np.ptp(shown) > 0


# Metadata routing


def weights_of(y):
    """Return weights that are almost zero for all but the first class."""
    return np.where(y == 0, 1.0, 1e-3)


@every_form
def test_routing_of_weights_in_a_grid_search(data, clf):
    X, y = data
    with sklearn.config_context(enable_metadata_routing=True):
        clf.set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        search = GridSearchCV(clf, {"alpha": [0.01]}, cv=2)
        search.fit(X, y, sample_weight=weights_of(y))
    expected = clone(clf).set_params(alpha=0.01).fit(X, y, weights_of(y))
    np.testing.assert_array_equal(search.predict_proba(X), expected.predict_proba(X))


@pytest.mark.parametrize("form", ["2d"])
def test_routing_of_weights_in_a_pipeline(data, clf, reg):
    X, y = data
    with sklearn.config_context(enable_metadata_routing=True):
        for estimator in (clf, reg):
            estimator.set_fit_request(sample_weight=True)
            scaler = StandardScaler().set_fit_request(sample_weight=False)
            model = make_pipeline(scaler, estimator)
            model.fit(X, y, sample_weight=weights_of(y))
            scaled = StandardScaler().fit_transform(X)
            expected = clone(estimator).fit(scaled, y, weights_of(y))
            np.testing.assert_array_equal(model.predict(X), expected.predict(scaled))


@every_form
def test_routing_of_validation_data(data, clf):
    X, y = data
    with sklearn.config_context(enable_metadata_routing=True):
        clf.set_fit_request(X_val=True, y_val=True)
        model = make_pipeline(FunctionTransformer(), clf).fit(X, y, X_val=X, y_val=y)
    assert len(model[-1].validation_scores_) == model[-1].n_iter_


@every_form
def test_routing_of_weights_that_were_not_requested(data, clf):
    X, y = data
    with (
        sklearn.config_context(enable_metadata_routing=True),
        pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"),
    ):
        GridSearchCV(clf, {"alpha": [0.01]}, cv=2).fit(X, y, sample_weight=weights_of(y))


# Representation and tags


@pytest.mark.parametrize("Estimator", [LSTMClassifier, LSTMRegressor])
def test_html_names_no_page_and_tells_whether_it_is_fitted(Estimator, rng):
    estimator = Estimator(**SMALL)
    assert "sklstm." not in estimator._repr_html_()
    assert "Not fitted" in estimator._repr_html_()
    assert "Not fitted" not in estimator.fit(*problem(rng))._repr_html_()


@pytest.mark.parametrize("Estimator", [LSTMClassifier, LSTMRegressor])
def test_repr_shows_changed_parameters(Estimator):
    name = Estimator.__name__
    assert repr(Estimator()) == f"{name}()"
    assert repr(Estimator(8, dropout=0.1)) == f"{name}(dropout=0.1, hidden_layer_sizes=8)"


@pytest.mark.parametrize("Estimator", [LSTMClassifier, LSTMRegressor])
def test_tags(Estimator):
    from sklearn.utils import get_tags

    tags = get_tags(Estimator())
    assert tags.input_tags.two_d_array
    assert tags.input_tags.three_d_array
    assert not tags.input_tags.sparse
    assert tags.target_tags.required
    assert not tags.no_validation
    assert tags.estimator_type == ("classifier" if Estimator is LSTMClassifier else "regressor")


@pytest.mark.parametrize("name", ["LSTMClassifier", "LSTMRegressor"])
def test_public_names(name):
    import sklstm

    assert name in sklstm.__all__
    assert getattr(sklstm, name).__doc__.startswith(("Classify", "Predict"))
