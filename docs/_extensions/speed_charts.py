"""Draw the charts of the page on performance from the results of benchmarks/speed.py."""

import log
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

NAMES = {
    "torch": "PyTorch",
    "keras": "Keras",
    "sklstm compiled": "sklstm, compiled",
    "sklstm numpy": "sklstm, NumPy",
}
#: Colours of Okabe and Ito, which people with colour blindness can tell apart.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
STYLE = {"svg.hashsalt": "sklstm", "font.size": 9, "axes.titlesize": 10}
WIDTH = 6.0  # inches; the text stays legible on a narrow screen


def save(results, folder):
    """Draw a file for each part that has a chart."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {part: draw for part, draw in CHARTS.items() if part.partition("-")[0] in results}
    for part, draw in drawn.items():
        with matplotlib.rc_context(STYLE):
            figure = draw(results[part.partition("-")[0]])
            if figure is not None:
                figure.savefig(folder / f"{part}.svg", metadata={"Date": None})


def name(side):
    library, comma, kind = side.partition(", ")
    return NAMES.get(library, library) + comma + kind


def axes(heights, **settings):
    """Return a figure and its axes, one below the other, without the upper and the right line."""
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.4), layout="constrained")
    found = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights, **settings)
    for ax in found[:, 0]:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, found[:, 0]


def bars(ax, labels, series, colours, form):
    """Draw horizontal bars: a group for each label, from top to bottom, a bar for each series."""
    height = 0.8 / len(series)
    for k, (title, values) in enumerate(series.items()):
        y = np.arange(len(labels)) + (k - (len(series) - 1) / 2) * height
        drawn = ax.barh(y, values, height * 0.9, label=title, color=colours[k])
        ax.bar_label(drawn, [form(value) for value in values], padding=2, size=7)
    ax.set_yticks(np.arange(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 1.12 * max(max(values) for values in series.values()))


def digits(value):
    """Write three digits, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def two_digits(value):
    return f"{value:.2f}"


def ratio_bars(ax, rows, title):
    """Draw the times of the other libraries divided by those of sklstm, for each shape."""
    kernels, rivals = log.sides(rows)
    pairs = [(rivals[0], kernel) for kernel in kernels] + [(r, kernels[0]) for r in rivals[1:]]
    series = {
        f"{name(rival)} / {name('sklstm ' + kernel)}": [
            row["seconds"][rival] / row["seconds"][f"sklstm {kernel}"] for row in rows.values()
        ]
        for rival, kernel in pairs
    }
    bars(
        ax, [shape.replace(",", ", ") for shape in rows], series, [BLUE, ORANGE, GREEN], two_digits
    )
    ax.axvline(1, color="#333", linewidth=1, zorder=0)
    ax.set_title(title, loc="left")


def ratio_figure(panels):
    """Draw a panel for each title and its rows, with one legend."""
    heights = [0.42 * len(rows) + 0.5 for rows in panels.values()]
    figure, found = axes(heights)
    for ax, (title, rows) in zip(found, panels.items(), strict=True):
        ratio_bars(ax, rows, title)
        ax.set_ylabel("batch, steps, inputs, units")
    found[-1].set_xlabel("time of the other library / time of sklstm")
    most = max(found, key=lambda ax: len(ax.containers))
    figure.legend(*most.get_legend_handles_labels(), loc="outside lower center", frameon=False)
    return figure


def grid_chart(threads):
    def draw(found):
        if threads not in found or not log.sides(found[threads]["training"])[1]:
            return None
        return ratio_figure({kind: rows for kind, rows in found[threads].items()})

    return draw


def calls_chart(found):
    return ratio_figure(found) if log.sides(found["fit"])[1] else None


def time_figure(panels, unit):
    """Draw a panel for each title, with a bar for each name in the seconds of the panel."""
    scale = {"seconds": 1.0, "microseconds": 1e6}[unit]
    figure, found = axes([0.27 * len(seconds) + 0.45 for seconds in panels.values()])
    for ax, (title, seconds) in zip(found, panels.items(), strict=True):
        values = [scale * value for value in seconds.values()]
        bars(ax, [name(side) for side in seconds], {"time": values}, [BLUE], digits)
        for patch, side in zip(ax.containers[0], seconds, strict=True):
            patch.set_color(BLUE if side.startswith("sklstm") else ORANGE)
        ax.set_title(f"{title}, {unit}", loc="left")
    return figure


def latency_chart(found):
    titles = {"predict_proba": "predict_proba of one sequence", "step": "step of a stream"}
    return time_figure(
        {titles[kind]: rows["seconds"] for kind, rows in found.items()}, "microseconds"
    )


def stream_chart(found):
    return time_figure({"one step of one sequence": found["seconds"]}, "microseconds")


def fit_chart(found):
    return time_figure({data: of_data["seconds"] for data, of_data in found.items()}, "seconds")


def cold_chart(found):
    titles = {"wall": "wall time of the process", "cpu": "CPU time of the process"}
    return time_figure({titles[clock]: found[clock]["seconds"] for clock in titles}, "seconds")


def vocabulary_chart(found):
    return time_figure({"one epoch": found["seconds"]}, "seconds")


def jobs_chart(found):
    """Draw the gain of a second thread, with one panel for each kernel set."""
    panels = {}
    for kernels, rows in found.items():
        chosen = {label: row for label, row in rows.items() if "bidirectional" not in label}
        panels[kernels] = {
            label.replace(",", ", "): {kind: _gain(row[kind]["seconds"]) for kind in row}
            for label, row in chosen.items()
        }
    figure, found_axes = axes([0.3 * len(rows) + 0.4 for rows in panels.values()], sharex=True)
    for ax, (kernels, rows) in zip(found_axes, panels.items(), strict=True):
        series = {
            kind: [row[kind] for row in rows.values()] for kind in ("training", "predictions")
        }
        bars(ax, list(rows), series, [BLUE, ORANGE], two_digits)
        ax.axvline(1, color="#333", linewidth=1, zorder=0)
        ax.set_title(name(f"sklstm {kernels}"), loc="left")
        ax.set_ylabel("batch, steps, inputs, units")
    found_axes[-1].set_xlabel("time with one thread / time with two")
    handles = found_axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _gain(seconds):
    one, two = seconds.values()
    return one / two


def scale_chart(found):
    figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
    for ax, of in zip(figure.subplots(1, 2, sharey=True), ("samples", "steps"), strict=True):
        seconds = {int(side.split()[1]): value for side, value in found[of]["seconds"].items()}
        ax.loglog(list(seconds), list(seconds.values()), "o-", color=BLUE, label="measured")
        first = next(iter(seconds))
        line = [seconds[first] * size / first for size in seconds]
        ax.loglog(list(seconds), line, "--", color="#777", label="proportional to the size")
        ax.set_xticks(list(seconds), list(seconds), minor=False)
        ax.minorticks_off()
        ax.set_xlabel("sequences" if of == "samples" else "time steps")
        ax.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("seconds per epoch")
    figure.axes[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    figure.axes[0].yaxis.set_major_formatter("{x:g}")
    figure.axes[0].legend(frameon=False)
    return figure


#: The part of the results comes before the dash.
CHARTS = {
    "grid-1": grid_chart("1"),
    "grid-2": grid_chart("2"),
    "calls": calls_chart,
    "latency": latency_chart,
    "stream": stream_chart,
    "vocabulary": vocabulary_chart,
    "fit": fit_chart,
    "cold": cold_chart,
    "jobs": jobs_chart,
    "scale": scale_chart,
}
