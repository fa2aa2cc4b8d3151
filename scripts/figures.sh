#!/bin/sh
# Draws every picture and table of figures/ from the runs in checkpoints/; the same bytes each time on the same machine.
# Usage: scripts/figures.sh [FOLDER [OPTION]...]; the options are those of recu-analyze figures, such as --venue talk.
set -eu
cd "$(dirname "$0")/.."
analyze=${ANALYZE:-.venv/bin/recu-analyze}
folder=${1:-figures}
[ $# -eq 0 ] || shift
runs=checkpoints/fashion

"$analyze" figures --only fig3,fig4,schedule,tradeoff -o "$folder" "$@"
"$analyze" figures $runs/baseline-0 $runs/recu-0 --only fig2,ridge,silence,layers,lockin,fliplaw,layermap,qe,scores -o "$folder" "$@"
"$analyze" figures $runs/baseline-0 $runs/recu-0 $runs/random-0 --only magnitude -o "$folder" "$@"
"$analyze" figures $runs/baseline-? $runs/recu-? $runs/random-? --only fig5 -o "$folder" "$@"
"$analyze" figures $runs/recu-? $runs/baseline-? --only claims -o "$folder" "$@"
"$analyze" figures checkpoints/scale/two-? checkpoints/scale/half-? checkpoints/scale/rescaled-? --only initscale -o "$folder" "$@"
"$analyze" figures checkpoints/mask/recu checkpoints/mask/baseline checkpoints/mask/random --only mask -o "$folder" "$@"
"$analyze" figures checkpoints/traces --only trajectories -o "$folder" "$@"
"$analyze" figures $runs/*-? checkpoints/fashion-tau/*-? checkpoints/tau/*-? --only table1 -o "$folder" "$@"
"$analyze" figures $runs/*-? --only table2,table3,table4,table5 -o "$folder" "$@"
