# Every target does its own set-up: nothing but Python (3.11 or newer) and make is needed.
#   make demo    a year of real flights becomes a versioned table; a minute
#   make test    the tests
#   make check   style, types, floors and the tests: what CI runs
#   make bench   beside other table formats, where they can be installed; figures in docs/benchmarks.md

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test check lint format bench clean

demo: $(VENV)/demo.done
	$(BIN)/tablelog demo

test: $(VENV)/test.done
	$(BIN)/python -m pytest -n auto --dist loadgroup

check: $(VENV)/check.done lint test

lint: $(VENV)/check.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/check.done
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/bench.done
	$(BIN)/python -m tests.bench

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.done: $(BIN)/python pyproject.toml
	@echo "setting up $(VENV) …"
	@$(PIP) install -e '.[demo]'
	@touch $@

$(VENV)/test.done: $(BIN)/python pyproject.toml
	@echo "setting up $(VENV) for tests …"
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install -e '.[notebook]' --group test
	@touch $@

$(VENV)/check.done: $(VENV)/test.done
	@$(PIP) install --group check
	@touch $@

$(VENV)/bench.done: $(VENV)/test.done
	@$(PIP) install -r tests/bench/requirements.txt
	@touch $@
