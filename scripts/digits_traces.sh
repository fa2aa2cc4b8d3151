#!/bin/sh
# Trains ResNet-20 on the digits with the values of twelve weights of each layer recorded at every update, and keeps one
# layer of it as checkpoints/traces/recu. Draw it with
#   recu-analyze figures checkpoints/traces/recu --only trajectories
#
#   scripts/digits_traces.sh     one thread, about three minutes
set -eu
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1

"${PYTHON:-.venv/bin/python}" -m recu_analysis train --epochs 20 --traces 12 --seed 0 --run-dir runs/traces --quiet
"${PYTHON:-.venv/bin/python}" -m recu_analysis thin runs/traces --windows 0,5,10,15,20 --layer layer2.1.conv2 \
    -o checkpoints/traces/recu
