#!/bin/sh
# Trains ResNet-20 on the digits as the demo does, 24 epochs, T = 2.9, into runs/digits-long: three arms in several seeds;
# finished runs are skipped.
#
#   scripts/digits_long.sh [SEED...]     three seeds by default; JOBS trainings at once (2), about a minute each
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 0 1 2

for seed in "$@"; do
    echo "baseline $seed --no-recu"
    echo "recu $seed"
    echo "random $seed --mask random"
done | OMP_NUM_THREADS=1 xargs -P "${JOBS:-2}" -L 1 sh -c '
    arm=$1 seed=$2 run=runs/digits-long/$1-$2
    shift 2
    if [ -e "$run/checkpoints/last.safetensors" ]; then set -- "$@" --resume; else set -- "$@" --overwrite; fi
    ${PYTHON:-.venv/bin/python} -m recu_analysis train --epochs 24 --record gradient-stats --seed "$seed" \
        --run-dir "$run" --quiet "$@"
' sh
