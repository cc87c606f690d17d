#!/usr/bin/env bash
# CamVid by light: BlindNet, ResNet-18, trained on the day sequences, scored on another part of the city and on dusk.
# It samples less than published, because at output stride 32 layer4 of a crop of 320 has only 10 x 10 pixels.
exec "$(dirname "$0")/launch.sh" --processes 1 train.py \
    --method blindnet \
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
    --wt_layer 0 0 1 1 1 0 0 \
    --contrast_max_classes 10 \
    --contrast_max_views 10 \
    --num_patch 5 \
    --amp auto \
    --date camvid \
    --exp r18_camvid_blindnet \
    "$@"
