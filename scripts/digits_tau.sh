#!/bin/sh
# Trains ResNet-20 on the digits at fixed levels tau and without clamp, into runs/tau. Print the table with
#   recu-analyze figures runs/tau/* --only table1
#
#   scripts/digits_tau.sh [SEED...]     two seeds by default
RUNS=runs/tau exec "$(dirname "$0")/fixed_tau.sh" "--epochs 24" "$@"
