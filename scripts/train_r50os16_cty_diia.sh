#!/usr/bin/env bash
# DIIA (Neurocomputing 2023): ResNet-50 at output stride 16, trained on Cityscapes.
# Published with 4 GPUs x 8 pictures. On fewer GPUs add --accumulate to keep 32 pictures per step.
# The released code scores the target domain after every epoch and keeps the best weights: for that, add
# --selection oracle --eval_every 93.
exec "$(dirname "$0")/launch.sh" train.py \
    --method diia \
    --dataset cityscapes \
    --covstat_val_dataset cityscapes \
    --val_dataset bdd100k \
    --absent_classes zero \
    --arch network.deepv3.DeepR50V3PlusD \
    --city_mode train \
    --lr_schedule poly \
    --lr 0.01 \
    --poly_exp 0.9 \
    --max_cu_epoch 10000 \
    --class_uniform_pct 0.5 \
    --class_uniform_tile 512 \
    --crop_size 768 \
    --scale_min 0.5 \
    --scale_max 2.0 \
    --rrotate 0 \
    --max_iter 40000 \
    --bs_mult 8 \
    --gblur \
    --color_aug 0.5 \
    --wt_reg_weight 0.6 \
    --relax_denom 0.0 \
    --clusters 2 \
    --cov_stat_epoch 5 \
    --trials 10 \
    --wt_layer 0 0 2 2 2 0 0 \
    --date 0101 \
    --exp r50os16_city_diia \
    --ckpt ./logs/ \
    --tb_path ./logs/ \
    "$@"
