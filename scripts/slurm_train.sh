#!/usr/bin/env bash
# Train on a SLURM cluster, on all machines of the job, and go on after every interruption:
# sbatch --nodes=2 --gpus-per-node=8 scripts/slurm_train.sh scripts/train_r50os16_gtav_isw.sh --exp mine [more flags]
# sbatch scripts/slurm_train.sh train.py --dataset gtav --exp mine [more flags]
# Before its time ends or it is pre-empted, the job saves and is put back into the queue. Options: docs/clusters.md.
#SBATCH --job-name=urbandg
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@180
#SBATCH --requeue
#SBATCH --open-mode=append
set -uo pipefail
[ $# -ge 1 ] || { echo "usage: sbatch $0 SCRIPT_OR_PROGRAM [flags of train.py]" >&2; exit 2; }
[ -n "${SLURM_JOB_ID:-}" ] || { echo "error: $0: not in a SLURM job; start it with sbatch" >&2; exit 2; }
# SLURM runs a copy of this file. The project is the folder from which the job was submitted.
cd "$SLURM_SUBMIT_DIR" || exit 1
[ -f scripts/launch.sh ] || { echo "error: $PWD: submit the job from the project's folder" >&2; exit 2; }
program=$1
shift
case $program in
*.sh) command=("$program") ;;
*) command=(scripts/launch.sh "$program") ;;
esac
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export NODES=$SLURM_JOB_NUM_NODES RUN_ID=$SLURM_JOB_ID MASTER="$first:$((20000 + SLURM_JOB_ID % 20000))"
export RESTARTS="${RESTARTS:-3}"

fail() {
    echo "error: $*" >&2
    exit 1
}

asked= step=
ask_to_stop() {
    asked=${asked:-$((SECONDS + ${PATIENCE:-120}))}
    echo "job $SLURM_JOB_ID: asked to stop, saving"
    # srun passes SIGUSR1 on to the step. With SIGTERM it would kill the step.
    [ -z "$step" ] || kill -USR1 "$step"
}
trap ask_to_stop USR1 TERM

# In a job array, the job's number alone may mean the whole array.
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID:-}}
job=${job:-$SLURM_JOB_ID}
queue_again() {
    rm -f "$STOPPED_FILE"
    # A job that was cancelled, or that SLURM itself queues again, is not running any more.
    case $(scontrol show job "$job" | grep -o 'JobState=[A-Z_]*') in
    JobState=RUNNING | "") ;;
    *)
        echo "job $job: cancelled, or queued again by SLURM: left as it is"
        exit 0
        ;;
    esac
    scontrol requeue "$job" || fail "job $job: could not be queued again; submit it once more"
    exit 0
}

# At pre-emption SLURM may signal only the step, or every process of it. The launchers then end as if they had failed.
# This file shows that the run has stopped because it was asked to. Every start has its own name for it, because other
# machines may remember for a while that a file did not exist.
export STOPPED_FILE="$PWD/.stopped-$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}"
# A step started by srun does not inherit the job's cores.
srun --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
    bash scripts/slurm_step.sh "${command[@]}" --resume auto "$@" &
step=$!
# A trapped signal ends the wait, but not the step. An evaluation that takes longer than the notice is not waited for,
# because the run was saved before it began.
while kill -0 "$step" 2>/dev/null; do
    if [ -z "$asked" ]; then
        wait "$step"
    elif [ "$SECONDS" -lt "$asked" ]; then
        # The signal is repeated, because a process that was just starting may have missed it.
        kill -USR1 "$step" 2>/dev/null
        sleep 1
    else
        break
    fi
done
[ -z "$asked" ] || queue_again
wait "$step"
code=$?
[ ! -e "$STOPPED_FILE" ] || queue_again
exit "$code"
