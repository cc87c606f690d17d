#!/usr/bin/env bash
# The same as infer_r50os16_cty_isw.sh, but with whole pictures and averaged probabilities.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 SNAPSHOT OUTPUT_DIR [ARGUMENTS OF infer.py]" >&2
    exit 2
fi
exec "$(dirname "${BASH_SOURCE[0]}")/infer_r50os16_cty_isw.sh" "$1" "$2" --inference_mode pooling "${@:3}"
