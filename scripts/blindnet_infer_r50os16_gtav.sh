#!/usr/bin/env bash
# Draw the predictions of a checkpoint of blindnet_train_r50os16_gtav.sh in OUTPUT_DIR/blindnet/<data set>:
#     blindnet_infer_r50os16_gtav.sh SNAPSHOT OUTPUT_DIR [more flags]
[ $# -ge 2 ] || { echo "usage: $0 SNAPSHOT OUTPUT_DIR [more flags of infer.py]" >&2; exit 2; }
exec "$(dirname "$0")/launch.sh" --processes 1 infer.py \
    --val_dataset cityscapes mapillary bdd-100k \
    --arch network.deepv3.DeepR50V3PlusD \
    --wt_layer 0 0 1 1 1 0 0 \
    --mod blindnet \
    --results "$2" \
    --snapshot "$1" \
    --save color \
    "${@:3}"
