"""The directive ``speed``: charts and tables of docs/measurements/speed.json.

``.. speed:: PART`` shows the chart, the tables and the comparison with the targets of a part of
benchmarks/speed.py; ``.. speed:: measurements`` shows when and with what each part was measured.
The charts and the text of the log are written to docs/generated/speed.
"""

from pathlib import Path

import log
import report
import speed_charts
import targets
from speed_charts import name
from sphinx.util.docutils import SphinxDirective

DOCS = Path(__file__).parents[1]
RESULTS = DOCS / "measurements" / "speed.json"
FOLDER = DOCS / "generated" / "speed"
ALT = "Bar chart of the times in the table, or in the log"


class Speed(SphinxDirective):
    required_arguments = 1

    def run(self):
        self.env.note_dependency(str(RESULTS))
        results = self.env.app.speed_results
        part, _, threads = self.arguments[0].partition("-")
        if part == "measurements":
            return self.parse_text_to_nodes("\n".join(measurements(results)))
        if part not in results:
            return self.parse_text_to_nodes("This part has not been measured.")
        found = {threads: results[part].get(threads, {})} if threads else results[part]
        text = [*chart(self.arguments[0]), *TABLES.get(part, no_table)(found)]
        text += [*judged(part, found), "", origin(part, results)]
        return self.parse_text_to_nodes("\n".join(text))


def chart(of):
    if not (FOLDER / f"{of}.svg").exists():
        return []
    return [f".. image:: /generated/speed/{of}.svg", f"   :alt: {ALT}", ""]


def table(title, header, rows):
    """Return a table, which is only read as text, with the numbers of the chart."""
    lines = [f".. csv-table:: {title}", "   :header-rows: 1", "   :class: numbers", ""]
    quoted = [", ".join(f'"{cell}"' for cell in row) for row in [header, *rows]]
    return [*lines, *(f"   {row}" for row in quoted), ""]


def no_table(found):
    return []


def grid_tables(found):
    lines = []
    for threads, kinds in found.items():
        for kind, rows in kinds.items():
            lines += time_table(f"{kind}, {report.threads_name(int(threads))}", rows)
    return lines


def calls_tables(found):
    return [line for kind, rows in found.items() for line in time_table(kind, rows)]


def time_table(title, rows):
    """Return a table of the times of all libraries; the chart shows their ratios."""
    sides = list(next(iter(rows.values()))["seconds"])
    body = [
        [
            shape.replace(",", ", ") + ("" if targets.usable(row) else " *"),
            *(f"{1e3 * row['seconds'][side]:.3f}" for side in sides),
        ]
        for shape, row in rows.items()
    ]
    header = ["batch, steps, inputs, units", *map(name, sides)]
    return table(f"{title}, milliseconds", header, body)


def fit_tables(found):
    lines = []
    for data, of in found.items():
        body = [
            [
                name(side), f"{of['seconds'][side]:.2f}", f"{of['import_seconds'][side]:.2f}",
                f"{of['epochs'][side]:g}", f"{1e3 * of['seconds_an_epoch'][side]:.1f}",
                f"{of['losses'][side]:.4f}",
            ]
            for side in of["seconds"]
        ]  # fmt: skip
        header = ["", "process, s", "import, s", "epochs", "ms per epoch", "loss"]
        lines += table(data, header, body)
        lines += [f"* {name(side)} was not measured: {why}" for side, why in of["skipped"].items()]
        lines += [""]
    return lines


TABLES = {"grid": grid_tables, "calls": calls_tables, "fit": fit_tables}


def judged(part, found):
    """Return the comparisons with targets, and other lines of parts without table and chart."""
    lines = log.SUMMARIES[part](found)
    if part in {"stream", "latency", "cold", "scale", "fit"}:
        lines = [line for line in lines if targets.is_judged(line)]
    return [f"* {line.strip()}" for line in lines]


def origin(part, results):
    facts, share = results["environments"][part], results["others"][part]
    return (
        f"*Measured on {facts['date']}, commit* ``{facts['commit']}``, *{clock_name(facts)} time;"
        f" other programs used {share:.0%} of the machine.*"
    )


def clock_name(facts):
    return {"cpu": "CPU"}.get(facts["clock"], facts["clock"])


def measurements(results):
    body = []
    for part in log.parts(results):
        facts, share = results["environments"][part], f"{results['others'][part]:.0%}"
        body += [[part, facts["date"], facts["commit"], clock_name(facts), share]]
    lines = table("", ["part", "date", "commit", "clock", "other programs"], body)
    for of_parts, facts in environments(results):
        versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
        machine = f"{facts['cpu']}, {facts['cores']} cores; {versions}; BLAS of NumPy"
        lines += [f"* {', '.join(of_parts)}: {machine}: {facts['blas']}"]
    return lines


def environments(results):
    """Return the parts that were measured with the same machine, clock and versions."""
    groups = []
    for part in log.parts(results):
        facts = results["environments"][part]
        same = [parts for parts, other in groups if other == facts]
        if same:
            same[0].append(part)
        else:
            groups.append(([part], facts))
    return groups


def prepare(app):
    """Draw the charts and write the log before the pages are read."""
    app.speed_results = log.read(RESULTS)
    speed_charts.save(app.speed_results, FOLDER)
    text = "\n".join(log.lines(app.speed_results))
    (FOLDER / "speed.txt").write_text(text + "\n", encoding="utf-8")


def setup(app):
    app.add_directive("speed", Speed)
    app.connect("builder-inited", prepare)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
