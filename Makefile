# Every target works on a fresh checkout. `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench chaos lock clean system compiled

BIN := .venv/bin
STAMP := .venv/.ready
ARGS ?=
CORE := $(wildcard tests/core tests/stories tests/agents tests/test_*.py)  # tests/offline and tests/compiled start processes
# Files of tests in two processes, each with servers of its own: most tests wait most of their time. ARGS="-n 0": in one.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) compiled  ## .venv with everything that is locked, and .venv/bin/lifestage
	@echo "ready: .venv/bin/lifestage --help"

demo: $(STAMP)  ## real purchases through Kafka, from nothing to live KPIs (ARGS=--keep leaves it running)
	@$(BIN)/lifestage demo $(ARGS)

test: $(STAMP) system compiled  ## everything: lint, types, imports, and all tests on real Kafka, Redis and Prometheus
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

check: $(STAMP)  ## the quick part of test, with fewer examples, about a minute
	@$(MAKE) --no-print-directory lint
	@QUICK=1 bash tests/check.sh $(BIN)/python $(CORE) -- $(ARGS)

.PHONY: lint
lint: $(STAMP)
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet . || { echo "mend with: .venv/bin/ruff check --fix . && .venv/bin/ruff format ."; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: $(STAMP) system compiled  ## against Kafka Streams, Bytewax, Quix Streams and plain Faust, in turns (ARGS="--rounds 1 --events 100000")
	@PYTHONPATH="$(CURDIR)" $(BIN)/python -P -m benchmarks $(ARGS)

chaos: $(STAMP) system compiled  ## a hundred kills and more, with what came of them in a table (ARGS="--seed 19 --only kills --scale 0.1")
	@PYTHONPATH="$(CURDIR)" $(BIN)/python -P -m tests.chaos $(ARGS)

# No index address is written into a lock: pip asks whichever index it is set up for, and the hashes decide.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make lock" pyproject.toml --group service
lock:  ## resolve again after a change of dependencies in pyproject.toml (UPGRADE=--upgrade for newer versions)
	@command -v uv >/dev/null || [ -x $(BIN)/uv ] || { echo "uv is missing: type  $(BIN)/python -m pip install uv"; exit 1; }
	@export PATH="$(BIN):$$PATH"; $(LOCK) $(UPGRADE) --group embedded --group dev --output-file requirements.lock
	@export PATH="$(BIN):$$PATH"; $(LOCK) --constraint requirements.lock --output-file requirements-runtime.lock

clean:  ## remove .venv and everything that is made here
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

compiled: $(STAMP)
	@PYTHONPATH="$(CURDIR)" $(BIN)/python -P -m commands.compiled

system:
	@bash tests/system.sh

$(STAMP): requirements.lock commands/launcher.sh
	@set -e; for python in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; python=; \
	done; \
	[ -n "$$python" ] || { echo "Python 3.11 or later is needed: type  sudo apt-get install python3 python3-venv  or set PYTHON=/path/to/python"; exit 1; }; \
	$$python -c 'import ensurepip, venv' 2>/dev/null || { echo "$$python has no venv module: type  sudo apt-get install python3-venv"; exit 1; }; \
	[ -x $(BIN)/python ] && $(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "making .venv with $$($$python --version)"; $$python -m venv --clear .venv; }; \
	echo "installing what requirements.lock names (about a minute the first time)"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	install -m 755 commands/launcher.sh $(BIN)/lifestage; \
	touch $@
