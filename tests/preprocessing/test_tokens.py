"""TokenEncoder: texts and tokens to integers, and the inverse."""

import pickle
from collections import Counter

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from sklstm import LSTMClassifier
from sklstm.preprocessing import TokenEncoder

TEXTS = ["to be or not to be", "to  sleep\tto dream\n", "Be"]
WORDS = [["to", "be", "or", "not", "to", "be"], ["to", "sleep", "to", "dream"], ["Be"]]


def objects(samples):
    array = np.empty(len(samples), dtype=object)
    array[:] = samples
    return array


@pytest.fixture
def random_words(rng):
    letters = np.array(list("abcdefgh"))
    return [["".join(rng.choice(letters, 2)) for _ in range(n)] for n in rng.integers(1, 9, 40)]


def assert_codes(found, expected):
    assert isinstance(found, list)
    for codes, numbers in zip(found, expected, strict=True):
        assert codes.dtype == np.int64
        assert codes.tolist() == numbers


def test_tokens_are_sorted_by_frequency_then_alphabetically():
    encoder = TokenEncoder().fit(TEXTS)
    assert encoder.tokens_.tolist() == [
        "<unknown>", "to", "be", "Be", "dream", "not", "or", "sleep",
    ]  # fmt: skip
    assert encoder.vocabulary_ == {t: k for k, t in enumerate(encoder.tokens_) if k}
    assert encoder.vocabulary_size_ == 8
    assert_codes(encoder.transform(TEXTS), [[1, 2, 6, 5, 1, 2], [1, 7, 1, 4], [3]])


def test_the_vocabulary_does_not_depend_on_the_order_of_samples(random_words, rng):
    counts = Counter(token for words in random_words for token in words)
    encoder = TokenEncoder().fit(random_words)
    tokens = encoder.tokens_[1:].tolist()
    assert tokens == sorted(counts, key=lambda token: (-counts[token], token))
    shuffled = [random_words[k][::-1] for k in rng.permutation(40)]
    assert TokenEncoder().fit(shuffled).vocabulary_ == encoder.vocabulary_


@pytest.mark.parametrize(
    "form",
    [
        list, tuple, np.array, pd.Series, lambda X: pd.DataFrame({"text": X}),
        lambda X: pl.Series(X), lambda X: pl.DataFrame({"text": X}), objects,
    ],
    ids=["list", "tuple", "array", "Series", "frame", "polars", "polars frame", "objects"],
)  # fmt: skip
def test_forms_of_texts(form):
    expected = TokenEncoder().fit(WORDS)
    encoder = TokenEncoder().fit(form(TEXTS))
    assert encoder.vocabulary_ == expected.vocabulary_
    assert {type(token) for token in encoder.vocabulary_} == {str}
    for found in (encoder.transform(form(TEXTS)), encoder.fit_transform(form(TEXTS))):
        assert_codes(found, [x.tolist() for x in expected.transform(WORDS)])


@pytest.mark.parametrize("outer", [list, tuple, objects])
@pytest.mark.parametrize("inner", [list, tuple, np.array, objects, pd.Series])
def test_forms_of_tokens(outer, inner):
    encoder = TokenEncoder().fit(TEXTS)
    X = outer([inner(words) for words in WORDS])
    assert TokenEncoder().fit(X).vocabulary_ == encoder.vocabulary_
    assert_codes(encoder.transform(X), [x.tolist() for x in encoder.transform(TEXTS)])


@pytest.mark.parametrize("dtype", [object, str])
def test_each_row_of_a_2d_array_is_a_sequence(dtype):
    X = np.array([["a", "b", "a"], ["c", "a", "new york"]], dtype=dtype)
    encoder = TokenEncoder().fit(X)
    codes = encoder.transform(X)
    np.testing.assert_array_equal(codes, [[1, 2, 1], [3, 1, 4]], strict=True)
    assert codes.dtype == np.int64
    np.testing.assert_array_equal(encoder.inverse_transform(codes), X.astype(object), strict=True)


def test_characters():
    encoder = TokenEncoder(analyzer="char").fit(["abba", "a b"])
    assert encoder.vocabulary_ == {"a": 1, "b": 2, " ": 3}
    assert_codes(encoder.transform(["b a?"]), [[2, 3, 1, 0]])


def pairs(text):
    return [text[k : k + 2] for k in range(len(text) - 1)]


