"""The same sequences in the containers of NumPy, pandas, polars, pyarrow, PyTorch and xarray.

``ELEMENTS`` and ``REFUSED_ELEMENTS`` make a container of one array (n, k) of small integers in
float64; ``COLLECTIONS`` and ``REFUSED_COLLECTIONS`` make one of a list of arrays.
"""

import importlib.util
from itertools import count

import numpy as np
import pandas as pd
import polars as pl
from data import objects
from scipy.sparse import csr_array, csr_matrix

NAMES = ["a", "b", "c", "d"]


def installed(package):
    return importlib.util.find_spec(package) is not None


# --- one array ---


def frame(x, index=None):
    """A frame whose rows are labelled by ``index``, a function of their number."""
    return pd.DataFrame(x, columns=NAMES[: x.shape[1]], index=index and index(len(x)))


def floats(n):
    return np.arange(n)[::-1] + 0.5


def days(n):
    return pd.date_range("2024-01-01", periods=n)


def pairs(n):
    return pd.MultiIndex.from_arrays([["x"] * n, np.arange(n)[::-1]])


def memmap(x):
    copy = np.memmap(_unused_path(), x.dtype, "w+", shape=x.shape)
    copy[:] = x
    return copy


_numbers = count()


def _unused_path():
    import tempfile

    return f"{tempfile.mkdtemp()}/{next(_numbers)}.bin"


def read_only(x):
    copy = x.copy()
    copy.flags.writeable = False
    return copy


class ArrayLike:
    """An array of a library that is not known; as in PyTorch, ``size`` is a method."""

    def __init__(self, x):
        self._x = x
        self.shape = x.shape

    def __len__(self):
        return len(self._x)

    def __array__(self, dtype=None, copy=None):
        return np.array(self._x, dtype)

    def size(self):
        return self.shape


ELEMENTS = {
    "array-like": ArrayLike,
    "lists": np.ndarray.tolist,
    "tuples": lambda x: tuple(map(tuple, x.tolist())),
    "objects": lambda x: x.astype(object),
    "Fortran order": np.asfortranarray,
    "read-only": read_only,
    "memmap": memmap,
    "big-endian": lambda x: x.astype(">f8"),
    "float16": lambda x: x.astype(np.float16),
    "float32": lambda x: x.astype(np.float32),
    "longdouble": lambda x: x.astype(np.longdouble),
    "int8": lambda x: x.astype(np.int8),
    "frame": frame,
    "frame with a float index": lambda x: frame(x, floats),
    "frame with a datetime index": lambda x: frame(x, days),
    "frame with a MultiIndex": lambda x: frame(x, pairs),
    "frame of objects": lambda x: frame(x).astype(object),
    "nullable frame": lambda x: frame(x).convert_dtypes(),
    "nullable float32 frame": lambda x: frame(x).astype("Float32"),
    "categorical frame": lambda x: frame(x).astype("category"),
    "polars frame": lambda x: pl.DataFrame(x, schema=NAMES[: x.shape[1]]),
}
REFUSED_ELEMENTS = {
    "masked": lambda x: np.ma.masked_array(x, x > 0),
    "without a masked value": np.ma.masked_array,
    "sparse array": csr_array,
    "sparse matrix": csr_matrix,
    "sparse frame": lambda x: frame(x).astype(pd.SparseDtype(float)),
    "dates": lambda x: x.astype("M8[s]"),
    "time spans": lambda x: x.astype("m8[s]"),
    "NaT": lambda x: np.full(x.shape, np.datetime64("NaT")),
    "dates as objects": lambda x: x.astype("M8[s]").astype(object),
    "complex": lambda x: x * 1j,
    "complex objects": lambda x: (x * 1j).astype(object),
    "texts": lambda x: np.full(x.shape, "a"),
    "numbers as text": lambda x: x.astype(str),
    "records": lambda x: np.zeros(x.shape, [("a", float)]),
    "frame with a column of texts": lambda x: frame(x).assign(a="text"),
    "frame with a column of dates": lambda x: frame(x).assign(a=days(len(x))),
    "frame with a column of time spans": lambda x: frame(x).assign(a=days(len(x)) - days(1)[0]),
    "frame with a complex column": lambda x: frame(x).assign(a=1j),
    "frame with categories of texts": lambda x: frame(x).assign(a=pd.Categorical(["t"] * len(x))),
    "polars frame with texts": lambda x: pl.DataFrame(x).with_columns(a=pl.lit("t")),
    "polars frame with dates": lambda x: pl.DataFrame(x).with_columns(a=pl.lit(days(1)[0])),
}
if installed("pyarrow"):
    import pyarrow as pa

    ELEMENTS |= {
        "table of pyarrow": lambda x: pa.table(dict(zip(NAMES, x.T.copy(), strict=False))),
        "frame of pyarrow": lambda x: frame(x).convert_dtypes(dtype_backend="pyarrow"),
    }
    REFUSED_ELEMENTS["table of pyarrow with texts"] = lambda x: pa.table(
        {"a": ["t"] * len(x), **dict(zip(NAMES[1:], x.T[1:].copy(), strict=False))}
    )
if installed("torch"):
    import torch

    ELEMENTS |= {
        "tensor": lambda x: torch.tensor(x),
        "tensor with a gradient": lambda x: torch.tensor(x, requires_grad=True),
        "tensor of bfloat16": lambda x: torch.tensor(x, dtype=torch.bfloat16),
        "tensor of int64": lambda x: torch.tensor(x).long(),
    }
    REFUSED_ELEMENTS |= {
        "complex tensor": lambda x: torch.tensor(x * 1j),
        "sparse tensor": lambda x: torch.tensor(x).to_sparse(),
    }
