#!/bin/sh
# Trains ResNet-20 on Fashion-MNIST at 16x16 at fixed levels tau and without clamp, into runs/fashion-tau. Print the table with
#   recu-analyze figures runs/fashion-tau/* --only table1
#
#   scripts/fashion_mnist_tau.sh [SEED...]     two seeds by default; 9 minutes a training
RUNS=runs/fashion-tau exec "$(dirname "$0")/fixed_tau.sh" \
    "--dataset fashion-mnist-16 --epochs 4 --batch-size 128 --lr 0.1 --binary-weight-decay 2e-3 --warm-up 1" "$@"
