"""
Handwritten digits, read row by row
===================================

The 1,797 handwritten digits of scikit-learn are images of 8 by 8 pixels. Each image is read as a
sequence of 8 steps with 8 features, from top to bottom. A classifier with default parameters is
trained on them. It is then saved with joblib, loaded again, and compared with the original.
"""

# %%
# Fit and score
# -------------
# Results depend on the split, so this uses five different splits and seeds.
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklstm import LSTMClassifier

X, y = load_digits(return_X_y=True)
X = X.reshape(-1, 8, 8) / 16  # (samples, steps, features)

scores = []
for seed in range(5):
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=seed
    )
    start = time.perf_counter()
    model = LSTMClassifier(random_state=seed).fit(X_train, y_train)
    seconds = time.perf_counter() - start
    scores.append(model.score(X_test, y_test))
    print(
        f"seed {seed}: test accuracy {scores[-1]:.4f} after {model.n_iter_} epochs, {seconds:.1f} s"
    )
print(f"mean test accuracy of five seeds: {np.mean(scores):.4f}")

# %%
# Save and load
# -------------
# Like other scikit-learn estimators, a fitted model can be saved with joblib. The predictions of
# the loaded model are identical.
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "digits.joblib"
    joblib.dump(model, path)
    loaded = joblib.load(path)
    size = path.stat().st_size

same = np.array_equal(loaded.predict_proba(X_test), model.predict_proba(X_test))
print(f"loaded from {size / 1024:.0f} KiB, equal predictions: {same}")
assert same

# %%
# Misclassified digits
# --------------------
# The plot needs matplotlib (``pip install matplotlib``).
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("matplotlib is not installed: no plot")
else:
    predicted = model.predict(X_test)
    wrong = np.flatnonzero(predicted != y_test)[:8]
    figure = plt.figure(figsize=(9, 3.2), layout="constrained")
    curve, images = figure.subfigures(1, 2, width_ratios=[1.2, 1])
    axes = curve.subplots()
    axes.semilogy(np.arange(1, model.n_iter_ + 1), model.loss_curve_)
    axes.set(xlabel="epoch", ylabel="training loss", title=f"seed {seed}")
    for place, k in zip(images.subplots(2, 4).flat, range(8), strict=True):
        place.set_axis_off()
        if k < len(wrong):
            sample = wrong[k]
            place.imshow(X_test[sample], cmap="gray_r")
            place.set_title(f"{y_test[sample]}, predicted {predicted[sample]}", fontsize=8)
    plt.show()
