"""The directive ``accuracy``: tables of docs/measurements/accuracy.json.

``.. accuracy:: classification RUN, RUN`` shows the accuracy of these runs of
benchmarks/accuracy/run.py and the published results; ``.. accuracy:: regression RUN, RUN`` the
errors; ``.. accuracy:: seconds RUN, RUN`` the mean times of fits.
"""

import json
from pathlib import Path

import numpy as np
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[1] / "measurements" / "accuracy.json"
NOT_MEASURED = "--"


class Accuracy(SphinxDirective):
    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        self.env.note_dependency(str(RESULTS))
        kind, _, runs = self.arguments[0].partition(" ")
        found = json.loads(RESULTS.read_text(encoding="utf-8"))
        table = TABLES[kind](found, [run.strip() for run in runs.split(",")])
        return self.parse_text_to_nodes("\n".join(table))


def csv_table(header, rows):
    lines = [".. csv-table::", "   :header-rows: 1", "   :class: numbers", ""]
    return lines + ["   " + ", ".join(f'"{cell}"' for cell in row) for row in [header, *rows]]


def classification(found, runs):
    sets = [name for name, regression in found["regressions"].items() if not regression]
    published = list(found["published"][sets[0]])
    rows = [
        [name, *(percent(found, run, name) for run in runs)]
        + [str(found["published"][name].get(column, "")) for column in published]
        + [distance(found, runs[-1], name)]
        for name in sets
    ]
    means = [
        f"{np.mean([found['published'][name][column] for name in sets]):.1f}"
        for column in published
    ]
    rows.append(["mean", *(mean_percent(found, run, sets) for run in runs), *means, ""])
    return csv_table(["", *runs, *published, "best published minus last run"], rows)


def distance(found, run, name):
    measured = found["runs"].get(run, {}).get(name)
    if measured is None:
        return NOT_MEASURED
    best = max(found["published"][name].values())
    return f"{best - np.mean(measured['scores']):+.1f}"


def percent(found, run, name):
    measured = found["runs"].get(run, {}).get(name)
    if measured is None:
        return NOT_MEASURED
    return f"{np.mean(measured['scores']):.1f} ± {np.std(measured['scores']):.1f}"


def mean_percent(found, run, sets):
    if not all(name in found["runs"].get(run, {}) for name in sets):
        return NOT_MEASURED
    by_seed = np.mean([found["runs"].get(run, {})[name]["scores"] for name in sets], axis=0)
    return f"{by_seed.mean():.1f} ± {by_seed.std():.1f}"


def regression(found, runs):
    sets = [name for name, is_regression in found["regressions"].items() if is_regression]
    rows = [
        [
            name,
            *(error(found, run, name) for run in runs),
            "; ".join(f"{method} {value}" for method, value in found["published"][name].items()),
        ]
        for name in sets
    ]
    return csv_table(["root mean squared error", *runs, "published"], rows)


def error(found, run, name):
    measured = found["runs"].get(run, {}).get(name)
    if measured is None:
        return NOT_MEASURED
    return f"{np.mean(measured['scores']):.3g} ± {np.std(measured['scores']):.1g}"


def seconds(found, runs):
    rows = [[name, *(fit_time(found, run, name) for run in runs)] for name in found["regressions"]]
    return csv_table(["CPU seconds of a fit", *runs], rows)


def fit_time(found, run, name):
    measured = found["runs"].get(run, {}).get(name)
    return NOT_MEASURED if measured is None else f"{np.mean(measured['seconds']):.1f}"


TABLES = {"classification": classification, "regression": regression, "seconds": seconds}


def setup(app):
    app.add_directive("accuracy", Accuracy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
