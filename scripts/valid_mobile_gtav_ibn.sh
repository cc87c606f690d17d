#!/usr/bin/env bash
# Score a checkpoint of train_mobile_gtav_ibn.sh: valid_mobile_gtav_ibn.sh SNAPSHOT [more flags]
[ $# -ge 1 ] || { echo "usage: $0 SNAPSHOT [more flags of valid.py]" >&2; exit 2; }
snapshot=$1
shift
exec "$(dirname "$0")/launch.sh" valid.py \
    --val_dataset bdd100k cityscapes synthia mapillary \
    --absent_classes zero \
    --arch network.deepv3.DeepMobileNetV3PlusD \
    --wt_layer 0 0 4 4 4 0 0 \
    --snapshot "$snapshot" \
    "$@"
