#!/usr/bin/env bash
# As infer_r50os16_cty_isw.sh, but on whole pictures, averaging probabilities.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 SNAPSHOT OUTPUT_DIR [ARGUMENTS OF infer.py]" >&2
    exit 2
fi
exec "$(dirname "${BASH_SOURCE[0]}")/infer_r50os16_cty_isw.sh" "$1" "$2" --inference_mode pooling "${@:3}"
