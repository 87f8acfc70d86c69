"""scikit-learn's estimator checks on 2-D input, also those for its own transformers only."""

import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import SkipTestWarning
from sklearn.preprocessing import SplineTransformer, StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from sklstm.preprocessing import (
    AppendStatic,
    RandomConvolutions,
    SequenceDifferences,
    SequenceImputer,
    SequenceScaler,
    SlidingWindow,
    StepTransformer,
    TokenEncoder,
    ToSequences,
)

SCALERS = [
    SequenceScaler(method, per_sequence=alone)
    for method in ("standard", "minmax", "robust")
    for alone in (False, True)
]
IMPUTERS = [SequenceImputer(name) for name in ("mean", "constant", "forward", "linear")]
DIFFERENCES = [
    SequenceDifferences(append=False),
    SequenceDifferences(append=False, skip_sparse=True),
]
STEPS = [StepTransformer(StandardScaler()), StepTransformer(PCA(1))]
OTHERS = [
    StepTransformer(SplineTransformer(3)),
    RandomConvolutions(3, 2),
    RandomConvolutions(append=True),
    SequenceDifferences(),
    SequenceImputer(add_indicator=True),
    SlidingWindow(),
    SlidingWindow(align="end"),
    ToSequences(),
]


@parametrize_with_checks([*SCALERS, *IMPUTERS, *DIFFERENCES, *STEPS, *OTHERS])
def test_sklearn_checks(estimator, check):
    check(estimator)


#: Not among the checks above. They need transformers that return 2-D arrays.
TABLE_CHECKS = [
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
]


# The checks fit on frames and transform arrays, and vice versa.
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning:sklearn")
@pytest.mark.parametrize("check", TABLE_CHECKS)
@pytest.mark.parametrize("transformer", [*SCALERS, *IMPUTERS, *DIFFERENCES, *STEPS], ids=str)
def test_sklearn_checks_of_2d_output(transformer, check):
    getattr(estimator_checks, check)(type(transformer).__name__, transformer)


#: Checks without data: scikit-learn skips them for estimators that take texts.
CHECKS_WITHOUT_DATA = [
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
]


@pytest.mark.parametrize("name", CHECKS_WITHOUT_DATA)
@pytest.mark.parametrize("transformer", [TokenEncoder(), AppendStatic()], ids=str)
def test_sklearn_checks_without_data(transformer, name):
    check = getattr(estimator_checks, name)
    check(type(transformer).__name__, transformer)


@pytest.mark.parametrize("transformer", [TokenEncoder(), AppendStatic()], ids=str)
def test_check_estimator_skips_transformers_of_texts_and_frames(transformer):
    name = type(transformer).__name__
    with pytest.warns(SkipTestWarning, match=f"Can't test estimator {name}"):
        results = check_estimator(transformer, on_skip=None)
    assert {result["status"] for result in results} <= {"passed"}
