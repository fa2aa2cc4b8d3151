#!/bin/sh
# Trains the networks of the paper's Tables 1 to 4 and Figure 5 on CIFAR-10 by its whole recipe, into runs/cifar10. Finished
# runs are skipped; Ctrl-C stops it, and the same command goes on after the last finished epochs.
#
#   scripts/cifar10.sh DATA [SEED...]     DATA: folder of the archive of https://www.cs.toronto.edu/~kriz/cifar.html;
#                                         five seeds by default, as in the paper
#   JOBS=1          trainings at once
#   ARMS=REGEX      only arms whose names match, such as '^(recu|baseline)$'; ARMS=list prints the names
#   EPOCHS=600      fewer make another training: T is proportional to them
#   MORE="..."      more options of recu-analyze train, such as "--device cuda --compile --bfloat16"
#
# 600 epochs of ResNet-20 take some 2 GB of disk, one window an epoch; --channels 0.1 in MORE divides that by ten.
# Then: recu-analyze figures runs/cifar10/* --only table1,table2,table3,table4
#       recu-analyze figures runs/cifar10/baseline-? runs/cifar10/recu-? --only fig5
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || { echo "usage: scripts/cifar10.sh DATA [SEED...]" >&2; exit 2; }
export DATA="$1" EPOCHS="${EPOCHS:-600}" MORE="${MORE:-}"
shift
[ $# -gt 0 ] || set -- 0 1 2 3 4

arms() {
    echo "recu"
    echo "baseline --no-recu"
    echo "random --mask random"
    # Table 1: levels that do not change. 1.00 is no clamp.
    for tau in 0.98 0.96 0.94 0.92 0.90 0.85 0.82 0.80 0.78; do echo "tau-$tau --tau $tau $tau"; done
    # Table 2: schedules of the level. The paper's scale there is sqrt(2)/2.
    for start in 0.80 0.85 0.90; do
        for end in 0.99 1.00; do
            echo "schedule-$start-$end --tau $start $end --scale 0.7071067811865476"
        done
    done
    # Table 3: scales b*; 2 is recu.
    for scale in none 0.2 0.7071067811865476 1 3 4 5; do echo "scale-$scale --scale $scale"; done
    # Table 4: other networks, and the real-valued ones.
    for network in resnet18 vgg_small; do echo "$network --network $network"; done
    for network in resnet18 resnet20 vgg_small; do echo "$network-real --network $network-real"; done
}

[ "${ARMS:-}" != list ] || { arms | cut -d " " -f 1; exit; }
for seed in "$@"; do
    arms | awk -v seed="$seed" -v wanted="${ARMS:-.}" '$1 ~ wanted { arm = $1; $1 = ""; print arm, seed $0 }'
done | xargs -P "${JOBS:-1}" -L 1 sh -c '
    run=runs/cifar10/$1-$2 seed=$2
    shift 2
    if [ -e "$run/checkpoints/last.safetensors" ]; then set -- "$@" --resume; else set -- "$@" --overwrite; fi
    ${PYTHON:-.venv/bin/python} -m recu_analysis train --dataset cifar10 --data-dir "$DATA" --augment --epochs "$EPOCHS" \
        --batch-size 256 --lr 0.1 --weight-decay 5e-4 --binary-weight-decay 5e-4 --warm-up 5 --seed "$seed" \
        --run-dir "$run" --quiet "$@" $MORE
' sh
