"""Megabytes that each library adds to an environment with scikit-learn.

Each is installed with pip into an empty folder, with all dependencies; what the folder of
scikit-learn alone contains is subtracted. Arguments replace the requirements below.

    python benchmarks/install_size.py
    python benchmarks/install_size.py "torch==2.13.0" keras
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BASE = "scikit-learn"
REQUIREMENTS = [
    str(ROOT),
    f"{ROOT}[compiled]",
    "torch",  # the wheels of Linux bring the libraries of CUDA
    "torch skorch",
    "keras jax",
    "tensorflow",
    "sktime",
    "aeon",
    "tslearn",
    "hmmlearn",
]


def main(requirements):
    base = megabytes(BASE)
    print(f"{BASE}: {base:.0f} MB, subtracted from all others")
    for requirement in requirements:
        name = requirement.replace(str(ROOT), "sklstm")
        try:
            print(f"{name}: {megabytes(BASE, *requirement.split()) - base:.0f} MB", flush=True)
        except subprocess.CalledProcessError:
            print(f"{name}: could not be installed", flush=True)


def megabytes(*requirements):
    """Return the size of these packages and their dependencies."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--target", folder]
        subprocess.run([*pip, *requirements], check=True, stderr=subprocess.DEVNULL)
        files = (path for path in Path(folder).rglob("*") if path.is_file())
        return sum(path.stat().st_size for path in files) / 1e6


if __name__ == "__main__":
    main(sys.argv[1:] or REQUIREMENTS)
