#!/usr/bin/env bash
# BlindNet (CVPR 2024) with the losses of its paper: ResNet-50 at output stride 16, trained on Cityscapes.
# The settings are those published for GTAV, 2 GPUs x 4 pictures in two views. None are published for Cityscapes.
# --cwcl_negatives all --cwcl_fill any trains as the released code does.
exec "$(dirname "$0")/launch.sh" train.py \
    --method blindnet \
    --dataset cityscapes \
    --val_dataset bdd100k gtav synthia mapillary \
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
    --date 0101 \
    --exp r50os16_city_blindnet \
    --ckpt ./logs/ \
    --tb_path ./logs/ \
    "$@"
