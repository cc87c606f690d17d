#!/usr/bin/env bash
# What SLURM starts on each machine of a job (slurm_train.sh): slurm_step.sh COMMAND ARGUMENTS...
# SLURM's signals may reach only this process. It passes each of them on as SIGUSR1 to the processes that torchrun has
# started, which save and end. It does so with SIGTERM too, because torchrun takes SIGTERM for a failure.
set -uo pipefail
asked=
trap "" USR1 # The launcher inherits this. The programs that it starts set their own handlers.
"$@" &
launcher=$!
ask_to_stop() {
    asked=yes
    pkill -USR1 -P "$launcher"
}
trap ask_to_stop USR1 TERM
# A trapped signal ends the wait, but not the launcher.
while kill -0 "$launcher" 2>/dev/null; do wait "$launcher"; done
wait "$launcher"
code=$?
# The program has not made this file if there was nothing to save.
[ -z "$asked" ] || [ "$code" -ne 0 ] || touch "$STOPPED_FILE"
exit "$code"
