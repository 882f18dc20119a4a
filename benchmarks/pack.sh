#!/usr/bin/env bash
# Make a folder that benchmarks/accelerator.sh runs in on a machine without a network: the sources at HEAD, and wheels.
#
#   bash benchmarks/pack.sh DIR
#
# Run it in the repository's root. $PYTHON (by default .venv/bin/python) must have Reverie installed with the extra
# test: the wheels are of the versions found there, for Python $TARGET (by default 3.12) on x86-64 Linux. JAX, and what
# JAX requires, is left out: it takes gigabytes, and belongs to the GPU's machine. On that machine:
#
#   cd DIR && bash benchmarks/accelerator.sh --out RESULTS
set -euo pipefail

to=${1:?Name the folder to make: bash benchmarks/pack.sh DIR} python=${PYTHON:-.venv/bin/python} target=${TARGET:-3.12}
[[ ! -e $to ]] || { echo "'$to' exists; remove it, or name another folder." >&2; exit 1; }
mkdir -p "$to/wheels"
git archive HEAD src benchmarks tests/test_golden.py tests/golden pyproject.toml LICENSE | tar -x -C "$to"
"$python" -m benchmarks.requirements "$target" >"$to/wheels/requirements.txt"
platforms=()
for tag in _2_28 _2_27 _2_17 2014 _2_5 1; do platforms+=(--platform "manylinux${tag}_x86_64"); done
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --implementation cp \
  --python-version "$target" "${platforms[@]}" --dest "$to/wheels" --requirement "$to/wheels/requirements.txt"
du -sh "$to"
