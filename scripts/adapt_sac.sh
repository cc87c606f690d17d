#!/usr/bin/env bash
# DA-SAC (CVPR 2021): from GTAV or SYNTHIA to Cityscapes without its labels, in all three steps:
# adapt_sac.sh {gtav,synthia} {resnet101,vgg16,vgg16fcn} [more flags of train.py, for every step]
#   1 abn: train on the source with its labels; the statistics of BatchNorm follow the target's pictures, too
#   2 importance weights: which of the target's pictures show which classes, as predicted by the network of step 1
#   3 sac: self-training with a momentum teacher, starting from the network of step 1
# If the script is started again, it skips steps that have a result and continues a step that was interrupted.
# Results are in ./logs/dasac, or below another --ckpt.
# The published batch sizes are totals. Four processes share them, or as many as the variable PROCESSES says. As
# published, each process has at least one target picture in step 1; so with VGG there are two in all on one or two
# GPUs, and four on four.
# The published code chose step 1's weights on 500 labelled target pictures, and step 3 went on from their epoch to
# the 200th; it was chosen in the same way. Here no target label is used: both steps end with their last weights, and
# step 3 has 200 epochs.
set -euo pipefail
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() {
    echo "$@" >&2
    exit 2
}

usage="usage: $0 {gtav,synthia} {resnet101,vgg16,vgg16fcn} [more flags of train.py]"
case ${1:-} in
gtav) dataset=gtav_10k division=train pictures=9000 ;;
synthia) dataset=synthia division=trainval pictures=9400 ;;
*) fail "$usage" ;;
esac
case ${2:-} in
resnet101) arch=deeplabv2_resnet101 lr=0.00025 abn_batch=12 abn_target=8 jitter=0.5 weight=5.0 lower=0.2 ;;
vgg16) arch=deeplabv2_vgg16_bn lr=0.00025 abn_batch=16 abn_target=2 jitter=0.4 weight=2.0 lower=0.1 ;;
vgg16fcn) arch=fcn_vgg16_bn lr=0.0005 abn_batch=16 abn_target=2 jitter=0.4 weight=2.0 lower=0.1 ;;
*) fail "$usage" ;;
esac
name=${2}_${1}2cty
shift 2
sac_batch=8 groups=2
processes=${PROCESSES:-4}
for batch in $abn_batch $sac_batch; do
    [ $((batch % processes)) -eq 0 ] ||
        fail "error: PROCESSES=$processes: does not divide a batch of $batch pictures; use 1, 2 or 4"
done
# With more processes than groups, several processes share one group.
sharing=$((processes > groups ? processes / groups : 1))

logs=./logs previous=
for word in "$@"; do
    [ "$previous" != --ckpt ] || logs=$word
    case $word in --ckpt=*) logs=${word#--ckpt=} ;; esac
    previous=$word
done
abn=$logs/dasac/${name}_abn
weights=$abn/importance_weights.json

train() {
    local exp=$1
    shift
    [ ! -f "$logs/dasac/$exp/results.json" ] || return 0
    "$scripts/launch.sh" --processes 4 train.py \
        --dataset $dataset \
        --city_mode $division \
        --target_dataset cityscapes \
        --val_dataset cityscapes \
        --arch $arch \
        --lr $lr \
        --poly_exp 0 \
        --weight_decay 0.0005 \
        --class_uniform_pct 0 \
        --no_gblur \
        --renormalise published \
        --absent_classes zero \
        --selection last \
        --date dasac \
        --exp "$exp" \
        --resume auto \
        "$@"
}

train "${name}_abn" \
    --method abn \
    --bs_mult $((abn_batch / processes)) \
    --target_bs_mult $((abn_target > processes ? abn_target / processes : 1)) \
    --crop_size 640 \
    --scale_min 0.5 \
    --scale_max 2.0 \
    --color_aug 0.5 \
    --color_jitter $jitter $jitter $jitter $jitter \
    --max_iter $((100 * (pictures / abn_batch))) \
    "$@"

[ -f "$weights" ] || "$scripts/launch.sh" --processes 4 scripts.importance \
    --snapshot "$abn/last.pth" \
    --output "$weights" \
    "$@" \
    --dataset cityscapes \
    --split train

train "${name}_sac" \
    --method sac \
    --resume_from "$abn/last.pth" \
    --importance_weights "$weights" \
    --bs_mult $((sac_batch / processes)) \
    --target_bs_mult $((groups * sharing / processes)) \
    --processes_per_group $sharing \
    --crop_size 1024,512 \
    --scale_min 0.5 \
    --scale_max 1.0 \
    --color_aug 0 \
    --target_weight $weight \
    --confidence_lower $lower \
    --max_iter $((200 * (pictures / sac_batch))) \
    "$@"
