"""
Watching a fit
==============

Loss curves tell whether a network still learns, and whether it learns by heart. The data are the
handwritten digits of scikit-learn, read row by row, with a few wrong labels. So a network that
learns all labels of the training data by heart is worse on other data.
"""

# %%
# Progress
# --------
# With ``verbose``, ``fit`` prints a line for every epoch, here for every tenth.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklstm import LSTMClassifier
from sklstm.plotting import LossCurveDisplay

X, y = load_digits(return_X_y=True)
X = X.reshape(-1, 8, 8)
X_train, X_val, y_train, y_val = train_test_split(X, y, train_size=500, stratify=y, random_state=0)
rng = np.random.default_rng(0)
wrong = rng.choice(500, size=75, replace=False)
y_train[wrong] = rng.integers(0, 10, size=75)

plain = LSTMClassifier(max_iter=40, verbose=10, random_state=0)
plain.fit(X_train, y_train, X_val=X_val, y_val=y_val)

# %%
# Early stopping keeps the epoch with the lowest validation loss. Dropout makes it harder to learn
# labels by heart. Labels are smoothed in training (``label_smoothing``), so that the training loss
# does not become zero.
stopped = LSTMClassifier(max_iter=40, early_stopping=True, n_iter_no_change=10, random_state=0).fit(
    X_train, y_train, X_val=X_val, y_val=y_val
)
dropped = LSTMClassifier(max_iter=40, dropout=0.5, random_state=0)
dropped.fit(X_train, y_train, X_val=X_val, y_val=y_val)

# %%
# Curves
# ------
models = {"defaults": plain, "early stopping": stopped, "dropout=0.5": dropped}
figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), sharey=True, layout="constrained")
for axis, (name, model) in zip(axes, models.items(), strict=True):
    LossCurveDisplay.from_estimator(model, ax=axis)
    axis.set_title(f"{name}: accuracy {model.score(X_val, y_val):.3f}")
    axis.label_outer()
plt.show()

# %%
# A callback of your own
# ----------------------
# With scikit-learn 1.9 or newer, an object that returns True at the end of an epoch stops the fit.


class StopAtLoss:
    """Stop when the training loss falls below a value."""

    def __init__(self, loss):
        self.loss = loss

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        return context.task_name == "epoch" and fitted_estimator.loss_ < self.loss


model = LSTMClassifier(max_iter=40, random_state=0)
if hasattr(model, "set_callbacks"):
    model.set_callbacks(StopAtLoss(0.7)).fit(X_train, y_train)
    print(f"stopped after {model.n_iter_} epochs, loss {model.loss_:.3f}")
