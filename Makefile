# Each target sets up what it needs: a virtual environment in .venv, renewed when pyproject.toml changes.
#
#   make demo     train an agent on a small task and show what it learned
#   make test     the tests             (make test PYTEST_ARGS="tests/ops")
#   make lint     ruff                  make types    mypy
#   make clean    remove the virtual environment and all caches; runs stay
#
# Another Python or place: make test PYTHON=python3.12 VENV=~/reverie-3.12

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint types clean

PYTHON ?= python3
VENV ?= .venv
# Two at a time: most of a test is compiling, which keeps one core busy; each takes up to 2 GB.
PYTEST_ARGS ?= -n 2 --dist loadfile
DEMO_ARGS ?=

# Python 3.11 has one verified set of versions; newer Pythons take the newest that pyproject.toml allows.
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
	  echo "'$(VENV)' is no virtual environment; it stays." >&2; exit 1; fi
	rm -rf "$(VENV)" build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/.cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml $(wildcard $(CONSTRAINTS))
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "There is no '$(PYTHON)' here. Reverie needs Python 3.11, 3.12 or 3.13; name yours: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "Reverie needs Python 3.11, 3.12 or 3.13, and '$(PYTHON)' is $$("$(PYTHON)" -V). Name another: make PYTHON=python3.12" >&2; exit 1; }
	@test -x "$(BIN)/python" || "$(PYTHON)" -m venv "$(VENV)" || { \
	  echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu, install the package python3-venv." >&2; exit 1; }
	@echo "Installing Reverie and what it needs into $(VENV): about 1 GB, some minutes, once, and again when pyproject.toml changes." >&2
	@pins=; if [ -n "$(CONSTRAINTS)" ] && "$(BIN)/python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; \
	  then pins="--constraint $(CONSTRAINTS)"; fi; \
	  "$(BIN)/python" -m pip install -qq --disable-pip-version-check $$pins --editable '.[test,dev]'
	@touch $@
