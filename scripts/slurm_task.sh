#!/usr/bin/env bash
# One task of an array job that scripts/experiments submits: the command in line SLURM_ARRAY_TASK_ID of the file TASKS,
# with further flags. Each line is the folder of a run, a tab, and the command.
set -euo pipefail
task=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" "$TASKS")
[ -n "$task" ] || { echo "error: $TASKS: has no task $SLURM_ARRAY_TASK_ID" >&2; exit 1; }
[ ! -f "${task%%$'\t'*}/results.json" ] || { echo "${task%%$'\t'*}: is finished already"; exit 0; }
# Python has quoted the words of the command for the shell.
eval "exec ${task#*$'\t'} \"\$@\""
