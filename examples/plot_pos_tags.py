"""
Part-of-speech tagging
======================

A tagger predicts a label for each step of a sequence: is this word a noun, a verb or an adverb?
With ``return_sequences=True``, a classifier predicts one label for each step. With
``bidirectional=True``, it uses the words before and after each word.

With the folder of :doc:`/examples_data`, the sentences are questions to an airline::

    python examples/plot_pos_tags.py DATA_FOLDER

Otherwise they are generated.
"""

# %%
# Sentences
# ---------
# A sentence is a list of words and a list of tags. In generated sentences, the tags of some words
# depend on their position ("book a light room"), and most names of towns occur only once.
import csv
import sys
from collections import Counter
from itertools import groupby
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import Pipeline

from sklstm import LSTMClassifier
from sklstm.metrics import accuracy_score, get_scorer
from sklstm.plotting import StepProbabilitiesDisplay
from sklstm.preprocessing import TokenEncoder

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else None
PATTERNS = """VERB PRON DET NOUN ADP PROPN | PRON VERB DET ADJ NOUN | AUX DET NOUN ADJ
DET NOUN ADP PROPN VERB ADV | VERB DET NOUN ADP DET NOUN ADP PROPN | PROPN AUX ADV ADJ"""
WORDS = {
    "VERB": "show book light need stop", "NOUN": "show book light flight stop room",
    "ADJ": "light early late fast", "ADV": "early late fast now", "DET": "a the this",
    "PRON": "me i you", "AUX": "is was", "ADP": "to from in",
}  # fmt: skip


def read_sentences(path):
    splits = {"train": [], "dev": [], "test": []}
    with path.open(encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        for (split, _), steps in groupby(rows, lambda row: (row["split"], row["sentence"])):
            splits[split].append([(step["token"], step["upos"]) for step in steps])
    return splits


def generate_sentences(n_sentences, rng):
    patterns = [pattern.split() for pattern in PATTERNS.replace("\n", "|").split("|")]
    town = ["".join(rng.choice(["ber", "lin", "ka", "to", "mun"], 4)) for _ in range(300)]
    words = {tag: text.split() for tag, text in WORDS.items()} | {"PROPN": town}
    return [
        [(rng.choice(words[tag]), tag) for tag in patterns[rng.integers(len(patterns))]]
        for _ in range(n_sentences)
    ]


if FOLDER is not None:
    splits = read_sentences(FOLDER / "atis_pos.tsv")
else:
    rng = np.random.default_rng(0)
    splits = {name: generate_sentences(n, rng) for name, n in [("train", 1000), ("dev", 300)]}
    splits["test"] = generate_sentences(300, rng)
X = {name: [[str(word) for word, _ in steps] for steps in splits[name]] for name in splits}
y = {name: [[tag for _, tag in steps] for steps in splits[name]] for name in splits}
print(f"data: {'ATIS' if FOLDER else 'generated'},", *(f"{len(X[s])} {s}" for s in X), "sentences")

# %%
# Baseline
# --------
# The baseline predicts the most frequent tag of each word, and the most frequent tag of all words
# for an unknown word.
seen = [step for sentence in splits["train"] for step in sentence]
tags = {}
for (word, tag), _ in Counter(seen).most_common():
    tags.setdefault(word, tag)
(usual, _), *_ = Counter(tag for _, tag in seen).most_common()
guessed = [[tags.get(word, usual) for word in words] for words in X["test"]]
print(f"most frequent tag of each word: test accuracy {accuracy_score(y['test'], guessed):.4f}")

# %%
# Training
# --------
# Words that occur only once in the training data are encoded as unknown, so that the vector of
# unknown words is trained. The dropout rate is chosen on the dev split. The scorers of scikit-learn
# need one label for each sample; those of :mod:`sklstm.metrics` accept one label for each step.
tagger = LSTMClassifier(
    32, bidirectional=True, return_sequences=True, vocabulary_size=2000, batch_size=64,
    max_iter=10, dtype="float32", random_state=0,
)  # fmt: skip
model = Pipeline([("encode", TokenEncoder(min_frequency=2, max_tokens=2000)), ("tag", tagger)])
dev = PredefinedSplit([-1] * len(X["train"]) + [0] * len(X["dev"]))
search = GridSearchCV(
    model, {"tag__dropout": [0.1, 0.3, 0.5]}, scoring=get_scorer("accuracy"), cv=dev
)
search.fit(X["train"] + X["dev"], y["train"] + y["dev"])
for options, score in zip(
    search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
):
    print(f"{options}: dev accuracy {score:.4f}")

# %%
# Test
# ----
predicted = search.predict(X["test"])
print(f"LSTM, refitted on train and dev: test accuracy {search.score(X['test'], y['test']):.4f}")
new = [[word not in tags for word in words] for words in X["test"]]
print(
    f"test accuracy for the {sum(map(sum, new))} words that are not in the training data: "
    f"{accuracy_score(y['test'], predicted, sample_weight=new):.4f}"
)
print(*(f"{word}/{tag}" for word, tag in zip(X["test"][0], predicted[0], strict=True)))

# %%
# Probabilities along a sentence
# ------------------------------
# The curves are the probabilities of the tags that are likely at some word. The strip below them
# has the true tags.
words, true_tags = X["test"][0], np.asarray(y["test"][0])
[probabilities] = search.predict_proba([words])
likely = (probabilities.max(axis=0) > 0.05) | np.isin(search.classes_, true_tags)
figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
StepProbabilitiesDisplay.from_predictions(
    probabilities[:, likely], classes=search.classes_[likely], y_true=true_tags, ax=axis, marker="o"
)
axis.set_xticks(range(len(words)), words, rotation=30)
axis.set_xlabel("")
plt.show()
