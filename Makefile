# The whole of Hourbook from one place. `make start` and `make test` need nothing but
# git, make, a C compiler, python3 with venv, and its headers; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py $(wildcard shm/*.c shm/*.h protocols/*.c protocols/*.h hourbook/*/*.c hourbook/*/*.h)
ARGS ?=
# Files of tests at a time: most of them wait for processes of their own. With two, two processors
# were idle for a third of the time.
AT_ONCE ?= 3

.PHONY: help start test lint check sim bench sanitize format clean

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

start: $(VENV)/.installed  ## Run the supervised tree in the foreground (Ctrl-C stops it).
	@$(BIN)/supervisor start $(ARGS)

test: $(VENV)/.test  ## Run every test.
	@# They start some thousand processes, each of which would compile all that it imports.
	@# In the order of the files: the last ones, tests/unit, are short, so that nobody waits.
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n $(AT_ONCE) --dist loadfile \
		--no-loadscope-reorder $(ARGS)

lint: $(VENV)/.lint  ## ruff and mypy.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

check: lint test  ## lint, then test.

format: $(VENV)/.lint  ## Let ruff write the layout.
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

sim: $(VENV)/.test  ## Simulate clocks, networks and liars ([SEED=N] [RUNS=N] [SCENARIO=name] [HOURS=H]).
	@PYTHONPATH=tests $(BIN)/python -m sim $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS)) \
		$(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(HOURS),--hours $(HOURS))

bench: $(VENV)/.test  ## Measure, as ratios against named peers in the same run.
	@$(BIN)/python -m bench $(ARGS)

sanitize: $(VENV)/.test  ## Build the C code with ASan and UBSan and run its tests under them.
	@sh shm/sanitize.sh $(BIN)/python

clean:  ## Remove what was built.
	rm -rf $(VENV) build *.egg-info shm/*.so protocols/*.so hourbook/*/*.so

$(VENV)/.ready:
	@sh deploy/preflight.sh $(PYTHON)
	@echo "creating $(VENV) (first run only)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.installed: $(VENV)/.ready $(SOURCES)
	@echo "installing hourbook into $(VENV)"
	@# -qq: setuptools warns at length about every editable installation; errors still show
	@$(BIN)/python -m pip install -qq --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --group test
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	@$(BIN)/python -m pip install --quiet --group lint
	@touch $@
