#!/bin/sh
# Trains ResNet-20 at fixed levels tau, as in the paper's Table 1, and without clamp; finished runs are skipped. It is what
# digits_tau.sh and fashion_mnist_tau.sh run.
#
#   RUNS=FOLDER scripts/fixed_tau.sh "OPTIONS OF TRAIN" [SEED...]     two seeds by default; two trainings at once, one thread each
set -eu
cd "$(dirname "$0")/.."
export RUNS OPTIONS="$1"
shift
[ $# -gt 0 ] || set -- 0 1

for seed in "$@"; do
    echo "none $seed --no-recu"
    for tau in 0.98 0.94 0.90 0.85 0.82 0.78; do
        echo "$tau $seed --tau $tau $tau"
    done
done | OMP_NUM_THREADS=1 xargs -P 2 -L 1 sh -c '
    arm=$1 seed=$2 run=$RUNS/$1-$2
    shift 2
    if [ -e "$run/checkpoints/last.safetensors" ]; then set -- "$@" --resume; else set -- "$@" --overwrite; fi
    ${PYTHON:-.venv/bin/python} -m recu_analysis train $OPTIONS --seed "$seed" --run-dir "$run" --quiet "$@"
' sh
