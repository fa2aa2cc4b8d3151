#!/bin/sh
# Trains ResNet-20 on the digits without the clamp, in several seeds: as it is, with silent weights of the tail revived before
# two epochs, and with as many weights drawn at random, the control; finished runs are skipped. Compare them with
#   recu-analyze compare --seeds runs/revive/none-? runs/revive/silent-? runs/revive/at-random-?
#
#   scripts/digits_revive.sh [SEED...]     three seeds by default; JOBS trainings at once (2), one thread each
#
# EPOCHS (12), BEFORE (4,8) and HOW (negate) choose the length, the epochs before which weights are revived, and what happens
# to them. The recipe is that of digits_causes.sh. Ctrl-C stops it; the same command goes on after the last finished epochs.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 0 1 2
export EPOCHS="${EPOCHS:-12}" HOW="${HOW:-negate}"

for seed in "$@"; do
    echo "none $seed"
    echo "silent $seed --revive tail-silent:${BEFORE:-4,8} --revive-how $HOW"
    echo "at-random $seed --revive random-tail-silent:${BEFORE:-4,8} --revive-how $HOW"
done | OMP_NUM_THREADS=1 xargs -P "${JOBS:-2}" -L 1 sh -c '
    arm=$1 seed=$2 run=runs/revive/$1-$2
    shift 2
    if [ -e "$run/checkpoints/last.safetensors" ]; then set -- "$@" --resume; else set -- "$@" --overwrite; fi
    ${PYTHON:-.venv/bin/python} -m recu_analysis train --no-recu --epochs "$EPOCHS" --binary-weight-decay 0.04 --seed "$seed" \
        --run-dir "$run" --quiet "$@"
' sh