if installed("xarray"):
    import xarray as xr

    ELEMENTS["array of xarray"] = xr.DataArray
    REFUSED_ELEMENTS |= {
        "dates of xarray": lambda x: xr.DataArray(x.astype("M8[ns]")),
        "data set of xarray": lambda x: xr.Dataset({"a": (("t", "k"), x)}),
    }


# --- many arrays ---


def series(parts, index=None):
    return pd.Series(list(parts), index=index and index(len(parts)), dtype=object)


def lists(parts):
    return [x.tolist() for x in parts]


COLLECTIONS = {
    "list": list,
    "tuple": tuple,
    "list of lists": lists,
    "object array": objects,
    "column of objects": lambda parts: objects(parts).reshape(-1, 1),
    "series": series,
    "series with a float index": lambda parts: series(parts, floats),
    "series with a datetime index": lambda parts: series(parts, days),
    "series with a MultiIndex": lambda parts: series(parts, pairs),
    "series of lists": lambda parts: series(lists(parts)),
    "frame of one column": lambda parts: pd.DataFrame({"a": series(parts, floats)}),
    "frame of lists": lambda parts: pd.DataFrame({"a": series(lists(parts))}),
    "series of polars": lambda parts: pl.Series("a", lists(parts)),
    "frame of polars": lambda parts: pl.DataFrame({"a": lists(parts)}),
    "objects of polars": lambda parts: pl.Series("a", list(parts), dtype=pl.Object),
}
REFUSED_COLLECTIONS = {
    "generator": lambda parts: (x for x in parts),
    "iterator": iter,
    "dict": lambda parts: dict(enumerate(parts)),
    "values of a dict": lambda parts: dict(enumerate(parts)).values(),
    "masked objects": lambda parts: np.ma.masked_array(objects(parts)),
    "frame of two columns": lambda parts: pd.DataFrame({"a": series(parts), "b": series(parts)}),
    "polars frame of two columns": lambda parts: pl.DataFrame(
        {"a": lists(parts), "b": lists(parts)}
    ),
    "groups": lambda parts: pd.DataFrame({"a": range(len(parts)), "b": 0.0}).groupby("a"),
}
if installed("pyarrow"):
    COLLECTIONS |= {
        "list array of pyarrow": lambda parts: pa.array(lists(parts)),
        "chunks of pyarrow": lambda parts: pa.chunked_array(
            [pa.array(lists(parts[:2])), pa.array(lists(parts[2:]))]
        ),
        "table of pyarrow": lambda parts: pa.table({"a": lists(parts)}),
        "series of pyarrow": lambda parts: pd.Series(
            pa.array(lists(parts)), dtype=pd.ArrowDtype(pa.array(lists(parts)).type)
        ),
    }


# --- one value for each sample ---


COLUMNS = {
    "list": np.ndarray.tolist,
    "tuple": lambda y: tuple(y.tolist()),
    "objects": lambda y: y.astype(object),
    "read-only": read_only,
    "memmap": memmap,
    "big-endian": lambda y: y.astype(">f8"),
    "float16": lambda y: y.astype(np.float16),
    "longdouble": lambda y: y.astype(np.longdouble),
    "int8": lambda y: y.astype(np.int8),
    "series": pd.Series,
    "series with a float index": lambda y: pd.Series(y, floats(len(y))),
    "series with a datetime index": lambda y: pd.Series(y, days(len(y))),
    "series with a MultiIndex": lambda y: pd.Series(y, pairs(len(y))),
    "series of objects": lambda y: pd.Series(y, dtype=object),
    "nullable series": lambda y: pd.Series(y, dtype="Int64"),
    "categorical series": lambda y: pd.Series(y, dtype="category"),
    "index": pd.Index,
    "series of polars": lambda y: pl.Series("y", y),
}
REFUSED_COLUMNS = {
    "masked": lambda y: np.ma.masked_array(y, y > 0),
    "without a masked value": np.ma.masked_array,
    "complex": lambda y: y * 1j,
    "generator": lambda y: (value for value in y),
    "dict": lambda y: dict(enumerate(y)),
    "set": lambda y: set(y.tolist()),
    "text": lambda y: "text",
}
#: Of these, `LSTMClassifier` takes some as labels.
NO_NUMBERS = {
    "dates": lambda y: y.astype("M8[s]"),
    "time spans": lambda y: y.astype("m8[s]"),
    "NaT": lambda y: np.full(len(y), np.datetime64("NaT")),
    "texts": lambda y: ["a"] * len(y),
    "numbers as text": lambda y: y.astype(str),
    "series of texts": lambda y: pd.Series(["a"] * len(y)),
    "series of dates": lambda y: pd.Series(days(len(y))),
    "categories of texts": lambda y: pd.Series(["a", "b"] * (len(y) // 2), dtype="category"),
    "nullable with a missing one": lambda y: pd.Series([None, *y[1:]], dtype="Int64"),
}
if installed("pyarrow"):
    COLUMNS["array of pyarrow"] = pa.array
    COLUMNS["series of pyarrow"] = lambda y: pd.Series(y).convert_dtypes(dtype_backend="pyarrow")
if installed("torch"):
    COLUMNS["tensor"] = torch.tensor
    COLUMNS["tensor with a gradient"] = lambda y: torch.tensor(y, requires_grad=True)
    REFUSED_COLUMNS["complex tensor"] = lambda y: torch.tensor(y * 1j)
if installed("xarray"):
    COLUMNS["array of xarray"] = xr.DataArray
