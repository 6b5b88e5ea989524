#!/usr/bin/env bash
# Everything that should be measured and checked on a machine with a GPU, on which nothing can be downloaded.
#
#   benchmarks/on_accelerator.sh OUT [--tiny]
#
# In about eight minutes on one H100 or H200, each part with a time limit and a log of its own below OUT, and an overview
# in OUT/summary.txt. Exits with 1 if a part failed or ran into its limit; the others still run.
#
#   PYTHON   a Python 3.11 to 3.13 with JAX for the device; default python3
#   WHEELS   folder of wheels that this Python lacks; they are installed into a temporary folder
#   BUILT    a built data set, data/surrogate_smic/hs/<version>, for a machine without MediaPipe
#   MER_FACE_MODEL  the face model, which the tests ask for
#
# --tiny runs every part with sizes that show only that it works; CI does so on a CPU.
set -uo pipefail
out=${1:?usage: benchmarks/on_accelerator.sh OUT [--tiny]}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
tiny=${2:-}
failed=0

if [[ -n ${WHEELS:-} ]]; then
  site=$(mktemp -d)
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$WHEELS"/*.whl || exit 1
  export PYTHONPATH=$site:$PWD
fi
# Several processes share the device, so none may take all of its memory at the start.
export XLA_PYTHON_CLIENT_PREALLOCATE=false PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=2

# part NAME SECONDS COMMAND...: runs it with a time limit and notes how it ended.
part() {
  local name=$1 limit=$2 start=$SECONDS code
  shift 2
  timeout --signal=INT --kill-after=10 "$limit" "$@" >"$out/$name.log" 2>&1
  code=$?
  ((code == 0)) || failed=1
  printf '%-14s %4d s of %4d  %s\n' "$name" $((SECONDS - start)) "$limit" \
    "$(case $code in 0) echo done ;; 124 | 130 | 137) echo 'ran into its time limit' ;; *) echo "failed with $code" ;; esac)" |
    tee -a "$out/summary.txt"
}

cache=$(mktemp -d) # of compiled programs, for the part that runs the same ones three times
built=()
[[ -n ${BUILT:-} ]] && built=(--built "$BUILT")
: >"$out/summary.txt"
# In full float32: the tests compare with tolerances that TF32 does not keep. Without autotuning: it takes seconds for
# each of hundreds of small programs.
engine=(env JAX_DEFAULT_MATMUL_PRECISION=highest XLA_FLAGS="--xla_gpu_autotune_level=0 ${XLA_FLAGS:-}"
  "$python" -m pytest -q -p no:cacheprovider -m "not slow")
if "$python" -c 'import xdist' 2>/dev/null; then engine+=(-n 12 -p no:benchmark); fi

if [[ $tiny == --tiny ]]; then
  part tests 300 "${engine[@]}" tests/test_pallas_conv.py
  part convolution 300 "$python" -m benchmarks.accelerator --batch 2 --rounds 1 --anyway --json "$out/convolution.json"
  part folds 300 "$python" -m benchmarks.protocol --folds 4 --per_subject 3 --rounds 1 --together_only \
    --trace "$out/trace" --json "$out/folds.json"
  part networks 300 "$python" -m benchmarks.network_protocols --networks HybridAttention3DNet --epochs 1 \
    --clips 24 --protocols loso "${built[@]}" --json "$out/networks.json"
  part resume 300 "$python" -m benchmarks.resume --epochs 4 --subjects 4 --per_subject 3 --json "$out/resume.json"
else
  part folds 120 "$python" -m benchmarks.protocol --folds 16 --rounds 5 --together_only --trace "$out/trace" \
    --json "$out/folds.json"
  # The five networks of the paper, both protocols, 200 epochs: 5 of the 80 runs of the grid and its baseline.
  part networks 240 "$python" -m benchmarks.network_protocols --epochs 200 --at_once 5 "${built[@]}" \
    --json "$out/networks.json"
  part convolution 60 "$python" -m benchmarks.accelerator --rounds 5 --forms pallas batched "batched, bfloat16" \
    --json "$out/convolution.json"
  part resume 120 env JAX_COMPILATION_CACHE_DIR="$cache" "$python" -m benchmarks.resume --json "$out/resume.json"
  part tests 120 "${engine[@]}" tests/test_pallas_conv.py tests/test_training_lanes.py tests/test_training_train.py \
    tests/test_small_conv.py tests/test_checkpoint.py
fi
for log in folds networks resume tests convolution; do printf '\n== %s\n' "$log" && tail -n 40 "$out/$log.log"; done
cat "$out/summary.txt"
exit $failed
