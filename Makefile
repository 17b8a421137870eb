PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CHECKED := --require-hashes --only-binary :all:
# libraries are compiled once, not by every process: of torch and mmdet that is two thirds of the loading
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test test-gpu test-faults lint bench fuzz audit lock clean

setup: $(READY)

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("kit needs Python 3.11 or newer: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CHECKED) -r $(VENV)/uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(CHECKED) -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: $(READY)
	$(BIN)/kit download
	$(BIN)/kit train all --jobs 2
	$(BIN)/kit evaluate --split val --jobs 2
	$(BIN)/kit submit --dry-run

test: lint
	$(BIN)/python -m pytest

test-gpu: $(READY)
	$(BIN)/python -m pytest tests/gpu -n 0

test-faults: $(READY)
	$(BIN)/python -m tests.faults --kills 200

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m benchmarks

fuzz: $(READY)
	$(BIN)/python -m tests.fuzzing --inputs 1000000

audit: $(READY)
	$(BIN)/python -m audit

lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --only-binary :all: --no-header --no-emit-index-url --no-annotate --quiet -o requirements.lock

clean:
	rm -rf $(VENV) data runs dist .mypy_cache .pytest_cache .ruff_cache .hypothesis fuzz-failures
