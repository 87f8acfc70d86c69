"""
The language of a surname
=========================

Is Nakamura a Japanese name, and Kowalczyk a Polish one? Names are sequences of characters with
different lengths. This example classifies them with a bidirectional LSTM, and compares it with a
logistic regression on counts of character n-grams.

With the folder of :doc:`/examples_data`, the data are 20,050 names from 18 languages::

    python examples/plot_names.py DATA_FOLDER

Otherwise the example generates names of artificial languages.
"""

# %%
# Names
# -----
# An artificial language is a table with the probability of each pair of letters. For such names,
# n-grams are the optimal features. For real names they are not.
import csv
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit
from sklearn.pipeline import Pipeline, make_pipeline

from sklstm import LSTMClassifier
from sklstm.preprocessing import TokenEncoder

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else None
LETTERS = np.array(list("abcdefghijklmnoprstuvwyz"))


def read_names(path):
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    parts = [[row for row in rows if row["split"] == split] for split in ("train", "test")]
    return [[row[key] for row in part] for key in ("name", "class") for part in parts]


def generate_names(n_languages, n_names, rng):
    names = []
    for _ in range(n_languages):
        follows = rng.dirichlet(np.full(len(LETTERS), 0.2), size=len(LETTERS))
        for length in rng.integers(3, 9, size=n_names):
            name = [rng.integers(len(LETTERS))]
            while len(name) < length:
                name.append(rng.choice(len(LETTERS), p=follows[name[-1]]))
            names.append("".join(LETTERS[name]).title())
    languages = np.repeat([f"language {k}" for k in range(n_languages)], n_names).tolist()
    test = np.arange(len(names)) % 5 == 0
    return [[x[k] for k in np.flatnonzero(w)] for x in (names, languages) for w in (~test, test)]


if FOLDER is not None:
    X_train, X_test, y_train, y_test = read_names(FOLDER / "names.tsv")
else:
    X_train, X_test, y_train, y_test = generate_names(6, 300, np.random.default_rng(0))
kind = "names.tsv" if FOLDER else "generated"
print(f"data: {kind}, {len(X_train)} training names, {len(X_test)} test names")

# %%
# Baseline
# --------
ngrams = make_pipeline(
    TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True),
    LogisticRegression(C=10, max_iter=1000),
).fit(X_train, y_train)
print(f"character n-grams, logistic regression: test accuracy {ngrams.score(X_test, y_test):.4f}")

# %%
# Model selection
# ---------------
# The dropout rate is chosen on a seventh of the training names. Characters that occur only once are
# encoded as unknown, so that the vector of unknown characters is trained.
lstm = LSTMClassifier(
    64, bidirectional=True, vocabulary_size=100, embedding_size=32, batch_size=64, max_iter=20,
    dtype="float32", random_state=0,
)  # fmt: skip
model = Pipeline([
    ("encode", TokenEncoder(analyzer="char", min_frequency=2, max_tokens=100)),
    ("classify", lstm),
])  # fmt: skip
split = StratifiedShuffleSplit(1, test_size=1 / 7, random_state=0)
search = GridSearchCV(model, {"classify__dropout": [0.2, 0.5]}, cv=split, refit=False)
search.fit(X_train, y_train)
results = search.cv_results_
for options, score in zip(results["params"], results["mean_test_score"], strict=True):
    print(f"{options}: validation accuracy {score:.4f}")

# %%
# Training and test
# -----------------
# Networks with different initial weights make different errors. The final model averages the
# probabilities of five networks.
model.set_params(**search.best_params_)
seeds = [
    (f"seed {k}", LSTMClassifier(**{**lstm.get_params(), "random_state": k})) for k in range(5)
]
model.set_params(classify=VotingClassifier(seeds, voting="soft")).fit(X_train, y_train)
codes = model["encode"].transform(X_test)
labels = np.searchsorted(model.classes_, y_test)
single = [net.score(codes, labels) for net in model["classify"].estimators_]
print(f"single LSTMs: test accuracy {min(single):.4f} to {max(single):.4f}")
print(f"five LSTMs: test accuracy {model.score(X_test, y_test):.4f}")

# %%
# Balanced accuracy
# -----------------
# The largest probability gives the highest accuracy. If all languages count the same, the language
# whose probability is largest relative to its frequency is the better choice. Both models get both
# rules. The generated languages are equally frequent, so that the rules are the same, and the
# n-grams win, since pairs of letters are all that distinguishes the languages.
for name, fitted in ("n-grams", ngrams), ("five LSTMs", model):
    proba = fitted.predict_proba(X_test)
    frequencies = np.array([np.mean(np.array(y_train) == label) for label in fitted.classes_])
    for rule, values in (
        ("largest", proba),
        ("largest relative to the frequency", proba / frequencies),
    ):
        balanced = balanced_accuracy_score(y_test, fitted.classes_[values.argmax(axis=1)])
        print(f"{name}, {rule}: balanced test accuracy {balanced:.4f}")

# %%
# Which languages are confused
# ----------------------------
# Each row has the names of one language, and each column the names with one predicted language.
figure, axis = plt.subplots(figsize=(7, 6), layout="constrained")
ConfusionMatrixDisplay.from_predictions(
    y_test, model.predict(X_test), normalize="true", values_format=".2f", cmap="Blues",
    xticks_rotation=45, include_values=FOLDER is None, ax=axis,
)  # fmt: skip
plt.show()
