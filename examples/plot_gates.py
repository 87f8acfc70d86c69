"""
What the gates do
=================

A network learns to remember. Each sequence has random numbers in its first channel, and a mark at
one step in its second. The target is the number at the mark, many steps before the end. The gates
show how the network keeps it.
"""

# %%
# Training
# --------
import matplotlib.pyplot as plt
import numpy as np

from sklstm import LSTMRegressor
from sklstm.inspection import lstm_states
from sklstm.plotting import StatesDisplay

N_STEPS = 20
rng = np.random.default_rng(0)
numbers = rng.uniform(-1, 1, size=(2300, N_STEPS))
marked = rng.integers(2, N_STEPS // 2 - 1, size=2300)
marks = np.eye(N_STEPS)[marked]
X = np.stack([numbers, marks], axis=2)
y = numbers[np.arange(2300), marked]

model = LSTMRegressor(12, pooling="last", max_iter=60, learning_rate_init=0.02, random_state=0)
model.fit(X[:2000], y[:2000])
print(f"R2 on other sequences: {model.score(X[2000:], y[2000:]):.3f}")
print(model.summary())

# %%
# States and gates of one sequence
# --------------------------------
# At the mark (dotted line), most gates change. After it, some cells keep the number: their forget
# gates are near one (yellow), and their input gates near zero (dark).
k = 2003
quantities = ["cell_states", "input_gates", "forget_gates"]
display = StatesDisplay.from_estimator(model, X[k], quantities=quantities)
for axis in display.axes_:
    axis.axvline(marked[k], color="black", linestyle=":")
plt.show()

# %%
# The mean over many sequences
# ----------------------------
# At the mark, the forget gates close for a step, which erases what most cells held. The input gates
# of some units open and those of others close, so that their mean changes little. The curves are
# means over 300 sequences and all units, with time counted from the mark.
states = lstm_states(model, X[2000:])
around = np.arange(-2, 12)
rows = np.arange(300)[:, None]
figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
styles = {
    "input_gates": {"color": "#0072B2"},
    "forget_gates": {"color": "#D55E00", "linestyle": "--"},
    "output_gates": {"color": "#009E73", "linestyle": ":"},
}
for name, style in styles.items():
    gates = states[name][rows, marked[2000:, None] + around]
    axis.plot(around, gates.mean(axis=(0, 2)), label=name.replace("_", " "), **style)
axis.axvline(0, color="0.7", linewidth=0.8)
axis.set(xlabel="steps after the mark", ylabel="mean of all units")
axis.legend()
plt.show()
