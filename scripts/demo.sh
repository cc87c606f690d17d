#!/usr/bin/env bash
# Train methods on one synthetic city, score them on four cities they never saw, and make a page of it:
# demo.sh [--methods baseline isw] [--seeds 304] [more flags of train.py or of scripts.experiments]
# The methods are the rows of experiments/toycity.toml. The two of the start take about ten minutes on two CPU cores
# after the installation. Started again, it goes on, and does not repeat what is finished (--overwrite does).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
methods=(baseline isw) seeds=(304) further=()
list=further
for word in "$@"; do
    case $word in
    --methods) list=methods methods=() ;;
    --seeds) list=seeds seeds=() ;;
    --*) list=further further+=("$word") ;;
    *)
        case $list in
        methods) methods+=("$word") ;;
        seeds) seeds+=("$word") ;;
        *) further+=("$word") ;;
        esac
        ;;
    esac
done
install_environment requirements.txt
"$PYTHON" -m scripts.experiments experiments/toycity.toml --date demo --only "${methods[@]}" --seeds "${seeds[@]}" \
    ${further[@]+"${further[@]}"}
runs=()
for method in "${methods[@]}"; do
    for seed in "${seeds[@]}"; do runs+=("logs/demo/$method-seed$seed"); done
done
"$PYTHON" -m scripts.report "${runs[@]}" --output demo_output --title "UrbanDG: the toy city"
