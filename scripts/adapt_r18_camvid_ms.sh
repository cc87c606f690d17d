#!/usr/bin/env bash
# CamVid, from day to dusk without its labels: maximum squares, started from a network trained on the day:
# adapt_r18_camvid_ms.sh SNAPSHOT [more flags], e.g. logs/camvid/r18_camvid_base/last.pth
# Dusk has one sequence, so the network is adapted to the same pictures that are scored (transductive).
[ $# -ge 1 ] || { echo "usage: $0 SNAPSHOT [more flags of train.py]" >&2; exit 2; }
snapshot=$1
shift
exec "$(dirname "$0")/launch.sh" --processes 1 train.py \
    --method maxsquare \
    --dataset camvid_day \
    --target_dataset camvid_dusk \
    --val_dataset camvid_seq05 camvid_dusk \
    --arch network.deepv3.DeepR18V3PlusD \
    --lr 0.001 \
    --class_uniform_pct 0.5 \
    --class_uniform_tile 128 \
    --crop_size 320 \
    --max_iter 1000 \
    --bs_mult 8 \
    --target_mode maxsquare \
    --lambda_target 0.1 \
    --eval_every 500 \
    --selection last \
    --gblur \
    --color_aug 0.5 \
    --wt_layer 0 0 0 0 0 0 0 \
    --amp auto \
    --date camvid \
    --exp r18_camvid_ms \
    --snapshot "$snapshot" \
    "$@"
