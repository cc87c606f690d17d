#!/usr/bin/env bash
# MaxSquare (ICCV 2019) across cities: from Cityscapes to Taipei without its labels, 13 classes, started from a network
# of train_source_r101_cty.sh: adapt_ms_cty2taipei.sh SNAPSHOT [more flags]
# Published with one GPU and batches of one. The released code in effect used two of the four atrous branches and
# three times the backbone's learning rate; so does this script.
# It kept the weights that scored best on the target (--selection oracle --eval_every 2975). This script takes the last.
[ $# -ge 1 ] || { echo "usage: $0 SNAPSHOT [more flags of train.py]" >&2; exit 2; }
snapshot=$1
shift
exec "$(dirname "$0")/launch.sh" --processes 1 train.py \
    --method maxsquare \
    --dataset cityscapes \
    --target_dataset nthu_taipei \
    --val_dataset nthu_taipei \
    --arch deeplabv2_multi \
    --deeplabv2_head two_branch \
    --backbone_lr_mult 3.0 \
    --num_classes 13 \
    --lr 0.00025 \
    --poly_exp 0.9 \
    --weight_decay 0.0005 \
    --bs_mult 1 \
    --class_uniform_pct 0 \
    --augmentation maxsquare \
    --crop_size 1024,512 \
    --target_crop_size 1024,512 \
    --target_mode maxsquare \
    --lambda_target 0.1 \
    --threshold 0.98 \
    --aux_weight 0 \
    --max_iter 29760 \
    --protocol maxsquare \
    --absent_classes zero \
    --selection last \
    --date maxsquare \
    --exp ms_cty2taipei \
    --snapshot "$snapshot" \
    "$@"
