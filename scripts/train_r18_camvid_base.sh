#!/usr/bin/env bash
# CamVid by light: baseline, ResNet-18, trained on the day sequences, scored on another part of the city and on dusk.
exec "$(dirname "$0")/launch.sh" --processes 1 train.py \
    --dataset camvid_day \
    --val_dataset camvid_seq05 camvid_dusk \
    --arch network.deepv3.DeepR18V3PlusD \
    --lr 0.01 \
    --class_uniform_pct 0.5 \
    --class_uniform_tile 128 \
    --crop_size 320 \
    --max_iter 4000 \
    --bs_mult 8 \
    --eval_every 500 \
    --gblur \
    --color_aug 0.5 \
    --wt_reg_weight 0.0 \
    --wt_layer 0 0 0 0 0 0 0 \
    --amp auto \
    --date camvid \
    --exp r18_camvid_base \
    "$@"
