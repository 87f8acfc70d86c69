"""Format measurements and their comparison with the targets as lines of text."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import targets
from problem import GRID, Shape
from targets import at_least, at_most, geometric_mean, ratios

UNUSABLE = "not compared with the target, because other programs were running"


def environment(options: Any, versions: dict[str, str]) -> dict[str, Any]:
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "clock": options.clock,
        "blas": blas_of_numpy(),
        "versions": {"python": platform.python_version()} | versions,
    }


def commit() -> str | None:
    """Return the commit of this repository, or None outside of a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def blas_of_numpy() -> str:
    """Return the name, the version and the architecture of NumPy's BLAS."""
    from threadpoolctl import threadpool_info

    found = [library for library in threadpool_info() if library["user_api"] == "blas"]
    found.sort(key=lambda library: "numpy" not in library["filepath"])
    if not found:
        return "unknown"
    parts = (found[0].get(key) for key in ("internal_api", "version", "architecture"))
    return " ".join(str(part) for part in parts if part)


def header(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"{facts['date']}, commit {facts['commit']}, {facts['cpu']}, {facts['cores']} cores,"
        f" {facts['clock']} time\n"
        f"{versions}; BLAS of NumPy: {facts['blas']}\n"
    )


def others_line(part: str, share: float) -> str:
    """State how much of the machine other programs used while a part was measured."""
    return f"({part}: other programs used {share:.0%} of the machine)\n"


def grid_title(kind: str, threads: int, kernels: list[str], rivals: list[str]) -> str:
    """Return the title and the column names of ``grid_line``."""
    columns = [f"{name:>9}" for name in kernels] + [f"{name[:7]:>9}" for name in rivals]
    columns += [f"{rival[:5] + '/' + name:>15}" for rival, name in _pairs(kernels, rivals)]
    title = f"\n{kind}, ms, {threads_name(threads)}; x/y: time of x divided by time of y\n"
    return title + f"{'batch, steps, in, hidden':<24}" + "".join(columns)


def grid_line(shape: Shape, row: dict[str, Any], kernels: list[str], rivals: list[str]) -> str:
    seconds = row["seconds"]
    cells = [f"{seconds['sklstm ' + name] * 1e3:9.3f}" for name in kernels]
    cells += [f"{seconds[name] * 1e3:9.3f}" for name in rivals]
    for rival, name in _pairs(kernels, rivals):
        cells.append(f"{seconds[rival] / seconds['sklstm ' + name]:15.2f}")
    return f"{', '.join(map(str, shape)):<24}" + "".join(cells) + ("" if row["quiet"] else " *")


def _pairs(kernels: list[str], rivals: list[str]) -> list[tuple[str, str]]:
    """Pair the first rival with all kernels, and the others with the fastest kernels."""
    return [(rival, name) for rival in rivals for name in kernels[: 1 if rival != rivals[0] else 9]]


def grid_lines(found: dict[str, Any]) -> list[str]:
    """Compare with each target, for each number of threads; for part of a grid, only give means."""
    lines = []
    whole = set(map(str, GRID))
    for threads, kinds in found.items():
        for target in targets.GRID:
            rows = kinds.get(target.kind, {})
            usable = {shape: row for shape, row in rows.items() if targets.usable(row)}
            name = f"{target.kind}, {target.kernels} against {target.rival}"
            name += f", {threads_name(int(threads))}: "
            if at := ratios(usable, target.rival, f"sklstm {target.kernels}"):
                lines.append(name + _judge(target, at, set(at) == whole))
            elif ratios(rows, target.rival, f"sklstm {target.kernels}"):
                lines.append(name + UNUSABLE)
    return lines


def _judge(target: targets.OnGrid, at: dict[str, float], whole_grid: bool) -> str:
    mean, shape = geometric_mean(list(at.values())), min(at, key=at.__getitem__)
    if not whole_grid:
        of = f"of {len(at)} shapes: geometric mean {mean:.2f}"
        return f"{of}, worst {at[shape]:.2f} at ({shape})"
    goal = "" if target.goal is None else f"; goal {target.goal:g}"
    return (
        f"mean {at_least(mean, target.mean)}{goal}; worst {at_least(at[shape], target.worst)}"
        f" at ({shape})"
    )


def jobs_title() -> str:
    title = "\nn_jobs 1 and 2, ms per batch; x: time with two divided by time with one\n"
    columns = "".join(
        f"{column:>9}" for column in ("train 1", "train 2", "x", "pred 1", "pred 2", "x")
    )
    return title + f"{'batch, steps, in, hidden':<44}" + columns