def test_a_callable_analyzer():
    encoder = TokenEncoder(analyzer=pairs).fit(["abab"])
    assert encoder.vocabulary_ == {"ab": 1, "ba": 2}
    by_key = TokenEncoder(analyzer=lambda record: record["words"]).fit([{"words": ["x", "y"]}])
    assert by_key.vocabulary_ == {"x": 1, "y": 2}


def test_lower_case():
    encoder = TokenEncoder(lowercase=True).fit(["Be BE be", ["Or"]])
    assert encoder.vocabulary_ == {"be": 1, "or": 2}
    assert_codes(encoder.transform(["bE OR"]), [[1, 2]])


@pytest.mark.parametrize("minimum", [1, 2, 3, 4])
def test_min_frequency(minimum, random_words):
    random_words += [["often"] * 4]
    counts = Counter(token for words in random_words for token in words)
    encoder = TokenEncoder(min_frequency=minimum).fit(random_words)
    assert encoder.vocabulary_.keys() == {t for t, count in counts.items() if count >= minimum}


@pytest.mark.parametrize("maximum", [2, 3, 5, 1000])
def test_max_tokens_limits_the_vocabulary(maximum, random_words):
    everything = TokenEncoder().fit(random_words)
    encoder = TokenEncoder(max_tokens=maximum).fit(random_words)
    assert encoder.vocabulary_size_ == min(maximum, everything.vocabulary_size_)
    assert encoder.tokens_.tolist() == everything.tokens_[:maximum].tolist()
    codes = np.concatenate(encoder.transform(random_words))
    assert codes.max() == encoder.vocabulary_size_ - 1
    assert (codes == 0).any() == (maximum < everything.vocabulary_size_)


def test_unknown_tokens():
    encoder = TokenEncoder(unknown_token="?").fit(["a b", "?"])
    assert "?" not in encoder.vocabulary_
    assert_codes(encoder.transform(["b z a", "?"]), [[2, 0, 1], [0]])
    assert encoder.inverse_transform([[2, 0, 1]]) == [["b", "?", "a"]]
    encoder.set_params(handle_unknown="error")
    assert_codes(encoder.transform(["b a"]), [[2, 1]])
    with pytest.raises(ValueError, match=r"X\[1\]: the token 'z' is not in the vocabulary"):
        encoder.transform(["a", "b z a y"])


def test_round_trip(random_words):
    encoder = TokenEncoder()
    codes = encoder.fit_transform(random_words)
    assert encoder.inverse_transform(codes) == random_words
    assert encoder.inverse_transform([x.tolist() for x in codes]) == random_words
    assert encoder.inverse_transform([x.astype(np.uint8) for x in codes]) == random_words


def test_copies(random_words):
    encoder = TokenEncoder(min_frequency=2, max_tokens=20).fit(random_words)
    expected = [x.tolist() for x in encoder.transform(random_words)]
    assert_codes(pickle.loads(pickle.dumps(encoder)).transform(random_words), expected)
    copy = clone(encoder)
    assert not hasattr(copy, "vocabulary_")
    assert_codes(copy.fit_transform(random_words), expected)


def test_feature_names():
    assert TokenEncoder().fit(TEXTS).get_feature_names_out().tolist() == ["token"]


