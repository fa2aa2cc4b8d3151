#!/bin/sh
# Trains ResNet-20 on the digits with b* = 2, b* = sqrt(2)/2, and b* = sqrt(2)/2 with the initial weights divided by
# sqrt(2 sqrt(2)), into runs/scale; finished runs are skipped. Draw it with
#   recu-analyze figures runs/scale/* --only initscale
#
#   scripts/digits_scale.sh [SEED...]     three seeds by default; two trainings at once, one thread each
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 0 1 2

for seed in "$@"; do
    echo "two $seed"
    echo "half $seed --scale 0.7071067811865476"
    echo "rescaled $seed --scale 0.7071067811865476 --initial-scale 0.5946035575013605"
done | OMP_NUM_THREADS=1 xargs -P 2 -L 1 sh -c '
    arm=$1 seed=$2 run=runs/scale/$1-$2
    shift 2
    if [ -e "$run/checkpoints/last.safetensors" ]; then set -- "$@" --resume; else set -- "$@" --overwrite; fi
    ${PYTHON:-.venv/bin/python} -m recu_analysis train --epochs 12 --seed "$seed" --run-dir "$run" --quiet "$@"
' sh
