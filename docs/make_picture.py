"""Draw the pictures of README.md and of the user guide: python docs/make_picture.py"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sklstm import LSTMClassifier
from sklstm.streaming import SequenceStream

COLOURS = {"left": "#0072B2", "right": "#D55E00", "straight": "#009E73"}
TURNS = {"left": 0.08, "right": -0.08, "straight": 0.0}


def walk(rng, label):
    """Return the directions (n_timesteps, 2) of a walk of 20 to 60 steps."""
    angles = np.cumsum(rng.normal(TURNS[label], 0.15, size=rng.integers(20, 60)))
    return np.c_[np.cos(angles), np.sin(angles)]


def draw_walks(ax, X, y):
    shown = set()
    for x, label in zip(X, y, strict=True):
        path = np.cumsum(x, axis=0)
        name = None if label in shown else label
        ax.plot(*path.T, color=COLOURS[label], linewidth=1.2, label=name)
        ax.plot(*path[-1], "o", color=COLOURS[label], markersize=3)
        shown.add(label)
    ax.set(title="sequences of different lengths", aspect="equal", xticks=[], yticks=[])
    ax.legend(frameon=False, loc="lower right")


def draw_probabilities(ax, classifier, X, y):
    for x, label in zip(X, y, strict=True):
        stream = SequenceStream(classifier)
        probabilities = [stream.step_proba(x_t)[0] for x_t in x]
        of_label = np.array(probabilities)[:, list(classifier.classes_).index(label)]
        ax.plot(np.arange(1, len(x) + 1), of_label, color=COLOURS[label], linewidth=1.2)
    ax.set(title="predictions after each step", xlabel="time step", ylim=(-0.02, 1.02))
    ax.set_ylabel("probability of the true class")


def draw_sequences():
    """Left: sequences in the colours of their classes. Right: predictions for parts of them."""
    rng = np.random.default_rng(0)
    y = rng.choice(list(TURNS), size=400)
    X = [walk(rng, label) for label in y]
    classifier = LSTMClassifier(32, random_state=0).fit(X[:300], y[:300])
    print(f"accuracy of {len(X[300:])} new sequences: {classifier.score(X[300:], y[300:]):.2f}")
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    draw_walks(left, X[300:312], y[300:312])
    draw_probabilities(right, classifier, X[300:312], y[300:312])
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def draw_rows(ax, lengths, width, title, features=1, padded=False):
    """Draw each sequence as a row with a cell for each step; further features are behind it."""
    for row, length in enumerate(lengths):
        for step in range(width if padded else length):
            for feature in reversed(range(features)):
                shift = 0.22 * feature
                colour = "white" if step >= length else plt.cm.Blues(0.25 + 0.25 * feature)
                corner = (step + shift, -1.5 * row + shift)
                ax.add_patch(plt.Rectangle(corner, 0.9, 0.9, facecolor=colour, edgecolor="#333"))
            if step >= length:
                ax.text(step + 0.45, -1.5 * row + 0.45, "NaN", ha="center", va="center", size=5)
    ax.set(xlim=(-0.2, width + 0.8), ylim=(-1.5 * len(lengths) + 1, 1.8), aspect="equal")
    ax.set_title(title, size=9)
    ax.axis("off")


def draw_shapes():
    """The forms that X may have; rows are sequences, cells are time steps."""
    figure, axes = plt.subplots(1, 4, figsize=(11, 2.3), layout="constrained")
    draw_rows(axes[0], [6, 6, 6], 6, "2-D array (3, 6)\n3 series of 6 steps")
    draw_rows(axes[1], [6, 6, 6], 6, "3-D array (3, 6, 2)\n6 steps of 2 features", 2)
    draw_rows(axes[2], [6, 3, 5], 6, "list of (6, 2), (3, 2), (5, 2)\nany lengths", 2)
    draw_rows(axes[3], [6, 3, 5], 6, "3-D array (3, 6, 2)\npadded with NaN", 2, padded=True)
    return figure


def main():
    plt.rcParams["svg.hashsalt"] = "sklstm"  # the same file in every run
    for name, draw in {"sequences": draw_sequences, "shapes": draw_shapes}.items():
        path = Path(__file__).parent / "_static" / f"{name}.svg"
        draw().savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
