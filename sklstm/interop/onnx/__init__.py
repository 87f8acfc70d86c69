"""Conversion of fitted estimators, Pipelines and voting ensembles to ONNX.

It needs the onnx package: ``pip install onnx``. If skl2onnx is installed, importing this
module registers the estimators and transformers of sklstm with it, so that its ``to_onnx`` converts
a Pipeline that has them as steps.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from sklstm.interop.onnx._sklearn import convert_with_skl2onnx, register

__all__ = ["to_onnx"]


def to_onnx(estimator: Any, *, opset: int = 17) -> Any:
    """Convert a fitted estimator or Pipeline to an ONNX model.

    Parameters
    ----------
    estimator : LSTMClassifier, LSTMRegressor, Pipeline or ensemble
        A fitted estimator, or a Pipeline that ends with one. Either may be the regressor of a
        WindowScaledRegressor, or a member of a VotingRegressor or of a VotingClassifier with
        ``voting="soft"``. A GridSearchCV or another search stands for its best estimator. The
        other steps may be transformers of :mod:`sklstm.preprocessing`, except those that
        interpolate or sort values, or read texts or frames. If skl2onnx is installed, they may also
        be scikit-learn's own, or a StepTransformer with one of these.
    opset : int, default=17
        Version of the ONNX operators. Older versions of a runtime do not read newer ones.

    Returns
    -------
    onnx.ModelProto
        The model. ``model.SerializeToString()`` returns the bytes that a runtime loads.

        If the first step was fitted on a 2-D array, the model has one input: the table ``X``
        (n_samples, n_timesteps) of dtype float32. Otherwise it has two: ``X`` (n_samples,
        n_timesteps, n_features), float32, and ``lengths`` (n_samples,), int64, the number of time
        steps of each sequence, at least one. Values after the end of a sequence are ignored. Tokens
        are numbers in ``X``, with one feature.

        A classifier has the outputs ``output_label`` and ``output_probability``, which equal the
        results of ``predict`` and ``predict_proba``; a regressor has the output ``variable`` and,
        with ``loss="gaussian"``, the standard deviations ``variable_std``. With
        ``return_sequences`` they have an axis of time steps; after the end of a sequence, numbers
        are NaN and labels have no meaning.

    Raises
    ------
    ImportError
        If onnx is not installed, or if the conversion needs skl2onnx, and that is not installed.
    ValueError
        If a step cannot be converted, or ``opset`` is not supported.
    TypeError
        If ``estimator`` does not end with estimators of sklstm.
    sklearn.exceptions.NotFittedError
        If it is not fitted.

    Notes
    -----
    The model computes in float32, also if the estimator computes in float64; its scaling of inputs
    is in float64. Results differ from those of the estimator by about 1e-6.

    The model does not check its inputs. A token outside the vocabulary, a length of zero or a
    missing value gives an error of the runtime or a meaningless result.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMRegressor
    >>> from sklstm.interop.onnx import to_onnx
    >>> X = np.random.default_rng(0).normal(size=(40, 5, 2)).astype(np.float32)
    >>> reg = LSTMRegressor(8, random_state=0).fit(X, X.sum(axis=(1, 2)))
    >>> model = to_onnx(reg)
    >>> import onnxruntime
    >>> session = onnxruntime.InferenceSession(model.SerializeToString())
    >>> lengths = np.full(40, 5)
    >>> session.run(None, {"X": X, "lengths": lengths})[0].shape
    (40,)
    """
    if find_spec("onnx") is None:
        raise ImportError("to_onnx needs the onnx package: pip install onnx")
    from sklstm.interop.onnx._models import all_ours, check_opset, convert, model_proto

    opset = check_opset(opset)
    if not all_ours(estimator):
        return convert_with_skl2onnx(estimator, opset)
    return model_proto(convert(estimator, opset), type(estimator).__name__)


# Pickles name these objects by the public path.
to_onnx.__module__ = __name__

if find_spec("skl2onnx") is not None:
    register()
