"""Read the data sets of a folder, their official splits, and the published results in its README.

A data set is a file NAME.npz with ``train_values`` (steps of all sequences, channels),
``train_lengths`` (sequences,) and ``train_y`` (sequences,), and the same with ``test_``.
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
    """Read the data sets that the README lists, in its order, or only those with these names."""
    found = [_read(folder, name, task == "regression") for name, task in _tasks(folder).items()]
    unknown = set(names or ()) - {data.name for data in found}
    if unknown:
        raise SystemExit(f"{folder} has no set named {', '.join(sorted(unknown))}")
    return [data for data in found if not names or data.name in names]


def read_figures(folder: Path) -> dict[str, dict[str, float]]:
    """Return the published results: accuracy in percent, or root mean squared error."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    figures: dict[str, dict[str, float]] = {}
    for header, *rows in _tables(text):
        if len(header) > 2 and all(_is_number(cell) for row in rows for cell in row[1:]):
            for name, *cells in rows:
                figures[name] = dict(zip(header[1:], map(float, cells), strict=True))
    for name, list_of_errors in re.findall(r"(\w+), RMSE: (.+?)\.(?:\s|$)", text, flags=re.DOTALL):
        pairs = re.findall(r"\s*(.+?) ([\d.]+\d)(?:,|$)", list_of_errors.replace("\n", " "))
        figures[name] = {method: float(error) for method, error in pairs}
    return figures


def _tasks(folder: Path) -> dict[str, str]:
    """Return the name and the task of each data set, from the table with these columns."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    for header, *rows in _tables(text):
        if header[:2] == ["set", "task"]:
            return {row[0]: row[1] for row in rows if (folder / f"{row[0]}.npz").is_file()}
    raise SystemExit(f"{folder / 'README.md'} has no table that begins with | set | task |")


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


def _read(folder: Path, name: str, is_regression: bool) -> DataSet:
    with np.load(folder / f"{name}.npz") as arrays:
        splits = [
            Split(_sequences(arrays[f"{part}_values"], arrays[f"{part}_lengths"]), targets)
            for part in ("train", "test")
            for targets in [arrays[f"{part}_y"]]
        ]
    return DataSet(name, is_regression, *splits)


def _sequences(values: Array, lengths: Array) -> Any:
    if (lengths == lengths[0]).all():
        return values.reshape(len(lengths), lengths[0], -1)
    return np.split(values, np.cumsum(lengths)[:-1])
