#!/bin/sh
# Trains ResNet-20 on the digits at a fixed tau with the gradients of its weights recorded, into runs/mask: with the
# clamp, without, and with the random mask; finished runs are skipped. Draw it with
#   recu-analyze figures runs/mask/* --only mask
#
#   scripts/digits_mask.sh [SEED]     0 by default; one thread, about a minute a run
set -eu
cd "$(dirname "$0")/.."
seed=${1:-0}
export OMP_NUM_THREADS=1

for arm in recu baseline random; do
    case $arm in
    recu) set -- ;;
    baseline) set -- --no-recu ;;
    random) set -- --mask random ;;
    esac
    run=runs/mask/$arm
    if [ -e "$run/checkpoints/last.safetensors" ]; then set -- "$@" --resume; else set -- "$@" --overwrite; fi
    "${PYTHON:-.venv/bin/python}" -m recu_analysis train --epochs 8 --tau 0.85 0.85 --record grad --seed "$seed" \
        --run-dir "$run" --quiet "$@"
done
