# The commands of development: `make test`, `make lint`, ... In a checkout, with python3 >= 3.11.
# PYTHON is the interpreter of an environment with the dev extra; `make environment` makes one.

PYTHON ?= .venv/bin/python
DATA ?= data

.PHONY: environment test lint types contracts doctests docs examples benchmarks oldest saved-models ci

environment:
	python3 -m venv .venv
	.venv/bin/python -m pip install -e ".[dev]"

test:
	$(PYTHON) -m pytest -n auto

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types:
	$(PYTHON) -m mypy

contracts:
	$(dir $(PYTHON))lint-imports --no-cache
	$(PYTHON) -m pytest tests/test_architecture.py

doctests:
	$(PYTHON) -m pytest --doctest-modules sklstm
	$(PYTHON) -m pytest --doctest-glob='*.rst' --doctest-glob='*.md' README.md docs/*.rst docs/user_guide

docs:
	$(PYTHON) -m sphinx -W docs docs/_build

examples:
	for example in examples/plot_*.py; do MPLBACKEND=agg $(PYTHON) $$example || exit 1; done

# Needs PyTorch and other libraries, see benchmarks/README.md. DATA is a folder with data sets.
benchmarks:
	$(PYTHON) benchmarks/speed.py --data $(DATA)
	$(PYTHON) benchmarks/accuracy/run.py $(DATA)
	$(PYTHON) benchmarks/same_task/run.py

# There are no wheels of the oldest NumPy for newer versions of Python.
oldest:
	python3.11 -m venv .venv-oldest
	python3.11 .ci/oldest_versions.py > .venv-oldest/requirements.txt
	.venv-oldest/bin/python -m pip install -e . -r .venv-oldest/requirements.txt
	.venv-oldest/bin/python -m pytest -n auto

saved-models:
	$(PYTHON) -m pytest tests/test_saved_models.py tests/test_golden.py

ci:
	.ci/run
