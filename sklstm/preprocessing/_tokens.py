"""Encoding of texts as sequences of integers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sklstm._compat import (
    CALLBACK_ATTRIBUTES,
    CallbackSupportMixin,
    Interval,
    StrOptions,
    _fit_context,
)
from sklstm._persistence import PlainState, shallow_copy
from sklstm.preprocessing._base import FitTask, Frames
from sklstm.preprocessing._streams import State, StepFunction
from sklstm.sequences._containers import is_sequence, open_container, refuse

Codes = NDArray[np.int64]

SPLIT: dict[str, Callable[[str], Iterable[str]]] = {"word": str.split, "char": iter}


# scikit-learn would wrap `transform`, and put a list of arrays into one frame.
class _Encoding(
    PlainState,
    CallbackSupportMixin,
    TransformerMixin,
    BaseEstimator,
    auto_wrap_output_keys=None,  # type: ignore[call-arg]  # scikit-learn has no types
):
    """What a class needs that has `set_output` and is not wrapped."""

    fit: Callable[..., Self]
    _tokens: Callable[[Any], list[list[str]]]
    _encode: Callable[[list[list[str]], Any], Any]

    def transform(self, X: Any) -> Any:
        """Encode tokens as integers.

        Parameters
        ----------
        X : list, array or series of n_samples texts or sequences of tokens
            As in `fit`.

        Returns
        -------
        list of ndarray of shape (n_tokens_i,), dtype=int64
            The numbers of the tokens of each sample. With ``set_output(transform="pandas")`` or
            ``"polars"``, a list of frames with the column "token". If ``X`` is a 2-D array, an
            array of the same shape.

        Raises
        ------
        ValueError
            If a sample is malformed or has no token, or if ``handle_unknown="error"`` and a token
            is not in the vocabulary.

        Examples
        --------
        >>> from sklstm.preprocessing import TokenEncoder
        >>> TokenEncoder().fit(["to be or not"]).transform(["not to be", "to sleep"])
        [array([2, 4, 1]), array([4, 0])]
        """
        check_is_fitted(self)
        return self._contain(self._encode(self._tokens(X), X))

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Build the vocabulary and encode the tokens.

        Parameters
        ----------
        X : list, array or series of n_samples texts or sequences of tokens
            As in `fit`.
        y : None
            Not used, present here for API consistency by convention.

        Returns
        -------
        list of ndarray of shape (n_tokens_i,), dtype=int64
            The result of `transform`.

        Examples
        --------
        >>> from sklstm.preprocessing import TokenEncoder
        >>> TokenEncoder().fit_transform(["to be", "or not to be"])
        [array([2, 1]), array([4, 3, 2, 1])]
        """
        self.fit(X, y)
        return self.transform(X)

    def _contain(self, encoded: Any) -> Any:
        """The result, in frames if `set_output` asks for them."""
        config = getattr(self, "_sklearn_output_config", {})
        wanted = config.get("transform", get_config()["transform_output"])
        if wanted == "default" or not isinstance(encoded, list):
            return encoded
        frames = Frames(np.array(["token"], dtype=object)).set_output(transform=wanted)
        return [frames.transform(None, codes[:, None]) for codes in encoded]


