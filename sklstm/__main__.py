"""``python -m sklstm`` prints versions; with ``--compile`` it compiles all kernels."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from sklstm._network import kernels
from sklstm._versions import show_versions

_COMPILE = """\
compile the kernels for float32 and float64 and store the code on disk. If root does so, other
users load the code, too"""
_CPU = """\
with --compile: the name of another processor, as LLVM names it, such as x86-64-v3 (with AVX2),
x86-64-v4 (with AVX-512) or znver4; may be given several times"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m sklstm", description=__doc__)
    parser.add_argument("--compile", action="store_true", help=_COMPILE)
    parser.add_argument("--cpu", action="append", metavar="NAME", help=_CPU)
    options = parser.parse_args(arguments)
    if options.cpu and not options.compile:
        parser.error("--cpu needs --compile")
    if not options.compile:
        show_versions()
        return 0
    if options.cpu:
        return max(map(_compile_for, options.cpu))
    return _compile()


def _compile() -> int:
    try:
        stored = dict(kernels.store_all())
    except ImportError as error:
        return _fail(f"`pip install llvmlite` installs what compilation needs: {error}")
    if missing := [symbol for symbol, file in stored.items() if file is None]:
        return _fail(f"no folder can be written and trusted, so code was not stored: {missing}")
    for folder in sorted({str(file.parent) for file in stored.values() if file}):
        print(f"{len(stored)} compiled functions are stored in {folder}")
    return 0


def _compile_for(cpu: str) -> int:
    """Compile for another processor, in a process that LLVM ends if it does not know the name."""
    done = subprocess.run(
        [sys.executable, "-m", "sklstm", "--compile"],
        env=os.environ | {"SKLSTM_CPU": cpu},
        capture_output=True,
        text=True,
    )
    unknown = "not a recognized processor" in done.stderr
    if done.returncode or unknown:
        reason = f"{cpu!r} is not a processor that LLVM knows" if unknown else done.stderr.strip()
        return _fail(f"cannot compile for {cpu}: {reason}")
    print(f"{cpu}: {done.stdout.strip()}")
    return 0


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