@pytest.mark.parametrize("wrong", ["", "  \n", [], (), np.array([], dtype=str)], ids=repr)
def test_a_sample_without_tokens_is_an_error(wrong):
    encoder = TokenEncoder().fit(TEXTS)
    for method in (encoder.transform, TokenEncoder().fit, TokenEncoder().fit_transform):
        with pytest.raises(ValueError, match=r"X\[1\]: expected at least one token, found none"):
            method(["a", wrong])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.nan, r"X\[1\]: expected a text or a sequence of tokens, got float: nan"),
        (None, r"X\[1\]: expected a text or a sequence of tokens, got NoneType"),
        (b"a b", r"X\[1\]: expected a text or a sequence of tokens, got bytes"),
        ({"a": 1}, r"X\[1\]: expected a text or a sequence of tokens, got dict"),
        ([1, 2], r"X\[1\]: expected tokens that are strings, got int: 1"),
        (["a", None], r"X\[1\]: expected tokens that are strings, got NoneType"),
        (["a", ["b"]], r"X\[1\]: expected tokens that are strings, got list"),
        (np.array([["a"]]), r"X\[1\]: expected a text or a sequence of tokens, got ndarray"),
    ],
    ids=repr,
)
def test_error_messages_name_the_sample(wrong, message):
    encoder = TokenEncoder().fit(TEXTS)
    for method in (encoder.transform, TokenEncoder().fit):
        with pytest.raises(ValueError, match=message):
            method(["a", wrong])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("a text", "expected a list or an array of texts .* got str"),
        (3, "expected a list or an array of texts .* got int"),
        ({"a": 1}, "expected a list or an array of texts .* got dict"),
        ({"a"}, "expected a list or an array of texts .* got set"),
        ([], "expected at least one sample"),
        (np.array("a"), r"expected a list of samples, got an array of shape \(\)"),
        (np.array([[["a"]]]), r"expected a list of samples, got an array of shape \(1, 1, 1\)"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), "expected one column of texts, got 2"),
    ],
    ids=repr,
)
def test_error_messages_about_all_of_X(wrong, message):
    encoder = TokenEncoder().fit(TEXTS)
    for method in (encoder.transform, TokenEncoder().fit):
        with pytest.raises(ValueError, match=message):
            method(wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([[1], [8]], r"X\[1\]: expected numbers from 0 to 7, got 8"),
        ([[1], [2, -1]], r"X\[1\]: expected numbers from 0 to 7, got -1"),
        ([[1], [1.0]], r"X\[1\]: expected a sequence of integers, got list"),
        ([[1], 2], r"X\[1\]: expected a sequence of integers, got int"),
        ([[1], ["to"]], r"X\[1\]: expected a sequence of integers"),
    ],
    ids=repr,
)
def test_numbers_without_a_token_are_an_error(wrong, message):
    with pytest.raises(ValueError, match=message):
        TokenEncoder().fit(TEXTS).inverse_transform(wrong)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"analyzer": "sentence"}, "'analyzer' parameter of TokenEncoder"),
        ({"lowercase": "yes"}, "'lowercase' parameter"),
        ({"min_frequency": 0}, "'min_frequency' parameter"),
        ({"max_tokens": 1}, "'max_tokens' parameter"),
        ({"handle_unknown": "ignore"}, "'handle_unknown' parameter"),
        ({"unknown_token": 0}, "'unknown_token' parameter"),
        ({"min_frequency": 5}, "occurs min_frequency=5 times, found none"),
    ],
    ids=str,
)
def test_parameters_are_checked(parameters, message):
    encoder = TokenEncoder(**parameters)
    with pytest.raises(ValueError, match=message):
        encoder.fit(TEXTS)
    assert not hasattr(encoder, "vocabulary_")


@pytest.mark.parametrize("method", ["transform", "inverse_transform", "get_feature_names_out"])
def test_not_fitted(method):
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        getattr(TokenEncoder(), method)(TEXTS)


@pytest.mark.parametrize(("library", "Frame"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)])
@pytest.mark.parametrize("everywhere", [False, True])
def test_set_output(library, Frame, everywhere):
    texts = ["ja nein ja", "da"]
    expected = TokenEncoder().fit_transform(texts)
    encoder = TokenEncoder()
    if not everywhere:
        encoder = clone(encoder.set_output(transform=library))
    with config_context(transform_output=library if everywhere else "default"):
        for out in (encoder.fit_transform(texts), encoder.transform(texts)):
            for frame, codes in zip(out, expected, strict=True):
                assert type(frame) is Frame
                assert list(frame.columns) == ["token"]
                np.testing.assert_array_equal(frame["token"].to_numpy(), codes)
        assert encoder.inverse_transform(out) == [text.split() for text in texts]
        table = np.array([["ja", "nein"], ["nein", "ja"]])
        assert type(encoder.fit_transform(table)) is np.ndarray


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_set_output_of_a_pipeline(seed):
    texts, y = ["ja nein ja", "da", "nein", "da ja"], [0, 1, 0, 1]
    lstm = LSTMClassifier(4, max_iter=3, vocabulary_size=4, random_state=seed)
    expected = make_pipeline(TokenEncoder(), clone(lstm)).fit(texts, y).predict_proba(texts)
    pipeline = make_pipeline(TokenEncoder(), lstm).set_output(transform="pandas")
    np.testing.assert_array_equal(pipeline.fit(texts, y).predict_proba(texts), expected)
