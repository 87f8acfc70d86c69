"""What the transformers share: reading X, and returning the results in the form of X.

Shapes: ``n`` sequences, ``S`` steps of all sequences together, ``D`` channels.
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from itertools import chain, count
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sklstm._compat import CALLBACK_ATTRIBUTES, CallbackSupportMixin, _fit_context
from sklstm._persistence import PlainState, shallow_copy
from sklstm.preprocessing._streams import StepFunction, single_steps
from sklstm.sequences import Sequences, check_sequences
from sklstm.sequences._containers import open_container
from sklstm.sequences._input_form import InputForm
from sklstm.sequences._step_values import as_objects

Array = NDArray[np.floating]


# scikit-learn would wrap `transform` and put lists and 3-D arrays into one frame. Without the
# wrapper, subclasses still have `set_output`, and `_contain` follows it.
class SequenceTransformer(
    PlainState,
    CallbackSupportMixin,
    OneToOneFeatureMixin,
    TransformerMixin,
    BaseEstimator,
    metaclass=ABCMeta,
    auto_wrap_output_keys=None,  # type: ignore[call-arg]  # scikit-learn has no types
):
    """Base of the transformers of numeric sequences."""

    _transient = CALLBACK_ATTRIBUTES
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}
    #: Whether a sequence may have missing values (NaN).
    _takes_gaps: ClassVar[bool] = False

    #: Sets the attributes that `_apply` needs; `fit` calls it, unless a class has its own `fit`.
    _learn: Callable[[Sequences], None]

    n_features_in_: int
    _form: InputForm

    @abstractmethod
    def _apply(self, sequences: Sequences) -> Sequences:
        """The transformed sequences; a result of form "2d" has one channel and becomes a table."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the transformer, and remember the form of the sequences.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            A 2-D array (n_samples, n_timesteps), a 3-D array (n_samples, n_timesteps, n_features)
            or a list of arrays (n_timesteps_i, n_features) or (n_timesteps_i,); see
            :func:`sklstm.sequences.check_sequences`.
        y : None
            Not used, present here for API consistency by convention.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            If an input is malformed; the message names the sample. The transformer is then
            unchanged.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.preprocessing import SequenceScaler
        >>> SequenceScaler().fit([np.array([1.0, 2.0]), np.array([3.0])]).center_
        array([2.])
        """
        task = FitTask(self, X, y)
        fitted = shallow_copy(self)
        fitted._learn(fitted._read_first(X))
        task.end(fitted)
        self.__dict__ = fitted.__dict__  # all attributes at once, and none on an error
        return self

    def transform(self, X: Any) -> Any:
        """Transform sequences.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in `fit`. If that was given a 2-D array, the number of columns must be the same; else
            sequences may have any length.

        Returns
        -------
        ndarray, list, tuple or dataframe
            The transformed sequences as floats, in the form of ``X``. A padded 3-D array is padded
            with NaN again. With ``set_output(transform="pandas")`` or ``"polars"``, 2-D arrays are
            frames, and so are the elements of a list.

        Raises
        ------
        ValueError
            If an input is malformed or has another form than in `fit`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.preprocessing import SequenceScaler
        >>> scaler = SequenceScaler("minmax").fit([np.array([0.0, 2.0]), np.array([4.0])])
        >>> scaler.transform([np.array([1.0, 3.0, 4.0])])
        [array([0.25, 0.75, 1.  ])]
        """
        check_is_fitted(self)
        fitted = shallow_copy(self)  # another thread may fit this transformer anew
        return fitted._contain(X, fitted._apply(fitted._read(X)))

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit to sequences and transform them.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in `fit`.
        y : None
            Not used, present here for API consistency by convention.

        Returns
        -------
        ndarray, list, tuple or dataframe
            As returned by `transform`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.preprocessing import SequenceDifferences
        >>> X = [np.array([1.0, 2.0, 5.0]), np.array([3.0])]
        >>> SequenceDifferences(append=False).fit_transform(X)
        [array([0., 1., 3.]), array([0.])]
        """
        return self.fit(X, y).transform(X)

    def _read_first(self, X: Any) -> Sequences:
        """Sequences of X, whose form is set on this transformer."""
        sequences = self._check(X)
        self._form = InputForm.of(sequences, self)
        self.__dict__.pop("feature_names_in_", None)
        self.__dict__.update(self._form.attributes)
        return sequences

    def _read(self, X: Any) -> Sequences:
        """Sequences of X, if it has the form that `fit` saw."""
        return self._form.check(self._check(X), self)

    @property
    def _table(self) -> bool:
        """Whether `fit` saw a 2-D array."""
        return self._form.table

    def _check(self, X: Any) -> Sequences:
        sequences = check_sequences(X, ensure_all_finite=not self._takes_gaps, estimator=self)
        if self._takes_gaps:
            refuse_infinity(sequences, type(self).__name__)
        return sequences

    def _step_function(self) -> StepFunction:
        """How to transform one time step at a time; a ValueError says why this is not possible."""
        raise ValueError("it needs whole sequences")

    def _stateless(self) -> StepFunction:
        """The function of a transformer that treats each time step independently."""
        return StepFunction(
            apply=lambda rows, state: (self._apply(single_steps(rows)).values, state, None),
            read=self._read_step,
            n_features=self._form.n_channels,
            accepts="gaps" if self._takes_gaps else "finite",
        )

    def _read_step(self, X_t: Any) -> NDArray[Any]:
        return self._form.step_values(X_t, self)

    def _contain(self, X: Any, result: Sequences) -> Any:
        """The result in the form of X, and in frames if `set_output` asks for them."""
        config = getattr(self, "_sklearn_output_config", {})
        wanted = config.get("transform", get_config()["transform_output"])
        named = self._table == (result.form == "2d")  # columns of a table, or channels
        if wanted == "default" or result.form == "3d" or not named:
            return in_form_of(X, result)
        frames = Frames(self.get_feature_names_out()).set_output(transform=wanted)
        if result.form == "2d":
            return frames.transform(X, in_form_of(X, result))
        parts = result.like_input(result.values)
        return [
            frames.transform(x if len(x) == len(part) else None, part)  # x may have an index
            for x, part in zip(open_container(X), parts, strict=True)
        ]

    def _to_plain(self, attributes: dict[str, Any]) -> dict[str, Any]:
        form = attributes.pop("_form", None)
        return attributes if form is None else {**attributes, "form": form.as_dict()}

    def _from_plain(self, state: dict[str, Any]) -> dict[str, Any]:
        form = state.pop("form", None)
        return state if form is None else {**state, "_form": InputForm(**form)}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self._takes_gaps
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class FitTask:
    """The task of a fit, for scikit-learn's callbacks."""

    def __init__(self, transformer: Any, X: Any, y: Any) -> None:
        self._transformer = transformer
        self._data = {"X": X, "y": y}
        self._context = transformer._init_callback_context()
        self._context.call_on_fit_task_begin(estimator=transformer, **self._data)

    def end(self, fitted: Any) -> None:
        """Call the callbacks; ``fitted`` has the attributes that the transformer will have."""
        learned = {k: v for k, v in vars(fitted).items() if k not in CALLBACK_ATTRIBUTES}
        self._context.call_on_fit_task_end(
            estimator=self._transformer, reconstruction_attributes=learned, **self._data
        )


