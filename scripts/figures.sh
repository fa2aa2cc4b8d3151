#!/bin/sh
# Draws every picture and table of figures/ from the runs in checkpoints/; the same bytes each time on the same machine.
# Usage: scripts/figures.sh [FOLDER [OPTION]...]; the options are those of recu-analyze figures, such as --venue talk.
set -eu
cd "$(dirname "$0")/.."
analyze=${ANALYZE:-.venv/bin/recu-analyze}
folder=${1:-figures}
[ $# -eq 0 ] || shift
runs=checkpoints/fashion
two="$runs/baseline-0 $runs/recu-0"

draw() {
    "$analyze" figures "$@" -o "$folder"
}

draw --only fig3,fig4,schedule,tradeoff,ternary "$@"
draw $two --label baseline-0="no clamp" --label recu-0=ReCU \
    --only fig2,ridge,silence,layers,lockin,survival,rho,split,fliplaw,layermap,qe,scores "$@"
draw $two $runs/random-0 --label baseline-0="no clamp" --label recu-0=ReCU --label random-0="random mask" \
    --only magnitude,mobility "$@"
draw $runs/baseline-? $runs/recu-? $runs/random-? --only fig5 "$@"
draw $runs/recu-? $runs/baseline-? --only claims "$@"
draw $runs/recu-? $runs/baseline-? checkpoints/length/fashion-recu-? checkpoints/length/fashion-baseline-? \
    --layer layer1.0.conv2 --layer layer2.0.conv2 --only length "$@"
draw checkpoints/scale/two-? checkpoints/scale/half-? checkpoints/scale/rescaled-? --only initscale "$@"
draw checkpoints/mask/recu checkpoints/mask/baseline checkpoints/mask/random \
    --label baseline="no clamp" --label recu=ReCU --label random="random mask" --only mask "$@"
draw checkpoints/causes/baseline-0 checkpoints/causes/recu-0 --label baseline-0="no clamp" --label recu-0=ReCU \
    --only causes "$@"
draw checkpoints/traces/recu --only trajectories "$@"
draw checkpoints/ternary/lm-0 checkpoints/ternary/ternary-0 --label lm-0="language model" --label ternary-0=ResNet-20 \
    --only transitions "$@"
draw $runs/*-? checkpoints/fashion-tau/*-? checkpoints/tau/*-? --only table1 "$@"
draw $runs/*-? --only table2,table3,table4,table5 "$@"