class TokenEncoder(_Encoding):
    """Encode texts or lists of tokens as sequences of integers.

    The tokens in the training data are numbered from 1, the most frequent token first. All other
    tokens are encoded as 0. The estimators take the encoded sequences with the parameter
    ``vocabulary_size`` set to the attribute ``vocabulary_size_``, or to ``max_tokens``.

    Parameters
    ----------
    analyzer : {"word", "char"} or callable, default="word"
        How to split a text into tokens.

        - "word": at white space.
        - "char": into characters.
        - callable: a function that is called with each element of ``X`` and returns its tokens.

        Elements that are lists of tokens are not split, unless ``analyzer`` is a callable.

    lowercase : bool, default=False
        Whether to convert tokens to lower case.

    min_frequency : int or None, default=None
        Ignore tokens that occur fewer times in the training data.

    max_tokens : int or None, default=None
        Maximum of ``vocabulary_size_``: only the ``max_tokens - 1`` most frequent tokens are in the
        vocabulary. Equally frequent tokens are sorted alphabetically.

    handle_unknown : {"index", "error"}, default="index"
        How `transform` encodes a token that is not in the vocabulary: "index" encodes it as 0,
        "error" raises an error.

    unknown_token : str, default="<unknown>"
        The token that `inverse_transform` returns for 0. It is never in the vocabulary.

    Attributes
    ----------
    vocabulary_ : dict of str to int
        The number of each token.

    tokens_ : ndarray of shape (`vocabulary_size_`,), dtype=object
        The token of each number. The first one is ``unknown_token``.

    vocabulary_size_ : int
        Number of tokens in the vocabulary plus one, for unknown tokens.

    See Also
    --------
    sklearn.feature_extraction.text.CountVectorizer : Counts tokens, regardless of their order.

    Notes
    -----
    A text or list without tokens raises an error, since sequences have at least one time step.

    Examples
    --------
    >>> from sklstm.preprocessing import TokenEncoder
    >>> encoder = TokenEncoder().fit(["to be or not to be", "to sleep"])
    >>> encoder.vocabulary_
    {'to': 1, 'be': 2, 'not': 3, 'or': 4, 'sleep': 5}
    >>> encoder.transform(["to dream", ["not", "to", "be"]])
    [array([1, 0]), array([3, 1, 2])]
    >>> encoder.inverse_transform([[1, 0]])
    [['to', '<unknown>']]
    """

    _transient = CALLBACK_ATTRIBUTES
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "analyzer": [StrOptions({"word", "char"}), callable],
        "lowercase": ["boolean"],
        "min_frequency": [None, Interval(Integral, 1, None, closed="left")],
        "max_tokens": [None, Interval(Integral, 2, None, closed="left")],
        "handle_unknown": [StrOptions({"index", "error"})],
        "unknown_token": [str],
    }

    def __init__(
        self,
        *,
        analyzer: str | Callable[[Any], Iterable[str]] = "word",
        lowercase: bool = False,
        min_frequency: int | None = None,
        max_tokens: int | None = None,
        handle_unknown: str = "index",
        unknown_token: str = "<unknown>",
    ) -> None:
        self.analyzer = analyzer
        self.lowercase = lowercase
        self.min_frequency = min_frequency
        self.max_tokens = max_tokens
        self.handle_unknown = handle_unknown
        self.unknown_token = unknown_token

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Build the vocabulary.

        Parameters
        ----------
        X : list, array or series of n_samples texts or sequences of tokens
            A text is a string. A sequence of tokens is a list, tuple or 1-D array of strings. Each
            row of a 2-D array is a sequence of tokens. A dataframe must have one column.
        y : None
            Not used, present here for API consistency by convention.

        Returns
        -------
        self : object
            The fitted encoder.

        Raises
        ------
        ValueError
            If a sample is neither a text nor a sequence of tokens or has no token (the message
            names the sample), or if no token is frequent enough.

        Examples
        --------
        >>> from sklstm.preprocessing import TokenEncoder
        >>> TokenEncoder(analyzer="char").fit(["abba"]).vocabulary_
        {'a': 1, 'b': 2}
        """
        task = FitTask(self, X, y)
        fitted = shallow_copy(self)
        fitted._build_vocabulary(fitted._tokens(X))
        task.end(fitted)
        self.__dict__ = fitted.__dict__
        return self

    def inverse_transform(self, X: Any) -> Any:
        """Decode integers to tokens.

        Parameters
        ----------
        X : list of n_samples sequences of int, or 2-D array of int
            Encoded sequences.

        Returns
        -------
        list of list of str, or ndarray of str
            The tokens of each sample, with ``unknown_token`` for 0. If ``X`` is a 2-D array, an
            array of the same shape.

        Raises
        ------
        ValueError
            If a sample is not a sequence of integers from 0 to ``vocabulary_size_ - 1``.

        Examples
        --------
        >>> from sklstm.preprocessing import TokenEncoder
        >>> TokenEncoder().fit(["to be or not"]).inverse_transform([[1, 2], [3, 0]])
        [['be', 'not'], ['or', '<unknown>']]
        """
        check_is_fitted(self)
        codes = [self._check_codes(x, k) for k, x in enumerate(_samples(X))]
        if _is_2d_array(X):
            return self.tokens_[np.stack(codes)]
        return [self.tokens_[x].tolist() for x in codes]

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the name of the only channel of the sequences that `transform` returns.

        Parameters
        ----------
        input_features : object, default=None
            Not used, present here for API consistency by convention.

        Returns
        -------
        ndarray of shape (1,)
            "token".

        Examples
        --------
        >>> from sklstm.preprocessing import TokenEncoder
        >>> TokenEncoder().fit(["to be"]).get_feature_names_out()
        array(['token'], dtype=object)
        """
        check_is_fitted(self)
        return np.array(["token"], dtype=object)

    def _tokens(self, X: Any) -> list[list[str]]:
        """Return the tokens of each sample, at least one."""
        return [self._tokens_of(x, k) for k, x in enumerate(_samples(X))]

    def _tokens_of(self, x: Any, sample: int) -> list[str]:
        if callable(self.analyzer):
            found = self.analyzer(x)
        elif isinstance(x, str):
            found = SPLIT[self.analyzer](x)
        elif is_sequence(x) and len(getattr(x, "shape", (1,))) == 1:
            found = x
        else:
            raise ValueError(
                f"X[{sample}]: expected a text or a sequence of tokens, got {type(x).__name__}: "
                f"{x!r}"
            )
        tokens = [self._check_token(token, sample) for token in found]
        if not tokens:
            raise ValueError(f"X[{sample}]: expected at least one token, found none in {x!r}")
        return tokens

    def _check_token(self, token: Any, sample: int) -> str:
        if not isinstance(token, str):
            raise ValueError(
                f"X[{sample}]: expected tokens that are strings, got {type(token).__name__}: "
                f"{token!r}"
            )
        return str(token.lower() if self.lowercase else token)

    def _build_vocabulary(self, samples: list[list[str]]) -> None:
        counts = Counter(token for tokens in samples for token in tokens)
        del counts[self.unknown_token]
        minimum = self.min_frequency or 1
        kept = sorted((-count, token) for token, count in counts.items() if count >= minimum)
        if not kept:
            raise ValueError(
                f"X: expected a token that occurs min_frequency={minimum} times, found none"
            )
        tokens = [self.unknown_token, *(token for _, token in kept)][: self.max_tokens]
        self.tokens_ = np.array(tokens, dtype=object)
        self.vocabulary_ = {token: k for k, token in enumerate(tokens) if k}
        self.vocabulary_size_ = len(tokens)

    def _encode(self, samples: list[list[str]], X: Any) -> Any:
        number = self.vocabulary_.get
        encoded: list[Codes] = [
            np.array([number(token, 0) for token in tokens], dtype=np.int64) for tokens in samples
        ]
        if self.handle_unknown == "error":
            for k, codes in enumerate(encoded):
                if not codes.all():
                    token = samples[k][int(np.argmin(codes))]
                    raise ValueError(f"X[{k}]: the token {token!r} is not in the vocabulary")
        same_lengths = len(set(map(len, encoded))) == 1
        return np.stack(encoded) if _is_2d_array(X) and same_lengths else encoded

    def _step_function(self) -> StepFunction:
        if callable(self.analyzer):
            raise ValueError("its analyzer is a function of whole samples")
        return StepFunction(self._encode_step, _read_tokens, 1, accepts="all")

    def _encode_step(self, rows: Any, state: State) -> tuple[Codes, State, None]:
        tokens = [[self._check_token(token, k)] for k, token in enumerate(rows[:, 0])]
        return np.stack(self._encode(tokens, None)), state, None

    def _check_codes(self, x: Any, sample: int) -> Codes:
        codes = np.asarray(x)
        if hasattr(x, "columns") and codes.ndim == 2 and codes.shape[1] == 1:
            codes = codes[:, 0]
        if codes.ndim != 1 or codes.dtype.kind not in "iu":
            raise ValueError(
                f"X[{sample}]: expected a sequence of integers, got {type(x).__name__}: {x!r}"
            )
        wrong = (codes < 0) | (codes >= self.vocabulary_size_)
        if wrong.any():
            raise ValueError(
                f"X[{sample}]: expected numbers from 0 to {self.vocabulary_size_ - 1}, got "
                f"{codes[np.argmax(wrong)]}"
            )
        return codes.astype(np.int64, copy=False)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags


def _read_tokens(X_t: Any) -> NDArray[Any]:
    """The tokens of one time step, one for each stream."""
    if isinstance(X_t, str):
        return np.array([X_t], dtype=object)
    refuse(X_t, "X_t")
    return np.asarray(X_t, dtype=object)


def _is_2d_array(X: Any) -> bool:
    return isinstance(X, np.ndarray) and X.ndim == 2


def _samples(X: Any) -> list[Any]:
    if isinstance(X, str | bytes | Mapping) or not hasattr(X, "__getitem__"):
        raise ValueError(
            "X: expected a list or an array of texts or of sequences of tokens, got "
            f"{type(X).__name__}"
        )
    X = X if isinstance(X, list | tuple) else open_container(X)
    if hasattr(X, "columns"):
        if len(X.columns) != 1:
            raise ValueError(f"X: expected one column of texts, got {len(X.columns)}")
        X = X[X.columns[0]]
    shape = getattr(X, "shape", (1,))
    if len(shape) not in (1, 2):
        raise ValueError(f"X: expected a list of samples, got an array of shape {shape}")
    samples = list(X)
    if not samples:
        raise ValueError("X: expected at least one sample, got none")
    return samples
