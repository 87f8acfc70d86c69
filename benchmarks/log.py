"""Write a result file of speed.py as text, and merge result files.

python benchmarks/log.py docs/measurements/speed.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import report
from problem import Shape

#: For each part, the function that compares its results with the targets.
SUMMARIES: dict[str, Callable[[Any], list[str]]] = {
    "grid": report.grid_lines,
    "jobs": report.jobs_lines,
    "stream": report.stream_lines,
    "limit": report.limit_lines,
    "fit": report.fit_lines,
    "cold": report.cold_lines,
    "latency": report.latency_lines,
    "calls": report.calls_lines,
    "vocabulary": report.vocabulary_lines,
    "scale": report.scale_lines,
    "ragged": report.ragged_lines,
    "import": report.import_lines,
}


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write(found: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def parts(found: Mapping[str, Any]) -> list[str]:
    """Return the parts that were measured, in the order of speed.py."""
    return [part for part in SUMMARIES if part in found]


def updated(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the results in ``new``, and of ``old`` the parts that ``new`` does not have."""
    merged = {**old, **new}
    for facts in ("environments", "others"):
        merged[facts] = {**old[facts], **new[facts]}
    return merged


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return the output of speed.py for these results."""
    text: list[str] = []
    header = None
    for part in parts(found):
        environment = found["environments"][part]
        if environment != header:
            text += [report.header(environment)]
            header = environment
        text += [*TABLES.get(part, lambda _: [])(found[part]), *SUMMARIES[part](found[part])]
        text += [report.others_line(part, found["others"][part])]
    return text


def grid_table(found: Mapping[str, Any]) -> list[str]:
    text = []
    for threads, kinds in found.items():
        for kind, rows in kinds.items():
            kernels, rivals = sides(rows)
            text += [report.grid_title(kind, int(threads), kernels, rivals)]
            text += [
                report.grid_line(Shape.parse(shape), row, kernels, rivals)
                for shape, row in rows.items()
            ]
    return [*text, ""]


def calls_table(found: Mapping[str, Any]) -> list[str]:
    kernels, rivals = sides(found["fit"])
    text = [report.grid_title("fit and predict_proba", 1, kernels, rivals)]
    for shape in found["fit"]:
        for kind, rows in found.items():
            line = report.grid_line(Shape.parse(shape), rows[shape], kernels, rivals)
            text += [f"{line}  {kind}"]
    return text


def jobs_table(found: Mapping[str, Any]) -> list[str]:
    text = [report.jobs_title()]
    for name, rows in found.items():
        for label, row in rows.items():
            shape, _, bidirectional = label.partition(", ")
            text += [report.jobs_line(name, Shape.parse(shape), bool(bidirectional), row)]
    return text


def fit_table(found: Mapping[str, Any]) -> list[str]:
    rows = [
        report.fit_line(data, side, of_data)
        for data, of_data in found.items()
        for side in [*of_data["seconds"], *of_data["skipped"]]
    ]
    return [report.fit_title(), *rows]


TABLES: dict[str, Callable[[Any], list[str]]] = {
    "grid": grid_table,
    "jobs": jobs_table,
    "fit": fit_table,
    "calls": calls_table,
}


def sides(rows: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the kernels of sklstm and the other libraries in the rows of a table."""
    names = list(next(iter(rows.values()))["seconds"])
    ours = [name.removeprefix("sklstm ") for name in names if name.startswith("sklstm")]
    return ours, [name for name in names if not name.startswith("sklstm")]


if __name__ == "__main__":
    print(*lines(read(Path(sys.argv[1]))), sep="\n")
