#!/usr/bin/env bash
# The source-only network that adaptation starts from: DeepLabV2 on ResNet-101, trained on SYNTHIA.
# Published with one GPU and batches of one. The released code in effect used two of the four atrous branches and
# three times the backbone's learning rate; so does this script.
exec "$(dirname "$0")/launch.sh" --processes 1 train.py \
    --method baseline \
    --dataset synthia \
    --val_dataset cityscapes \
    --arch deeplabv2_multi \
    --deeplabv2_head two_branch \
    --backbone_lr_mult 3.0 \
    --num_classes 16 \
    --lr 0.00025 \
    --poly_exp 0.9 \
    --weight_decay 0.0005 \
    --bs_mult 1 \
    --class_uniform_pct 0 \
    --augmentation maxsquare \
    --crop_size 1280,760 \
    --max_iter 200000 \
    --iter_stop 80000 \
    --aux_weight 0 \
    --protocol maxsquare \
    --absent_classes zero \
    --date maxsquare \
    --exp source_r101_synthia \
    "$@"
