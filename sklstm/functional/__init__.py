"""The forward and backward pass of an LSTM as functions, for one time step or for a sequence.

The functions use the same kernels as the estimators. All sequences of a batch have the same length.
Shapes: ``T`` time steps, ``N`` sequences, ``D`` inputs, ``H`` hidden units, ``K`` outputs.

The parameters are a dict with ``weight_ih`` (D, 4 H), ``weight_hh`` (H, 4 H) and ``bias`` (4 H,).
The gates are in the order input, forget, output, candidate. With an output layer, the dict also
has ``dense.weight`` (H, K) and ``dense.bias`` (K,). Other keys are ignored. ``parameters_`` of a
fitted estimator has those of its first layer, with ``lstm_0.`` before their names.

If all arguments of a forward pass are float32, so are its results and gradients. Otherwise they are
float64. No argument is modified. A cache holds copies and can be used for several backward passes.
"""

from sklstm.functional._lstm import (
    lstm_backward,
    lstm_cell_backward,
    lstm_cell_forward,
    lstm_forward,
    lstm_predict_backward,
    lstm_predict_forward,
    parameters_from_gates,
    parameters_to_gates,
    sigmoid,
    softmax,
)

__all__ = [
    "lstm_backward",
    "lstm_cell_backward",
    "lstm_cell_forward",
    "lstm_forward",
    "lstm_predict_backward",
    "lstm_predict_forward",
    "parameters_from_gates",
    "parameters_to_gates",
    "sigmoid",
    "softmax",
]

# Pickles name these objects by the public path.
for _name in __all__:
    globals()[_name].__module__ = __name__
