#!/bin/sh
# Trains ResNet-20 on Fashion-MNIST at 16x16 in four arms and several seeds, into runs/fashion; finished runs are skipped.
#
#   scripts/fashion_mnist.sh [SEED...]     three seeds by default; JOBS trainings at once (2), one thread each
#
# 12 epochs with weight decay 2e-3 on the binary weights make T = 6.1.
# Ctrl-C stops it; the same command goes on after the last finished epochs.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 0 1 2

for seed in "$@"; do
    echo "baseline $seed --no-recu"
    echo "recu $seed"
    echo "random $seed --mask random"
    # b* = sqrt(2)/2 follows b* = 2 where the initial weights are divided by sqrt(2 sqrt(2)).
    echo "rescaled $seed --scale 0.7071067811865476 --initial-scale 0.5946035575013605"
done | OMP_NUM_THREADS=1 xargs -P "${JOBS:-2}" -L 1 sh -c '
    arm=$1 seed=$2 run=runs/fashion/$1-$2
    shift 2
    # A folder with a checkpoint is gone on with; a finished training ends there at once.
    if [ -e "$run/checkpoints/last.safetensors" ]; then set -- "$@" --resume; else set -- "$@" --overwrite; fi
    ${PYTHON:-.venv/bin/python} -m recu_analysis train --dataset fashion-mnist-16 --epochs 12 --batch-size 128 --lr 0.1 \
        --binary-weight-decay 2e-3 --warm-up 2 --seed "$seed" --run-dir "$run" --quiet "$@"
' sh
