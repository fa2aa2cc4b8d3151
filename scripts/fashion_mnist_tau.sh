#!/bin/sh
# Trains ResNet-20 on Fashion-MNIST at 16x16 at fixed levels tau, as in the paper's Table 1, and without clamp, into
# runs/fashion-tau; finished runs are skipped. Print the table with
#   recu-analyze figures runs/fashion-tau/* --only table1
#
#   scripts/fashion_mnist_tau.sh [SEED...]     two seeds by default; two trainings at once, one thread each, 8 minutes a training
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 0 1

for seed in "$@"; do
    echo "none $seed --no-recu"
    for tau in 0.98 0.94 0.90 0.85 0.82 0.78; do
        echo "$tau $seed --tau $tau $tau"
    done
done | OMP_NUM_THREADS=1 xargs -P 2 -L 1 sh -c '
    arm=$1 seed=$2 run=runs/fashion-tau/$1-$2
    shift 2
    if [ -e "$run/checkpoints/last.safetensors" ]; then set -- "$@" --resume; else set -- "$@" --overwrite; fi
    ${PYTHON:-.venv/bin/python} -m recu_analysis train --dataset fashion-mnist-16 --epochs 4 --batch-size 128 --lr 0.1 \
        --binary-weight-decay 2e-3 --warm-up 1 --seed "$seed" --run-dir "$run" --quiet "$@"
' sh
