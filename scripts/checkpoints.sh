#!/bin/sh
# Makes checkpoints/, the small runs that ship with the repository, from runs/fashion, runs/causes, runs/mask, runs/scale,
# runs/tau, runs/fashion-tau, runs/long and runs/ternary (see scripts/fashion_mnist.sh, fashion_causes.sh, digits_mask.sh,
# digits_scale.sh, digits_tau.sh, fashion_mnist_tau.sh, fashion_long.sh and ternary.sh): fewer layers, windows merged into fewer. Of the runs in runs/ternary it
# also keeps the table of all layers and windows, and of the real-valued twins the last loss.
set -eu
cd "$(dirname "$0")/.."
analyze=${ANALYZE:-.venv/bin/recu-analyze}

thin() { # RUN OUT WINDOWS LAYER...
    run=$1 out=$2 windows=$3
    shift 3
    for layer in "$@"; do set -- "$@" --layer "$layer"; shift; done
    rm -rf "$out"
    "$analyze" thin "$run" --windows "$windows" "$@" -o "$out"
    rm "$out/lock"
}

for seed in 0 1 2; do
    for arm in baseline recu random; do
        thin "runs/fashion/$arm-$seed" "checkpoints/fashion/$arm-$seed" 0,4,8,12 \
            layer1.0.conv2 layer1.2.conv2 layer2.0.conv2 layer2.2.conv2 layer3.0.conv1
    done
    # Of these only the metrics and one layer are shown.
    thin "runs/fashion/rescaled-$seed" "checkpoints/fashion/rescaled-$seed" 0,12 layer2.0.conv2
done
for seed in 0 1 2; do
    for arm in two half rescaled; do
        thin "runs/scale/$arm-$seed" "checkpoints/scale/$arm-$seed" 0,12 layer2.0.conv2
    done
done
# Of these only the metrics are shown.
for seed in 0 1; do
    for arm in none 0.98 0.94 0.90 0.85 0.82 0.78; do
        thin "runs/tau/$arm-$seed" "checkpoints/tau/$arm-$seed" 0,24 layer1.0.conv1
        thin "runs/fashion-tau/$arm-$seed" "checkpoints/fashion-tau/$arm-$seed" 0,4 layer1.0.conv1
    done
done
for arm in recu baseline random; do
    thin "runs/mask/$arm" "checkpoints/mask/$arm" 0,7,8 layer1.0.conv2 layer2.0.conv2 layer2.2.conv2
done
# The windows but for 3 are single epochs, because rho has an interval only where windows are not merged.
for run in runs/causes/*; do
    thin "$run" "checkpoints/causes/${run##*/}" 0,1,3,4,5,6 layer1.0.conv2 layer2.0.conv1
done
# Of T = 29, the last three epochs are long enough to tell dead weights from slow ones.
for run in runs/long/*; do
    thin "$run" "checkpoints/length/fashion-${run##*/}" 0,9,12 layer1.0.conv2 layer2.0.conv2
done
mkdir -p checkpoints/ternary/levels checkpoints/ternary/real
for run in runs/ternary/*; do
    name=${run##*/}
    case $name in
        *real*) "$analyze" evaluate "$run" -o "checkpoints/ternary/real/$name.csv" ;;
        *labels*) ;; # only the table
        lm-*) thin "$run" "checkpoints/ternary/$name" 0,4,8 attention.1.out attention.3.out ;;
        bits2-*) thin "$run" "checkpoints/ternary/$name" 0,6,12 layer1.0.conv2 ;;
        *) thin "$run" "checkpoints/ternary/$name" 0,6,12 layer1.0.conv2 layer2.2.conv2 ;;
    esac
    case $name in *real*) ;; *) "$analyze" levels "$run" -o "checkpoints/ternary/levels/$name.csv" ;; esac
done