def jobs_line(name: str, shape: Shape, bidirectional: bool, row: dict[str, Any]) -> str:
    cells = ""
    for kind in row.values():
        one, two = kind["seconds"].values()
        cells += f"{one * 1e3:9.3f}{two * 1e3:9.3f}{two / one:9.2f}"
    quiet = all(kind["quiet"] for kind in row.values())
    label = f"{', '.join(map(str, shape))}, {name}{', bidirectional' if bidirectional else ''}"
    return f"{label:<44}" + cells + ("" if quiet else " *")


def jobs_lines(found: dict[str, Any]) -> list[str]:
    """Return the worst undisturbed row of each kernel set."""
    lines = []
    for name, rows in found.items():
        ratios = {}
        for label, row in rows.items():
            for kind, measured in row.items():
                one, two = measured["seconds"].values()
                if targets.usable(measured):
                    ratios[f"{kind} of ({label})"] = two / one
        if not ratios:
            lines.append(f"time with n_jobs=2 over n_jobs=1, {name}: {UNUSABLE}")
            continue
        worst = max(ratios, key=ratios.__getitem__)
        judged = at_most(ratios[worst], targets.MAX_SECOND_JOB)
        lines.append(f"time with n_jobs=2 over n_jobs=1, {name}: worst {judged} in {worst}")
    return lines


def stream_lines(found: dict[str, Any]) -> list[str]:
    seconds = found["seconds"]
    times = ", ".join(f"{name} {value * 1e6:.2f}" for name, value in seconds.items())
    lines = [f"streamed step, microseconds: {times}"]
    for rival, least in targets.STREAMED.items():
        if rival in seconds and "sklstm compiled" in seconds:
            ratio = seconds[rival] / seconds["sklstm compiled"]
            lines.append(f"streamed step, compiled against {rival}: {at_least(ratio, least)}")
    return lines


def fit_title() -> str:
    columns = f"{'process, s':>12}{'import, s':>11}{'epochs':>8}{'ms/epoch':>10}{'loss':>9}"
    return f"\nwhole fit in a new process, one thread\n{'':<32}{columns}"


def fit_line(data: str, side: str, found: dict[str, Any]) -> str:
    """Format a line from the results of ``whole_fit`` for one data set."""
    if side in found["skipped"]:
        return f"{data + ', ' + side:<32} not measured: {found['skipped'][side]}"
    cells = f"{found['seconds'][side]:12.2f}{found['import_seconds'][side]:11.2f}"
    cells += f"{found['epochs'][side]:8g}{found['seconds_an_epoch'][side] * 1e3:10.1f}"
    cells += f"{found['losses'][side]:9.4f}"
    return f"{data + ', ' + side:<32}" + cells


def fit_lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for data, sides in found.items():
        seconds = sides["seconds"]
        for rival in [side for side in seconds if not side.startswith("sklstm")]:
            for ours in [side for side in seconds if side.startswith("sklstm")]:
                ratio = seconds[rival] / seconds[ours]
                least = targets.WHOLE_FIT.get(rival)
                judged = f"{ratio:.2f}" if least is None else at_least(ratio, least)
                lines.append(f"whole fit of {data}, {ours[7:]} against {rival}: {judged}")
    return lines


def cold_lines(found: dict[str, Any]) -> list[str]:
    wall, cpu = found["wall"]["seconds"], found["cpu"]["seconds"]
    lines = [f"\nimport, fit and predict in a new process\n{'':<32}{'wall, s':>12}{'CPU, s':>11}"]
    lines += [f"{side:<32}{wall[side]:12.2f}{cpu[side]:11.2f}" for side in wall]
    for name, seconds in (("wall", wall), ("CPU", cpu)):
        if {"torch", "sklstm compiled, empty cache"} <= seconds.keys():
            ratio = seconds["sklstm compiled, empty cache"] / seconds["torch"]
            judged = at_most(ratio, targets.MAX_COLD)
            lines.append(f"{name} time with an empty cache over that of torch: {judged}")
    return lines


def calls_lines(found: dict[str, Any]) -> list[str]:
    """Compare the geometric mean and the worst shape of each call with the targets."""
    lines = []
    for (kind, kernels), (mean, worst) in targets.CALLS.items():
        if at := ratios(found[kind], "torch", f"sklstm {kernels}"):
            average, shape = geometric_mean(list(at.values())), min(at, key=at.__getitem__)
            lines.append(
                f"{kind}, {kernels} against torch: mean {at_least(average, mean)}; worst "
                f"{at_least(at[shape], worst)} at ({shape})"
            )
    return lines


