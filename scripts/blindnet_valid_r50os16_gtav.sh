#!/usr/bin/env bash
# Score a checkpoint of blindnet_train_r50os16_gtav.sh: blindnet_valid_r50os16_gtav.sh SNAPSHOT [more flags]
# The released code scores Mapillary at height 1024.
[ $# -ge 1 ] || { echo "usage: $0 SNAPSHOT [more flags of valid.py]" >&2; exit 2; }
snapshot=$1
shift
exec "$(dirname "$0")/launch.sh" valid.py \
    --val_dataset cityscapes bdd100k mapillary gtav \
    --absent_classes zero \
    --evaluation_height 1024 \
    --arch network.deepv3.DeepR50V3PlusD \
    --wt_layer 0 0 1 1 1 0 0 \
    --snapshot "$snapshot" \
    "$@"
