#!/usr/bin/env bash
# What SLURM starts on each machine of a job (slurm_train.sh): slurm_step.sh COMMAND ARGUMENTS...
# SLURM's signals may reach this process alone. Each of them, SIGTERM too, which torchrun takes for a failure, goes on as
# SIGUSR1 to the processes that torchrun has started, which save and end.
set -uo pipefail
asked=
trap "" USR1 # The launcher inherits this; the programs that it starts listen again.
"$@" &
launcher=$!
ask_to_stop() {
    asked=yes
    pkill -USR1 -P "$launcher"
}
trap ask_to_stop USR1 TERM
# A trapped signal ends the wait, not the launcher.
while kill -0 "$launcher" 2>/dev/null; do wait "$launcher"; done
wait "$launcher"
code=$?
# Also where there was nothing to save.
[ -z "$asked" ] || [ "$code" -ne 0 ] || touch "$STOPPED_FILE"
exit "$code"