def latency_lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for kind, rows in found.items():
        times = ", ".join(f"{name} {s * 1e6:.1f}" for name, s in rows["seconds"].items())
        lines.append(f"{kind} of one sequence, microseconds: {times}")
    seconds, steps = found["predict_proba"]["seconds"], found["step"]["seconds"]
    if {"torch", "sklstm compiled"} <= seconds.keys():
        ratio = seconds["torch"] / seconds["sklstm compiled"]
        judged = at_least(ratio, targets.MIN_LATENCY)
        lines.append(f"predict_proba of one sequence, compiled against torch: {judged}")
    for name, value in steps.items():
        side, _, kind = name.partition(", ")
        if kind != "float32 array":
            ratio = value / steps[f"{side}, float32 array"]
            judged = at_most(ratio, targets.MAX_CONVERTED_STEP)
            lines.append(f"step from a {kind} over a float32 array, {side}: {judged}")
    return lines


def vocabulary_lines(found: dict[str, Any]) -> list[str]:
    seconds = found["seconds"]
    times = ", ".join(f"{name} {value:.2f}" for name, value in seconds.items())
    lines = [f"an epoch with a vocabulary of 50,000, seconds: {times}"]
    for name in [name for name in seconds if name != "torch" and "torch" in seconds]:
        lines.append(f"the same, {name} against torch: {seconds['torch'] / seconds[name]:.2f}")
    return lines


def limit_lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for shape, row in found.items():
        for name, share in row["shares"].items():
            judged = f"{share:.2f}"
            if name == "compiled":
                judged = at_least(share, targets.MIN_SHARE)
            lines.append(f"products alone divided by training step, {name} at ({shape}): {judged}")
    return lines


def scale_lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for of in ("samples", "steps"):
        if of in found:
            times = {name.split()[1]: value for name, value in found[of]["seconds"].items()}
            series = ", ".join(f"{size}: {seconds:.3f}" for size, seconds in times.items())
            judged = at_most(found[of]["exponent"], targets.MAX_EXPONENT)
            lines.append(f"seconds per epoch by {of}: {series}; exponent {judged}")
    if "grid_search" in found:
        seconds = found["grid_search"]["seconds"]
        one, two = (seconds[f"sklstm, {n}"] for n in ("one worker", "two workers"))
        judged = at_least(one / two, targets.MIN_GRID_SEARCH)
        if not targets.usable(found["grid_search"]):
            judged = UNUSABLE
        lines.append(f"grid search: {one:.1f} s with one worker, {two:.1f} with two; {judged}")
    return lines + (memory_lines(found["fits"]) if "fits" in found else [])


def memory_lines(found: dict[str, Any]) -> list[str]:
    series = " ".join(f"{megabytes:.1f}" for megabytes in found["megabytes"])
    growth = found["slope"] * found["fits"] / found["megabytes"][0]
    return [
        f"resident memory over {found['fits']} fits, MB: {series}",
        f"slope: {found['slope'] * 1e3:+.2f} kB per fit; relative growth over all fits:"
        f" {at_most(growth, targets.MAX_GROWTH)}",
    ]


def ragged_lines(found: dict[str, Any]) -> list[str]:
    seconds = found["seconds"]
    ratio = seconds["sklstm ragged"] / seconds["sklstm padded"]
    return [
        f"ragged batch: {seconds['sklstm ragged'] * 1e3:.2f} ms, padded:"
        f" {seconds['sklstm padded'] * 1e3:.2f} ms, {found['share_of_steps']:.2f} of the steps;"
        f" ratio of times {at_most(ratio, targets.MAX_RAGGED)}"
    ]


def import_lines(found: Mapping[str, Any]) -> list[str]:
    ours, base = found["seconds"]["sklstm"], found["seconds"]["sklearn.base"]
    most = targets.MAX_IMPORT_SECONDS
    return [
        f"import sklstm: {ours * 1e3:.1f} ms after {base * 1e3:.0f} ms for sklearn.base"
        f" (at most {most * 1e3:.0f}): {targets.verdict(ours <= most)}"
    ]


def threads_name(n: int) -> str:
    return "one thread" if n == 1 else f"{n} threads"
