#!/usr/bin/env bash
# The source-only network that adaptation starts from: DeepLabV2 on ResNet-101, trained on GTAV.
# Published with one GPU and batches of one. The released code in effect used two of the four atrous branches and
# three times the backbone's learning rate; so does this script.
# For adapt_iwms_multi_r101_gtav2cty.sh add --aux_weight 0.1, because that also uses the auxiliary output.
exec "$(dirname "$0")/launch.sh" --processes 1 train.py \
    --method baseline \
    --dataset gtav \
    --val_dataset cityscapes \
    --arch deeplabv2_multi \
    --deeplabv2_head two_branch \
    --backbone_lr_mult 3.0 \
    --lr 0.00025 \
    --poly_exp 0.9 \
    --weight_decay 0.0005 \
    --bs_mult 1 \
    --class_uniform_pct 0 \
    --augmentation maxsquare \
    --crop_size 1280,720 \
    --max_iter 200000 \
    --iter_stop 80000 \
    --aux_weight 0 \
    --protocol maxsquare \
    --absent_classes zero \
    --date maxsquare \
    --exp source_r101_gtav \
    "$@"
