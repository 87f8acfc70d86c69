"""Prediction one time step at a time, with the state kept between steps."""

from sklstm.streaming._stream import SequenceStream

__all__ = ["SequenceStream"]

# Pickles name these objects by the public path.
for _name in __all__:
    globals()[_name].__module__ = __name__
