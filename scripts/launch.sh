#!/usr/bin/env bash
# Run one of the programs on every GPU that is visible: launch.sh [--processes N] PROGRAM ARGUMENTS...
# PROGRAM is a file such as train.py or a module such as scripts.importance.
# Without a GPU it starts one process. CUDA_VISIBLE_DEVICES chooses the GPUs. --processes, or the variable PROCESSES,
# which wins, sets the number of processes. For several machines run the same command on each of them, with the
# variables NODES=2 MASTER=first-machine:29500. RESTARTS is how often all processes are started again when one dies
# (docs/clusters.md).
set -euo pipefail
start=$PWD
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
find_environment
processes="${PROCESSES:-}"
if [ "${1:-}" = --processes ]; then
    processes="${processes:-$2}"
    shift 2
fi
[ -n "$processes" ] || processes=$("$PYTHON" -c 'import torch; print(max(1, torch.cuda.device_count(), torch.xpu.device_count()))')
case $1 in
*.py) program=("$PWD/$1") ;;
*) program=(-m "$1") ;;
esac
shift
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
cd "$start"
if [ "${NODES:-1}" -gt 1 ]; then
    [ -n "${MASTER:-}" ] || fail "NODES=$NODES: several machines need MASTER=host:port, the first one's, too"
    rendezvous=(--nnodes="$NODES" --rdzv_backend=c10d --rdzv_endpoint="$MASTER" --rdzv_id="${RUN_ID:-urbandg}")
else
    rendezvous=(--standalone)
fi
if [ "$processes" -gt 1 ] || [ "${NODES:-1}" -gt 1 ] || [ "${RESTARTS:-0}" -gt 0 ]; then
    # Restarted processes must not use the store of the dead ones, because they would wait for those for ever.
    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
    exec "$PYTHON" -m scripts.torchrun "${rendezvous[@]}" --nproc_per_node="$processes" \
        --max_restarts="${RESTARTS:-0}" "${program[@]}" "$@"
fi
exec "$PYTHON" "${program[@]}" "$@"
