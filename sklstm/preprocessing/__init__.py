"""Transformers of sequences. They return sequences in the form of their input."""

from sklstm.preprocessing._convolutions import RandomConvolutions
from sklstm.preprocessing._differences import SequenceDifferences
from sklstm.preprocessing._imputer import SequenceImputer
from sklstm.preprocessing._scaler import SequenceScaler
from sklstm.preprocessing._static import AppendStatic
from sklstm.preprocessing._steps import StepTransformer
from sklstm.preprocessing._tables import ToSequences
from sklstm.preprocessing._tokens import TokenEncoder
from sklstm.preprocessing._window_scaling import WindowScaledRegressor
from sklstm.preprocessing._windows import SlidingWindow

__all__ = [
    "AppendStatic",
    "RandomConvolutions",
    "SequenceDifferences",
    "SequenceImputer",
    "SequenceScaler",
    "SlidingWindow",
    "StepTransformer",
    "ToSequences",
    "TokenEncoder",
    "WindowScaledRegressor",
]

# Pickles name these objects by the public path.
for _name in __all__:
    globals()[_name].__module__ = __name__
