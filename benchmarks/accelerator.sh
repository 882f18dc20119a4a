#!/usr/bin/env bash
# Check parity on an accelerator, then time the update at three sizes, in under ten minutes.
#
#   bash benchmarks/accelerator.sh            run in the repository's root, with a Python whose JAX supports the device
#
# Results go to $OUT (default benchmarks/results). If a step fails, the others still run, and the exit status is 1.
set -uo pipefail

export PYTHONPATH=src${PYTHONPATH:+:$PYTHONPATH}
export OUT=${OUT:-benchmarks/results}
python=${PYTHON:-python3}
failed=0

step() {
  local limit=$1
  shift
  echo "== $*"
  timeout "$limit" "$@" || { failed=1; echo "== failed with status $?"; }
}

step 30 "$python" -c 'import jax; print(jax.devices()); assert jax.default_backend() != "cpu", "JAX sees no accelerator"'
# Parity needs full float32 products; by default an accelerator rounds their factors.
JAX_PLATFORMS= JAX_DEFAULT_MATMUL_PRECISION=highest XLA_FLAGS= \
  step 180 "$python" -m pytest -q -p no:cacheprovider tests/test_golden.py
step 100 "$python" -m benchmarks.update --size size1m --input vector --dtype bfloat16 --profile "$OUT/profile" --output "$OUT"
step 120 "$python" -m benchmarks.update --size size12m --input pixels --dtype bfloat16 --output "$OUT"
step 160 "$python" -m benchmarks.update --size size200m --input pixels --dtype bfloat16 --repeats 10 --output "$OUT"
exit "$failed"
