#!/usr/bin/env bash
# Everything to know about an accelerator in one call of under ten minutes: parity, then the update at three sizes.
#
#   bash benchmarks/accelerator.sh            from the repository's root, with a Python that has JAX for the device
#
# Results go to $OUT (default benchmarks/results). One step failing leaves the others to run; the exit status tells.
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
# The reference's numbers, with float32 products as float32: by default, an accelerator rounds their factors.
JAX_PLATFORMS= JAX_DEFAULT_MATMUL_PRECISION=highest XLA_FLAGS= \
  step 180 "$python" -m pytest -q -p no:cacheprovider tests/test_golden.py
step 100 "$python" -m benchmarks.update --size size1m --input vector --dtype bfloat16 --profile "$OUT/profile" --output "$OUT"
step 120 "$python" -m benchmarks.update --size size12m --input pixels --dtype bfloat16 --output "$OUT"
step 160 "$python" -m benchmarks.update --size size200m --input pixels --dtype bfloat16 --repeats 10 --output "$OUT"
exit "$failed"
