# Each target sets up a virtual environment in .venv, and renews it when pyproject.toml changes.
#
#   make demo     train an agent on a small task and show what it learned
#   make test     run the tests         (make test PYTEST_ARGS="tests/ops")
#   make lint     ruff                  make types    mypy
#   make clean    remove the virtual environment and all caches, but no runs
#
# Another Python or folder: make test PYTHON=python3.12 VENV=~/reverie-3.12

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint types clean

PYTHON ?= python3
VENV ?= .venv
# Two workers: tests mostly compile, which keeps one core busy; each worker takes up to 2 GB.
PYTEST_ARGS ?= -n 2 --dist loadfile
DEMO_ARGS ?=

# Python 3.11 uses pinned versions; newer Pythons use the newest that pyproject.toml allows.
CONSTRAINTS ?= requirements/constraints-3.11.txt
BIN := $(VENV)/bin
READY := $(VENV)/.ready

help:
	@sed -n '3,8s/^#  \{0,1\}//p' Makefile

demo: $(READY)
	@$(BIN)/reverie demo $(DEMO_ARGS)

test: $(READY)
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(READY)
	@$(BIN)/ruff check .

types: $(READY)
	@$(BIN)/mypy

clean:
	@if [ -e "$(VENV)" ] && [ ! -e "$(VENV)/pyvenv.cfg" ]; then \
	  echo "'$(VENV)' is not a virtual environment; nothing was removed." >&2; exit 1; fi
	rm -rf "$(VENV)" build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/.cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml $(wildcard $(CONSTRAINTS))
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "'$(PYTHON)' was not found. Reverie needs Python 3.11, 3.12 or 3.13; choose one: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "Reverie needs Python 3.11, 3.12 or 3.13, and '$(PYTHON)' is $$("$(PYTHON)" -V). Choose another: make PYTHON=python3.12" >&2; exit 1; }
	@test -x "$(BIN)/python" || "$(PYTHON)" -m venv "$(VENV)" || { \
	  echo "'$(PYTHON) -m venv' failed. On Debian and Ubuntu, install the package python3-venv." >&2; exit 1; }
	@echo "Installing Reverie and its dependencies into $(VENV): about 1 GB, a few minutes; repeated only when pyproject.toml changes." >&2
	@pins=; if [ -n "$(CONSTRAINTS)" ] && "$(BIN)/python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; \
	  then pins="--constraint $(CONSTRAINTS)"; fi; \
	  "$(BIN)/python" -m pip install -qq --disable-pip-version-check $$pins --editable '.[test,dev]'
	@touch $@
