#!/usr/bin/env bash
# Score a 13-class checkpoint on Rio as the MaxSquare family does, at 1024 x 512:
# valid_ms_rio.sh SNAPSHOT [more flags]
[ $# -ge 1 ] || { echo "usage: $0 SNAPSHOT [more flags of valid.py]" >&2; exit 2; }
snapshot=$1
shift
exec "$(dirname "$0")/launch.sh" --processes 1 valid.py \
    --val_dataset nthu_rio \
    --protocol maxsquare \
    --absent_classes zero \
    --arch deeplabv2_multi \
    --deeplabv2_head two_branch \
    --snapshot "$snapshot" \
    "$@"