class Frames(TransformerMixin, BaseEstimator):
    """Puts a 2-D array into a frame, as scikit-learn does for the results of transformers."""

    def __init__(self, names: NDArray[Any]) -> None:
        self.names = names

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        return self.names

    def transform(self, X: Any, rows: Any) -> Any:
        return rows


def in_form_of(X: Any, result: Sequences) -> Any:
    """The result as an array, list, tuple or object array, whichever X is.

    A single channel has no axis if X has none, unless the result has the form "3d".
    """
    flat = result.flat and result.form != "3d" and result.values.shape[1] == 1
    parts: Any = result.like_input(result.values[:, 0] if flat else result.values)
    if result.form == "list" and isinstance(X, np.ndarray):
        return as_objects(parts)
    return tuple(parts) if isinstance(X, tuple) and result.form == "list" else parts


def distinct(names: NDArray[Any]) -> NDArray[Any]:
    """The names, with a number at the end of those that occurred before: "a", "b", "a_2"."""
    found: dict[str, None] = {}
    for name in names.tolist():
        numbered = (f"{name}_{k}" for k in count(2))
        found[next(n for n in chain([name], numbered) if n not in found)] = None
    return np.array(list(found), dtype=object)


def refuse_infinity(sequences: Sequences, name: str) -> None:
    wrong = np.isinf(sequences.values)
    if wrong.any():
        row, feature = np.argwhere(wrong)[0]
        sample, step = sequences.where(row)
        raise ValueError(
            f"Input X contains infinity at sample {sample}, time step {step}, feature {feature}. "
            f"{name} expects finite numbers, or NaN where one is missing."
        )
