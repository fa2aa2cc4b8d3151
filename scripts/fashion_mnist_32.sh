#!/bin/sh
# Trains ResNet-20 on Fashion-MNIST at 32x32 with the paper's weight decay, side by side on one GPU, into runs/fashion32: no clamp,
# ReCU and the random mask, and fixed levels tau as in the paper's Table 1; finished runs are skipped.
#
#   scripts/fashion_mnist_32.sh [SEED...]     three seeds by default; JOBS trainings at once (16) of EPOCHS epochs (24)
#   LEVELS= scripts/fashion_mnist_32.sh       without fixed levels; LEVELS="0.98 0.9": these; ARMS= none of the three arms
#
# A GPU does not add up in the same order each time, so that the same seed gives nearly, not bitwise, the same training.
# Ctrl-C stops it; the same command goes on after the last finished epochs.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 0 1 2

for seed in "$@"; do
    for arm in ${ARMS-baseline recu random}; do
        case $arm in
            baseline) echo "baseline $seed --no-recu" ;;
            recu) echo "recu $seed" ;;
            random) echo "random $seed --mask random" ;;
            *) echo "no arm is called $arm; known are baseline, recu and random" >&2 ;;
        esac
    done
    for tau in ${LEVELS-0.98 0.94 0.90 0.85 0.82 0.78}; do
        echo "fixed$tau $seed --tau $tau $tau"
    done
done | EPOCHS="${EPOCHS:-24}" OMP_NUM_THREADS=1 xargs -P "${JOBS:-16}" -L 1 sh -c '
    arm=$1 seed=$2 run=runs/fashion32/$1-$2
    shift 2
    # A folder with a checkpoint is gone on with; a finished training ends there at once.
    if [ -e "$run/checkpoints/last.safetensors" ]; then set -- "$@" --resume; else set -- "$@" --overwrite; fi
    ${PYTHON:-.venv/bin/python} -m recu_analysis train --dataset fashion-mnist ${DATA:+--data-dir "$DATA"} --device cuda \
        --epochs "$EPOCHS" --batch-size 128 --lr 0.1 --binary-weight-decay 5e-4 --warm-up 2 --seed "$seed" --run-dir "$run" \
        --quiet "$@"
' sh
