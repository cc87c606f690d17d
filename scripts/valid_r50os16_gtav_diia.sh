#!/usr/bin/env bash
# Score a checkpoint of train_r50os16_gtav_diia.sh: valid_r50os16_gtav_diia.sh SNAPSHOT [more flags]
[ $# -ge 1 ] || { echo "usage: $0 SNAPSHOT [more flags of valid.py]" >&2; exit 2; }
snapshot=$1
shift
exec "$(dirname "$0")/launch.sh" valid.py \
    --val_dataset cityscapes synthia bdd100k mapillary \
    --absent_classes zero \
    --arch network.deepv3.DeepR50V3PlusD \
    --wt_layer 0 0 2 2 2 0 0 \
    --snapshot "$snapshot" \
    "$@"
