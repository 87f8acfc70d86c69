"""TokenEncoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sklstm._compat import Interval, StrOptions, _fit_context
from sklstm._persistence import PlainState

Codes = NDArray[np.int64]

SPLIT: dict[str, Callable[[str], Iterable[str]]] = {"word": str.split, "char": iter}


class TokenEncoder(
    PlainState,
    TransformerMixin,
    BaseEstimator,
    auto_wrap_output_keys=None,  # type: ignore[call-arg]  # scikit-learn has no types
):
    """Turn texts, or lists of tokens, into sequences of integers.

    Every token that was seen in `fit` gets a number from 1 on, the most frequent one first; 0
    stands for all others. An estimator with ``vocabulary_size`` set to ``vocabulary_size_`` (or to
    ``max_tokens``, known before any fit) learns a vector for each of them.

    Parameters
    ----------
    analyzer : {"word", "char"} or callable, default="word"
        How a text is cut into tokens: between runs of white space, into characters, or by a
        function that takes one element of ``X`` and returns tokens. Lists of tokens are only
        handed to a callable, and otherwise taken as they are.

    lowercase : bool, default=False
        Convert tokens to lower case.

    min_frequency : int or None, default=None
        Leave out tokens that occur less often in the data of `fit`.

    max_tokens : int or None, default=None
        Upper bound of ``vocabulary_size_``: only the ``max_tokens - 1`` most frequent tokens get a
        number of their own. Among equally frequent ones, those first in alphabetical order do.

    handle_unknown : {"index", "error"}, default="index"
        What `transform` does about a token without a number: give it 0, or raise an error that
        names it.

    unknown_token : str, default="<unknown>"
        What `inverse_transform` puts for 0. It never gets a number of its own.

    Attributes
    ----------
    vocabulary_ : dict of str to int
        The number of each token.

    tokens_ : ndarray of shape (`vocabulary_size_`,), dtype=object
        The token of each number; ``unknown_token`` at 0.

    vocabulary_size_ : int
        How many numbers there are, 0 included.

    See Also
    --------
    sklearn.feature_extraction.text.CountVectorizer : Counts tokens and forgets their order.

    Notes
    -----
    A text or list without any token is an error that names the sample, since an LSTM needs a step.

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
        """Number the tokens.

        Parameters
        ----------
        X : list, array or series of n_samples texts or sequences of tokens
            Texts are strings; tokens are strings in a list, tuple or array. A dataframe with one
            column is that column. In a 2-D array each row is a sequence of tokens.
        y : None
            Ignored; here for pipelines.

        Returns
        -------
        self : object
            The fitted encoder.

        Raises
        ------
        ValueError
            If a sample is neither, or has no token (the message names it), or if no token is
            frequent enough.
        """
        self._number(self._tokens(X))
        return self

    def transform(self, X: Any) -> Any:
        """Put numbers for tokens.

        Parameters
        ----------
        X : list, array or series of n_samples texts or sequences of tokens
            As in `fit`.

        Returns
        -------
        list of ndarray of shape (n_tokens_i,), dtype=int64
            The numbers of each sample's tokens; for a 2-D array, an array of its shape.

        Raises
        ------
        ValueError
            If a sample is malformed or has no token; with ``handle_unknown="error"``, if a token
            has no number.
        """
        check_is_fitted(self)
        return self._encode(self._tokens(X), X)

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Number the tokens, and put numbers for them.

        Parameters
        ----------
        X : list, array or series of n_samples texts or sequences of tokens
            As in `fit`.
        y : None
            Ignored; here for pipelines.

        Returns
        -------
        list of ndarray of shape (n_tokens_i,), dtype=int64
            As `transform` gives them.
        """
        self.fit(X, y)
        return self.transform(X)

    def inverse_transform(self, X: Any) -> Any:
        """Put tokens for numbers.

        Parameters
        ----------
        X : list of n_samples sequences of int, or 2-D array of int
            What `transform` returns.

        Returns
        -------
        list of list of str, or ndarray of str
            The tokens of each sample, ``unknown_token`` for 0; an array for an array.

        Raises
        ------
        ValueError
            If a sample is no sequence of numbers from 0 to ``vocabulary_size_ - 1``.
        """
        check_is_fitted(self)
        codes = [self._check_codes(x, k) for k, x in enumerate(_elements(X))]
        if _is_table(X):
            return self.tokens_[np.stack(codes)]
        return [self.tokens_[x].tolist() for x in codes]

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Name the one channel of the sequences that `transform` returns.

        Parameters
        ----------
        input_features : object, default=None
            Ignored; here for pipelines.

        Returns
        -------
        ndarray of shape (1,)
            "token".
        """
        check_is_fitted(self)
        return np.array(["token"], dtype=object)

    def _tokens(self, X: Any) -> list[list[str]]:
        """The tokens of each sample, at least one."""
        return [self._tokens_of(x, k) for k, x in enumerate(_elements(X))]

    def _tokens_of(self, x: Any, sample: int) -> list[str]:
        if callable(self.analyzer):
            found = self.analyzer(x)
        elif isinstance(x, str):
            found = SPLIT[self.analyzer](x)
        elif isinstance(x, list | tuple) or len(getattr(x, "shape", ())) == 1:
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

    def _number(self, samples: list[list[str]]) -> None:
        counts = Counter(token for tokens in samples for token in tokens)
        del counts[self.unknown_token]
        least = self.min_frequency or 1
        kept = sorted((-count, token) for token, count in counts.items() if count >= least)
        if not kept:
            raise ValueError(
                f"X: expected a token that occurs min_frequency={least} times, found none"
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
        return np.stack(encoded) if _is_table(X) and same_lengths else encoded

    def _check_codes(self, x: Any, sample: int) -> Codes:
        codes = np.asarray(x)
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


def _is_table(X: Any) -> bool:
    return isinstance(X, np.ndarray) and X.ndim == 2


def _elements(X: Any) -> list[Any]:
    """The samples of X."""
    if isinstance(X, str | bytes | Mapping) or not hasattr(X, "__getitem__"):
        raise ValueError(
            "X: expected a list or an array of texts or of sequences of tokens, got "
            f"{type(X).__name__}"
        )
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
