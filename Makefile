# Everything runs in a local virtual environment, made on first use and again when the dependencies change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-slow parity bench format install clean

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[train,dev]"
	touch $@

install: $(INSTALLED)

# Train agents for a few minutes, compare one that reads with one that does not, film an episode.
demo: $(INSTALLED)
	$(BIN)/python -m agents.demo

# Lint, types, and all tests but the slow ones.
test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 -m slow

# The engine against the reference, on all of the plan: about an hour on two cores.
parity: $(INSTALLED)
	$(BIN)/python tests/parity.py --workers 2

# Speed of the engine beside the reference: docs/performance.md. Takes some three minutes; wants an idle machine.
bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.throughput

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist
