#!/usr/bin/env bash
# Draw the predictions of a checkpoint of train_r50os16_gtav_diia.sh in OUTPUT_DIR/<data set>:
#     infer_r50os16_gtav_diia.sh SNAPSHOT OUTPUT_DIR [more flags]
[ $# -ge 2 ] || { echo "usage: $0 SNAPSHOT OUTPUT_DIR [more flags of infer.py]" >&2; exit 2; }
exec "$(dirname "$0")/launch.sh" --processes 1 infer.py \
    --val_dataset cityscapes synthia bdd100k mapillary \
    --arch network.deepv3.DeepR50V3PlusD \
    --wt_layer 0 0 2 2 2 0 0 \
    --output "$2" \
    --snapshot "$1" \
    "${@:3}"
