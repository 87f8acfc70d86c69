"""Check, pack and convert sequences.

The forms of ``X`` that the estimators accept are described in `check_sequences`.
"""

from sklstm.sequences._converters import (
    from_channels_first,
    from_concatenated,
    from_nan_padded,
    make_windows,
    to_channels_first,
    to_concatenated,
    to_nan_padded,
)
from sklstm.sequences._long_frames import from_long_frame, to_long_frame
from sklstm.sequences._nested_frames import from_nested_frame, to_nested_frame
from sklstm.sequences._packing import PackedSequences, Sequences
from sklstm.sequences._reading import check_sequences
from sklstm.sequences._splitters import WindowGroupKFold, WindowTimeSeriesSplit

__all__ = [
    "PackedSequences",
    "Sequences",
    "WindowGroupKFold",
    "WindowTimeSeriesSplit",
    "check_sequences",
    "from_channels_first",
    "from_concatenated",
    "from_long_frame",
    "from_nan_padded",
    "from_nested_frame",
    "make_windows",
    "to_channels_first",
    "to_concatenated",
    "to_long_frame",
    "to_nan_padded",
    "to_nested_frame",
]

# Pickles name these objects by the public path.
for _name in __all__:
    globals()[_name].__module__ = __name__
