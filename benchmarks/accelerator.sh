#!/usr/bin/env bash
# Measure Reverie on one GPU in under ten minutes: parity, updates of several sizes, the loop, a learning run.
#
#   bash benchmarks/accelerator.sh [--out DIR] [--seconds N] [--tiny] [STAGE ...]
#
# Run it in the repository's root, or in a folder made by benchmarks/pack.sh, with a Python whose JAX supports the GPU
# ($PYTHON, by default python3). Results go to DIR ($OUT, by default benchmarks/results/accelerator): STAGE.log, numbers
# as JSON, a profile, and summary.md, which is rewritten after each stage. No stage needs another to succeed. Programs
# are compiled in parallel while parity is tested; afterwards, one stage at a time has the GPU.
# The call ends after N seconds, by default 540. --tiny tries everything out on a CPU.
set -uo pipefail

stages=(doctor parity vector pixels textbook float32 loop learning large seeds) # the most valuable first
compiled=(vector pixels textbook float32 large loop)
out=${OUT:-benchmarks/results/accelerator} seconds=540 tiny='' chosen=()
usage() { sed -n '2,11s/^# \{0,1\}//p' "$0"; echo "Stages: ${stages[*]}"; exit "$1"; }
while (($#)); do
  case $1 in
    --out) out=${2:?--out needs a folder}; shift ;;
    --seconds) seconds=${2:?--seconds needs a number}; shift ;;
    --tiny) tiny=yes ;;
    --help) usage 0 ;;
    *)
      [[ " ${stages[*]} " == *" $1 "* ]] || { echo "There is no option or stage '$1'." >&2; usage 2 >&2; }
      chosen+=("$1") ;;
  esac
  shift
done
if [[ ! -d src/reverie ]]; then
  echo "Run this in the repository's root, or in a folder made by benchmarks/pack.sh." >&2
  exit 2
fi
((${#chosen[@]})) || chosen=("${stages[@]}")
mkdir -p "$out" && out=$(cd "$out" && pwd) && rm -f "$out/stages.tsv"
python=${PYTHON:-python3} failed=0 work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for wheel in wheels/*.whl; do # carried by pack.sh; needs neither a network nor pip
  [[ -e $wheel ]] && "$python" -m zipfile -e "$wheel" "$work/site"
done
export PYTHONPATH=$PWD/src:$PWD:$work/site${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=2
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$work/cache} JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0
if [[ $tiny ]]; then
  export JAX_PLATFORMS=cpu
elif ! "$python" -c 'import jax; raise SystemExit(jax.default_backend() == "cpu")'; then
  echo "JAX sees no accelerator. --tiny tries the script out on a CPU." >&2
  exit 1
fi

# plan STAGE: set its time limit, its command, and the options with which the command only compiles.
plan() {
  local update=("$python" -m benchmarks.update --cache "$JAX_COMPILATION_CACHE_DIR" --output "$out")
  local loop=("$python" -m benchmarks.loop --env fast --output "$out")
  local learn=("$python" -m reverie train CartPole-v1 --logdir "$work/$1")
  local small=size1m medium=size12m large=size200m precision=bfloat16 files
  files=$(cd tests/golden && printf '%s\n' *.npz | sed 's/\.npz$//')
  limit=60 ahead=(--repeats 0 --output "$work/ahead")
  if [[ $tiny ]]; then
    small=tiny medium=tiny large=tiny files='proprio and name_and_a_place'
    update+=(--batch 4 --length 8 --repeats 3) loop+=(--train-ratio 32 --envs 2 --seconds 1)
    learn+=(--envs 2 --steps 300 --train-ratio 32 --replay.batch 4 --replay.length 8 --model.deter 32 --model.hidden 8
      --model.units 16 --model.groups 4 --model.blocks 4)
  else
    loop+=(--train-ratio 0 512 --envs 16 --seconds 15) learn+=(--envs 16 --steps 20000)
  fi
  case $1 in
    doctor) command=("$python" -m reverie doctor) ;;
    parity) # products in full float32 and untuned kernels: by default, both round
      limit=180
      command=(env JAX_DEFAULT_MATMUL_PRECISION=highest XLA_FLAGS=--xla_gpu_autotune_level=0 bash -c
        'echo "$0" | xargs -P 3 -I{} "$@" -k {}' "$files"
        "$python" -m pytest -q -c /dev/null --rootdir tests --noconftest -p no:cacheprovider tests/test_golden.py) ;;
    vector) command=("${update[@]}" --size $small --input vector --dtype $precision --profile "$out") ;;
    pixels) command=("${update[@]}" --size $medium --input pixels --dtype $precision) ;;
    textbook) command=("${update[@]}" --size $small --input vector --dtype $precision --textbook) ;;
    float32) command=("${update[@]}" --size $small --input vector --dtype float32) ;;
    large) limit=90 command=("${update[@]}" --size $large --input pixels --dtype $precision) ;;
    loop) limit=90 ahead=(--seconds 1 --output "$work/ahead") command=("${loop[@]}" --size $small) ;;
    learning) limit=150 command=("${learn[@]}") ;;
    seeds) limit=90 command=("${learn[@]}" --seeds 4) ;;
  esac
}

compile() { # all chosen stages, as many at a time as there are cores, in at most half of the time
  local name until=$((seconds / 2))
  for name in "${compiled[@]}"; do
    [[ " ${chosen[*]} " == *" $name "* ]] || continue
    while (($(jobs -rp | wc -l) >= $(nproc))); do wait -n; done
    plan "$name"
    ((SECONDS < until)) || break
    timeout -k 5 $((until - SECONDS)) "${command[@]}" "${ahead[@]}" >"$work/$name.log" 2>&1 &
  done
  wait
}

run() { # STAGE: run it, note how it ended, and summarize what there is
  local begun=$SECONDS status=0 result=ok
  plan "$1"
  ((limit > seconds - SECONDS)) && limit=$((seconds - SECONDS))
  if [[ $1 == seeds ]] && ! "$python" -m reverie train --help | grep -q -e --seeds; then
    result="skipped: this version has no --seeds"
  elif ((limit < 5)); then
    result="skipped: no time left"
  else
    timeout -k 10 "$limit" "${command[@]}" >"$out/$1.log" 2>&1 || status=$?
    ((status == 137 && SECONDS - begun >= limit)) && status=124 # was killed, as it did not end by itself
    case $status in
      0) ;;
      124) result="ended after its $limit s" ;;
      *) result="failed with status $status" failed=1 ;;
    esac
  fi
  find "$work/$1" -name metrics.jsonl -exec cat {} + >"$out/$1.jsonl" 2>/dev/null || rm -f "$out/$1.jsonl"
  printf '%s\t%s\t%s\n' "$1" $((SECONDS - begun)) "$result" >>"$out/stages.tsv"
  echo "$1: $result, after $SECONDS s"
  ((status == 0 || status == 124)) || tail -n 12 "$out/$1.log" | cut -c1-300
  "$python" -m benchmarks.summary "$out" >"$work/summary.md" && mv "$work/summary.md" "$out/summary.md"
}

compile &
compiler=$!
for name in "${stages[@]}"; do
  [[ " ${chosen[*]} " == *" $name "* ]] || continue
  [[ $name == doctor || $name == parity ]] || wait "$compiler" # from here on, nothing else uses the GPU
  run "$name"
done
cat "$out/summary.md"
exit "$failed"
