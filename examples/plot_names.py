"""
The language of a surname
=========================

Is Nakamura a Japanese name, and Kowalczyk a Polish one? Names are sequences of characters, of
different lengths: a bidirectional LSTM reads them, and has to beat what scikit-learn users would
try first, counts of character n-grams in a logistic regression.

With the folder of :doc:`/examples_data` there are 20,050 names from 18 languages::

    python examples/plot_names.py DATA_FOLDER

and without it fewer names, from languages that are made up.
"""

# %%
# Names
# -----
# A made-up language is a table of which letter likes to follow which: to count n-grams is the
# best that can be done about such names. About real names it is not.
import csv
import sys
from pathlib import Path

import numpy as np
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
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
            walk = [rng.integers(len(LETTERS))]
            while len(walk) < length:
                walk.append(rng.choice(len(LETTERS), p=follows[walk[-1]]))
            names.append("".join(LETTERS[walk]).title())
    languages = np.repeat([f"language {k}" for k in range(n_languages)], n_names).tolist()
    test = np.arange(len(names)) % 5 == 0
    return [[x[k] for k in np.flatnonzero(w)] for x in (names, languages) for w in (~test, test)]


if FOLDER is not None:
    X_train, X_test, y_train, y_test = read_names(FOLDER / "names.tsv")
else:
    X_train, X_test, y_train, y_test = generate_names(6, 300, np.random.default_rng(0))
kind = "names.tsv" if FOLDER else "generated"
print(f"data: {kind}, {len(X_train)} names to train, {len(X_test)} to test")

# %%
# What to beat
# ------------
ngrams = make_pipeline(
    TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True),
    LogisticRegression(C=10, max_iter=1000),
).fit(X_train, y_train)
print(f"character n-grams, logistic regression: test accuracy {ngrams.score(X_test, y_test):.4f}")

# %%
# Choose
# ------
# on a seventh of the training names. Characters that occur once are "unknown" in training.
lstm = LSTMClassifier(
    64, bidirectional=True, vocabulary_size=100, embedding_size=32, batch_size=64, dtype="float32",
    random_state=0,
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
# Train and test
# --------------
# Nets that began with different weights err differently: five of them vote with their
# probabilities.
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
for name, fitted in ("n-grams", ngrams), ("five LSTMs", model):
    balanced = balanced_accuracy_score(y_test, fitted.predict(X_test))
    print(f"{name}: balanced test accuracy {balanced:.4f}")
