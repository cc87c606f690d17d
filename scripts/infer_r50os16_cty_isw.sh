#!/usr/bin/env bash
# The published sliding-window inference of ResNet-50 ISW, trained on Cityscapes, on Cityscapes val:
#     CITYSCAPES_DIR=/data/cityscapes ./scripts/infer_r50os16_cty_isw.sh SNAPSHOT OUTPUT_DIR [ARGUMENTS OF infer.py]
# These arguments win over the script's own; with --input it takes other pictures.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 SNAPSHOT OUTPUT_DIR [ARGUMENTS OF infer.py]" >&2
    exit 2
fi
cityscapes="${CITYSCAPES_DIR:-data/cityscapes}"
pictures="$cityscapes/leftImg8bit_trainvaltest/leftImg8bit/val"
[ -d "$pictures" ] || pictures="$cityscapes/leftImg8bit/val"
exec "$(dirname "${BASH_SOURCE[0]}")/launch.sh" --processes 1 infer.py \
    --snapshot "$1" \
    --output "$2" \
    --input "$pictures" \
    --inference_mode sliding \
    --scales 0.5 1.0 2.0 \
    --flip \
    --crop_size 1024 \
    --save labelids color overlay \
    "${@:3}"
