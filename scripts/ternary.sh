#!/bin/sh
# Trains ternary and k-bit networks into runs/ternary; finished runs are skipped, and others are resumed.
#   lm-SEED        the ternary language model on a text; lm-real-SEED: its real-valued twin, which is not recorded
#   ternary-SEED   ResNet-20 with ternary weights on the digits; bits2-SEED: with 2 bits and a learned step
#   ternary-labels-0, bits2-labels-0, lm-labels-0     controls: labels drawn anew for every batch, so without a signal
#   resnet-real-0                                     the real-valued twin of ResNet-20
#
#   scripts/ternary.sh TEXT    any file of text as bytes; the shipped runs have the four Gospels, from Debian's package
#                              bible-kjv-text:  bible -f Mt1:1-Joh21:25 > gospels.txt
# One training at a time on one thread: a minute each for the digits, some five for the text.
set -eu
cd "$(dirname "$0")/.."
[ $# -eq 1 ] || { echo "usage: scripts/ternary.sh TEXT" >&2; exit 2; }
text=$1
export OMP_NUM_THREADS=1

train() {
    run=runs/ternary/$1
    shift
    if [ -e "$run/checkpoints/last.safetensors" ]; then set -- "$@" --resume; else set -- "$@" --overwrite; fi
    ${PYTHON:-.venv/bin/python} -m recu_analysis train --run-dir "$run" --quiet "$@"
}

digits() {
    train "$@" --epochs 12
}

language() {
    train "$@" --dataset text --data-file "$text" --epochs 8 --epoch-updates 75 --batch-size 16
}

for seed in 0 1; do
    digits "ternary-$seed" --levels 3 --binary-weight-decay 0.04 --seed "$seed"
    digits "bits2-$seed" --bits 2 --seed "$seed"
done
digits ternary-labels-0 --levels 3 --binary-weight-decay 0.04 --control labels
digits bits2-labels-0 --bits 2 --control labels
language lm-0 --network ternary-lm
language lm-real-0 --network ternary-lm-real
language lm-1 --network ternary-lm --seed 1
digits resnet-real-0 --network resnet20-real
language lm-labels-0 --network ternary-lm --control labels
