#!/usr/bin/env bash
# Score a checkpoint on Cityscapes as the MaxSquare family does, at 1024 x 512:
# valid_ms_r101_cty.sh SNAPSHOT [more flags]; --protocol full scores whole pictures, --flip adds the mirrored one.
[ $# -ge 1 ] || { echo "usage: $0 SNAPSHOT [more flags of valid.py]" >&2; exit 2; }
snapshot=$1
shift
exec "$(dirname "$0")/launch.sh" --processes 1 valid.py \
    --val_dataset cityscapes \
    --protocol maxsquare \
    --absent_classes zero \
    --arch deeplabv2_multi \
    --deeplabv2_head two_branch \
    --snapshot "$snapshot" \
    "$@"
