"""What a fitted model computes inside, and which inputs its predictions depend on.

Each function accepts a fitted `LSTMClassifier` or `LSTMRegressor`, or a `Pipeline` that ends with
one. `permutation_importance` accepts any fitted estimator of sequences.
"""

from sklstm.inspection._gradients import input_gradients
from sklstm.inspection._integrated import integrated_gradients
from sklstm.inspection._permutation import permutation_importance
from sklstm.inspection._states import lstm_states

__all__ = [
    "input_gradients",
    "integrated_gradients",
    "lstm_states",
    "permutation_importance",
]

# Pickles name these objects by the public path.
for _name in __all__:
    globals()[_name].__module__ = __name__
