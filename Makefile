# Everything here runs in .venv, which `make setup` makes; only Python 3.11+ and make are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-hosts test-pythons lint format bench mutation docs dist

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY) ## make .venv with the project, all extras and the tools

# Done again whenever the dependencies may have changed: they stand in pyproject.toml alone.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "switchgear needs Python 3.11 or newer, found " + sys.version.split()[0] + "; try: make setup PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]' --group test --group lint
	@touch $@

# The peers that the benchmarks compare with; nobody else needs them.
$(VENV)/.bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	@touch $@

$(VENV)/.mutation: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group mutation
	@touch $@

demo: $(READY) ## the gateway before three services that fail on a schedule: make demo ARGS="--for 20s"
	@$(BIN)/python -m examples.demo $(ARGS)

# Three for two cores: many tests wait for processes and servers.
test: $(READY) ## all tests (at most five minutes on two cores)
	$(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

test-hosts: $(READY) ## integrations with the oldest and newest hosts (minutes): make test-hosts ARGS="httpx"
	$(BIN)/python -m tests.hosts $(ARGS)

# With names or paths of other interpreters: make test-pythons PYTHONS="python3.13 /opt/python3.14/bin/python3"
PYTHONS ?= python3.11 python3.12 python3.13 python3.14
test-pythons: ## all tests with every Python that is there, each in a .venv of its own
	@for python in $(PYTHONS); do \
	  version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || { echo "$$python: not there"; continue; }; \
	  echo "== Python $$version"; \
	  $(MAKE) --no-print-directory test PYTHON="$$python" VENV="build/venv-$$version" || exit 1; \
	done

docs: $(READY) ## the site, into build/docs
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs

dist: $(READY) ## source distribution and wheel, into dist
	$(BIN)/python -m build --no-isolation --outdir dist .

lint: $(READY) ## ruff, mypy strict, pyright strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/basedpyright

format: $(READY) ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Starts from what the last run has left: changed functions are tried anew, and what ARGS names, such as
# ARGS='switchgear.breaker.window*'. After new tests name what survived: python -m tests.release.mutation --survivors
mutation: $(VENV)/.mutation ## how many small changes to the breaker's code the tests notice
	$(BIN)/mutmut run $(ARGS)
	@$(BIN)/python -m tests.release.mutation

bench: $(VENV)/.bench ## the figures of README and docs, as ratios of one run: make bench ARGS="calls"
	@$(BIN)/python -m benchmarks $(ARGS)
