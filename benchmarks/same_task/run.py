"""The same task with several libraries: lines of code, accuracy and seconds.

Classify ragged sequences with text labels: standardise the channels, train an LSTM of 64 units with
mean and maximum over time for 30 epochs with Adam and a cosine schedule, cross-validate with five
folds, save, load, and predict the probabilities of new sequences.

    python benchmarks/same_task/run.py [LIBRARY ...]
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(names):
    for script in sorted(HERE.glob("with_*.py")):
        name = script.stem.removeprefix("with_")
        if names and name not in names:
            continue
        seconds, output = run(script)
        print(f"{name}: {code_lines(script)} lines, {seconds:.1f} s of CPU; {output}", flush=True)


def code_lines(script):
    lines = (line.strip() for line in script.read_text().splitlines())
    return sum(1 for line in lines if line and not line.startswith("#"))


def run(script):
    """Return the CPU time of a process that runs the script on one thread, and its output."""
    threads = dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"], "1")
    with tempfile.TemporaryDirectory() as folder:
        before = cpu_seconds()
        done = subprocess.run(
            [sys.executable, str(script)],
            cwd=folder,
            env={**os.environ, **threads},
            capture_output=True,
            text=True,
        )
        seconds = cpu_seconds() - before
    if done.returncode:
        return seconds, "failed: " + done.stderr.strip().splitlines()[-1]
    return seconds, ", ".join(done.stdout.split("\n")).strip(", ")


def cpu_seconds():
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    start = time.perf_counter()
    main(sys.argv[1:])
    print(f"wall time {time.perf_counter() - start:.0f} s")
