#!/usr/bin/env bash
# BlindNet (CVPR 2024): ResNet-50 at output stride 16, trained on GTAV.
# Published with 2 GPUs x 4 pictures, each in two views. On fewer GPUs add --accumulate to keep 8 pictures per step.
# The published number was made with --cwcl_negatives all --cwcl_fill any. Without them the loss is the paper's.
# The released code scores the target domains after every epoch and keeps the best weights of each: for that,
# add --selection oracle --eval_every 1550. It scores Mapillary at height 1024.
exec "$(dirname "$0")/launch.sh" train.py \
    --dataset gtav_jitter \
    --val_dataset cityscapes bdd100k mapillary \
    --absent_classes zero \
    --evaluation_height 1024 \
    --arch network.deepv3.DeepR50V3PlusD \
    --city_mode train \
    --lr_schedule poly \
    --lr 0.01 \
    --poly_exp 0.9 \
    --max_cu_epoch 10000 \
    --class_uniform_pct 0.5 \
    --class_uniform_tile 1024 \
    --crop_size 768 \
    --scale_min 0.5 \
    --scale_max 2.0 \
    --rrotate 0 \
    --max_iter 40000 \
    --bs_mult 4 \
    --gblur \
    --color_aug 0.5 \
    --wt_layer 0 0 1 1 1 0 0 \
    --jit_only \
    --use_ca \
    --use_cwcl \
    --use_sdcl \
    --w1 0.2 \
    --w2 0.2 \
    --w3 0.3 \
    --w4 0.3 \
    --nce_T 0.07 \
    --num_patch 20 \
    --contrast_max_classes 15 \
    --contrast_max_view 50 \
    --cwcl_negatives all \
    --cwcl_fill any \
    --date 0101 \
    --exp r50os16_gtav_blindnet \
    --ckpt ./logs/ \
    --tb_path ./logs/ \
    "$@"
