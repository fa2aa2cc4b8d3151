#!/bin/sh
# Trains ResNet-20 on Fashion-MNIST at 16x16 with statistics of the gradients, into runs/causes: three arms in several seeds,
# and trainings without a signal, the controls, in one seed; finished runs are skipped. Ask them with
#   recu-analyze causes runs/causes/baseline-?
#
#   scripts/fashion_causes.sh [SEED...]     three seeds by default, the first for the controls; JOBS trainings at once (2)
#
# T = 6.6: half of the epochs of fashion_mnist.sh with twice the weight decay. Ctrl-C stops it; the same command goes on
# after the last finished epochs.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 0 1 2

{
    for seed in "$@"; do
        echo "baseline $seed --no-recu"
        echo "recu $seed"
        echo "random $seed --mask random"
    done
    echo "baseline-labels $1 --no-recu --control labels"
    echo "recu-labels $1 --control labels"
    echo "random-labels $1 --mask random --control labels"
    # Fresh labels still have gradients that shrink. This one is noise and nothing else.
    echo "baseline-signs $1 --no-recu --control signs"
} | OMP_NUM_THREADS=1 xargs -P "${JOBS:-2}" -L 1 sh -c '
    arm=$1 seed=$2 run=runs/causes/$1-$2
    shift 2
    if [ -e "$run/checkpoints/last.safetensors" ]; then set -- "$@" --resume; else set -- "$@" --overwrite; fi
    ${PYTHON:-.venv/bin/python} -m recu_analysis train --dataset fashion-mnist-16 --epochs 6 --batch-size 128 --lr 0.1 \
        --binary-weight-decay 4e-3 --record gradient-stats --seed "$seed" --run-dir "$run" --quiet "$@"
' sh
