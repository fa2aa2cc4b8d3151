#!/bin/sh
# Draws every picture and table of figures/ from the runs in checkpoints/; the same bytes each time on the same machine.
set -eu
cd "$(dirname "$0")/.."
analyze=${ANALYZE:-.venv/bin/recu-analyze}
runs=checkpoints/fashion

"$analyze" figures --only fig3,fig4,schedule,tradeoff -o figures
"$analyze" figures $runs/baseline-0 $runs/recu-0 --only fig2,silence,lockin,fliplaw,layermap,qe,scores -o figures
"$analyze" figures $runs/baseline-0 $runs/recu-0 $runs/random-0 --only magnitude -o figures
"$analyze" figures $runs/baseline-? $runs/recu-? $runs/random-? --only fig5 -o figures
"$analyze" figures $runs/recu-? $runs/baseline-? --only claims -o figures
"$analyze" figures checkpoints/scale/two-? checkpoints/scale/half-? checkpoints/scale/rescaled-? --only initscale -o figures
"$analyze" figures checkpoints/mask/recu checkpoints/mask/baseline checkpoints/mask/random --only mask -o figures
"$analyze" figures $runs/*-? checkpoints/fashion-tau/*-? checkpoints/tau/*-? --only table1 -o figures
"$analyze" figures $runs/*-? --only table2,table3,table4,table5 -o figures
