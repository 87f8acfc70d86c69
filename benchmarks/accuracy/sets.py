"""Read the data sets of a folder, their official splits, and the published results in its README.

A data set is either a file NAME.npz with ``train_values`` (steps of all sequences, channels),
``train_lengths`` (sequences,) and ``train_y`` (sequences,), and the same with ``test_``; or two
files NAME_TRAIN.ts and NAME_TEST.ts in the format of timeseriesclassification.com. It is a
regression if its targets are real numbers.

If the folder has a README.md with a table that begins with ``| set | task |``, it names the sets
and their order.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Split(NamedTuple):
    """Sequences, a 3-D array if they have equal lengths and otherwise a list, and targets."""

    X: Any
    y: Array


class DataSet(NamedTuple):
    name: str
    is_regression: bool
    train: Split
    test: Split


def read_sets(folder: Path, names: list[str] | None = None) -> list[DataSet]:
    """Read all data sets, or only those with these names."""
    known = _names(folder)
    unknown = set(names or ()) - set(known)
    if unknown:
        raise SystemExit(f"{folder} has no set named {', '.join(sorted(unknown))}")
    return [_read(folder, name) for name in known if not names or name in names]


def read_figures(folder: Path) -> dict[str, dict[str, float]]:
    """Return the published results: accuracy in percent, or root mean squared error."""
    text = _readme(folder)
    figures: dict[str, dict[str, float]] = {}
    for header, *rows in _tables(text):
        if len(header) > 2 and all(_is_number(cell) for row in rows for cell in row[1:]):
            for name, *cells in rows:
                figures[name] = dict(zip(header[1:], map(float, cells), strict=True))
    for name, list_of_errors in re.findall(r"(\w+), RMSE: (.+?)\.(?:\s|$)", text, flags=re.DOTALL):
        pairs = re.findall(r"\s*(.+?) ([\d.]+\d)(?:,|$)", list_of_errors.replace("\n", " "))
        figures[name] = {method: float(error) for method, error in pairs}
    return figures


def _names(folder: Path) -> list[str]:
    """Return the names of the data sets: those that the README lists, or else all."""
    files = {f.stem for f in folder.glob("*.npz")}
    files |= {f.stem.removesuffix("_TRAIN") for f in folder.rglob("*_TRAIN.ts")}
    listed = [
        row[0]
        for header, *rows in _tables(_readme(folder))
        if header[:2] == ["set", "task"]
        for row in rows
    ]
    found = [name for name in listed if name in files] or sorted(files)
    if not found:
        raise SystemExit(f"{folder} has no files NAME.npz or NAME_TRAIN.ts")
    return found


def _readme(folder: Path) -> str:
    path = folder / "README.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _tables(text: str) -> list[list[list[str]]]:
    """Return the Markdown tables as rows of cells, without the line below the header."""
    blocks = re.findall(r"(?:^\|.*\|\s*$\n?)+", text, flags=re.MULTILINE)
    tables = []
    for block in blocks:
        rows = [line.strip().strip("|").split("|") for line in block.strip().splitlines()]
        cells = [[cell.strip() for cell in row] for row in rows]
        tables.append([row for row in cells if not all(set(cell) <= set("-: ") for cell in row)])
    return tables


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", cell) is not None


def _read(folder: Path, name: str) -> DataSet:
    path = folder / f"{name}.npz"
    train, test = _splits(path) if path.is_file() else _ts_splits(folder, name)
    return DataSet(name, train.y.dtype.kind == "f", train, test)


def _splits(path: Path) -> list[Split]:
    with np.load(path) as arrays:
        return [
            Split(_sequences(arrays[f"{part}_values"], arrays[f"{part}_lengths"]), targets)
            for part in ("train", "test")
            for targets in [arrays[f"{part}_y"]]
        ]


def _ts_splits(folder: Path, name: str) -> list[Split]:
    paths = [next(folder.rglob(f"{name}_{part}.ts"), None) for part in ("TRAIN", "TEST")]
    if paths[1] is None:
        raise SystemExit(f"{folder} has {name}_TRAIN.ts, but no {name}_TEST.ts")
    return [read_ts(path) for path in paths if path is not None]


def read_ts(path: Path) -> Split:
    """Read a file of sequences without time stamps, with a class label or a number at each end.

    Channels may have different lengths only if shorter ones end in missing values: "?".
    """
    header: dict[str, str] = {}
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("@"):
            key, _, value = text[1:].partition(" ")
            header[key.lower()] = value.strip().lower()
        elif text and not text.startswith("#"):
            lines.append(text)
    if header.get("timestamps", "false") != "false":
        raise SystemExit(f"{path}: files with time stamps are not supported")
    cells = [line.split(":") for line in lines]
    sequences = [np.stack([_numbers(channel) for channel in row[:-1]], axis=1) for row in cells]
    targets = np.array([row[-1].strip() for row in cells])
    if "targetlabel" in header:
        targets = targets.astype(float)
    values = np.concatenate(sequences)
    if np.isnan(values).any():
        raise SystemExit(f"{path}: missing values are not supported, except at the ends")
    return Split(_sequences(values, np.array([len(x) for x in sequences])), targets)


def _numbers(channel: str) -> Array:
    """Return the values of a channel, without missing ones at the end."""
    values = np.array([float("nan" if v.strip() == "?" else v) for v in channel.split(",")])
    known = np.flatnonzero(~np.isnan(values))
    return values[: known[-1] + 1] if len(known) else values[:0]


def _sequences(values: Array, lengths: Array) -> Any:
    if (lengths == lengths[0]).all():
        return values.reshape(len(lengths), lengths[0], -1)
    return np.split(values, np.cumsum(lengths)[:-1])
