#!/usr/bin/env bash
# MaxSquare (ICCV 2019) with image-wise weights and multi-level guidance: from GTAV to Cityscapes without its labels:
# adapt_iwms_multi_r101_gtav2cty.sh SNAPSHOT [more flags]; SNAPSHOT must be trained with --aux_weight 0.1.
# Published with one GPU and batches of one. The released code in effect used two of the four atrous branches and
# three times the backbone's learning rate; so does this script.
# It kept the weights that scored best on the target (--selection oracle --eval_every 2975). This script takes the last.
[ $# -ge 1 ] || { echo "usage: $0 SNAPSHOT [more flags of train.py]" >&2; exit 2; }
snapshot=$1
shift
exec "$(dirname "$0")/launch.sh" --processes 1 train.py \
    --method maxsquare \
    --dataset gtav \
    --target_dataset cityscapes \
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
    --target_crop_size 1280,640 \
    --target_mode IW_maxsquare \
    --IW_ratio 0.2 \
    --lambda_target 0.09 \
    --multi \
    --lambda_seg 0.1 \
    --threshold 0.95 \
    --max_iter 29760 \
    --protocol maxsquare \
    --absent_classes zero \
    --selection last \
    --date maxsquare \
    --exp iwms_multi_r101_gtav2cty \
    --snapshot "$snapshot" \
    "$@"
