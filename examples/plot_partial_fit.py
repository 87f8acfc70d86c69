"""
Data larger than memory
=======================

``partial_fit`` trains on one batch of sequences at a time, so the sequences can be read from files.
This example writes 20 files with generated vibrations of machines, sequences of 30 to 80 steps, to
a temporary folder, and reads them again in each epoch. The model is as accurate as one that is
trained with ``fit`` on all sequences.
"""

# %%
# Files
# -----
# Each file contains the concatenated steps of its sequences, and the lengths of the sequences.
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sklstm import LSTMClassifier
from sklstm.preprocessing import SequenceScaler
from sklstm.sequences import from_concatenated, to_concatenated

LABELS = ["bearing", "gear", "sound"]  # worn bearing, worn gear, no damage


def record(label, rng):
    """Simulate two noisy sensors; bearings and gears have different frequencies when worn."""
    steps = np.arange(rng.integers(30, 81))
    pitch = {"bearing": 0.9, "gear": 1.1, "sound": 1.0}[label]
    wave = np.sin(pitch * steps + rng.uniform(0, 2 * np.pi))
    burst = np.sin(steps / 5 + rng.uniform(0, 6)) > 0 if label == "bearing" else 1
    signal = np.column_stack([wave * burst, np.cos(pitch * steps)])
    return (40 + 5 * (signal + rng.normal(0, 0.5, signal.shape))).astype(np.float32)


def write_files(folder, n_files, n_sequences, rng):
    for number in range(n_files):
        y = rng.choice(LABELS, n_sequences)
        values, lengths = to_concatenated([record(label, rng) for label in y])
        np.savez(folder / f"part{number:02}.npz", values=values, lengths=lengths, y=y)


def read_files(paths):
    for path in paths:
        with np.load(path) as part:
            yield from_concatenated(part["values"], part["lengths"]), part["y"]


temporary = tempfile.TemporaryDirectory()
write_files(Path(temporary.name), 20, 64, np.random.default_rng(0))
*train, _, _, _, _ = paths = sorted(Path(temporary.name).glob("*.npz"))
test = paths[len(train) :]


# %%
# Incremental training
# --------------------
# The scaler needs one pass over the files, the network several. Each call of ``partial_fit`` is one
# epoch over the sequences of the call, in batches of ``batch_size``, at a constant learning rate.
# The example sets a smaller learning rate for the last epochs.
def score(fitted):
    return np.mean([fitted.score(scaler.transform(X), y) for X, y in read_files(test)])


scaler = SequenceScaler()
for X, _ in read_files(train):
    scaler.partial_fit(X)

N_EPOCHS = 25
model = LSTMClassifier(32, random_state=0)
accuracies = []
order = np.random.default_rng(0)
for epoch in range(N_EPOCHS):
    model.set_params(learning_rate_init=0.01 if epoch < N_EPOCHS - 5 else 0.001)
    for X, y in read_files(order.permutation(train)):
        model.partial_fit(scaler.transform(X), y, classes=LABELS)
    accuracies.append(score(model))

# %%
# Training on all data
# --------------------
whole = [(x, label) for X, y in read_files(train) for x, label in zip(X, y, strict=True)]
X_train, y_train = zip(*whole, strict=True)
at_once = LSTMClassifier(32, max_iter=N_EPOCHS, random_state=0)
at_once.fit(scaler.transform(X_train), y_train)

for name, fitted in ("partial_fit", model), ("fit", at_once):
    print(f"{name}: test accuracy {score(fitted):.4f} after {fitted.t_} updates")

# %%
# Accuracy during training
# ------------------------
figure, axis = plt.subplots(figsize=(7, 3.5), layout="constrained")
axis.plot(np.arange(1, N_EPOCHS + 1), accuracies, marker=".", label="partial_fit")
axis.axhline(score(at_once), color="black", linestyle="--", label="fit on all sequences")
axis.axvline(N_EPOCHS - 4, color="0.6", linestyle=":", label="smaller learning rate")
axis.set(xlabel="epoch", ylabel="test accuracy")
axis.legend()
plt.show()
temporary.cleanup()
