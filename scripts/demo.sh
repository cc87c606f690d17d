#!/usr/bin/env bash
# Train the baseline and ISW on one synthetic city, score both on four cities they never saw, draw the pictures.
# It takes about ten minutes on two CPU cores after the installation. Arguments go to train.py, for example --seed 1.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
install_environment requirements.txt
pictures=demo_output
"$PYTHON" train.py --date demo --exp baseline --overwrite "$@"
"$PYTHON" train.py --date demo --exp isw --overwrite \
    --wt_layer 0 0 2 2 2 0 0 --cov_stat_epoch 19 --trials 3 --covstat_images 24 "$@"
"$PYTHON" -m scripts.compare logs/demo/baseline logs/demo/isw --output "$pictures"
