"""Runs as array jobs of SLURM: ``scripts/slurm_train.sh`` for each line of a list of commands."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.experiments.matrix import PROJECT, Plan
from scripts.experiments.places import processes_of
from scripts.experiments.state import is_finished
from utils.errors import UserError
from utils.files import atomic_write


def waves(plans: Sequence[Plan]) -> list[list[Plan]]:
    """The runs that are not finished, in arrays that have to follow one another: by needs, then by size."""
    levels: dict[str, int] = {}
    for plan in plans:  # Those that others start from come first.
        levels[plan.name] = 1 + max((levels[name] for name in plan.needs), default=0)
    unfinished = [plan for plan in plans if not is_finished(plan)]
    keys = sorted({(levels[plan.name], plan.processes) for plan in unfinished})
    return [[p for p in unfinished if (levels[p.name], p.processes) == key] for key in keys]


def write_list(plans: Sequence[Plan], gpus_per_run: int | None, path: Path) -> None:
    """One line per task: the run's folder, a tab, and its command."""
    lines = []
    for plan in plans:
        script, *words = plan.command(processes_of(plan, gpus_per_run, True))
        lines.append(f"{plan.folder}\t{shlex.join([f'scripts/{script}', *words])}\n")
    with atomic_write(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def submit(plans: Sequence[Plan], gpus_per_run: int | None, at_once: int | None, flags: Sequence[str]) -> int:
    """Submit the runs that are not finished; returns the exit code. Raises a UserError if sbatch fails."""
    if shutil.which("sbatch") is None:
        raise UserError(
            "--slurm: there is no sbatch on this machine; start it on a login node of the cluster"
        )
    if not PROJECT.samefile(Path.cwd()):
        raise UserError(f"--slurm: jobs run in the project's folder; start it in {PROJECT}")
    arrays = waves(plans)
    if not arrays:
        print("all runs are finished; nothing is submitted")
    levels: dict[str, str] = {}
    for array in arrays:
        stamp = f"{time.time_ns():x}"
        tasks = array[0].notes.parent / f"array-{stamp}.txt"
        write_list(array, gpus_per_run, tasks)
        processes = processes_of(array[0], gpus_per_run, True)
        needed = sorted({levels[name] for plan in array for name in plan.needs if name in levels})
        command = [
            "sbatch",
            "--parsable",
            f"--array=0-{len(array) - 1}{f'%{at_once}' if at_once else ''}",
            f"--gpus-per-node={processes}",
            *([f"--dependency=afterok:{':'.join(needed)}"] if needed else []),
            *flags,
            f"--export=ALL,TASKS={tasks.absolute()},PROCESSES={processes}",
            "scripts/slurm_train.sh",
            "scripts/slurm_task.sh",
        ]
        job = submitted(command)
        levels |= {plan.name: job for plan in array}
        print(f"job {job}: {len(array)} runs with {processes} GPUs each: {' '.join(p.name for p in array)}")
    return 0


def submitted(command: Sequence[str]) -> str:
    """Start sbatch; returns the job's number."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip().partition("\n")[0]
        raise UserError(f"--slurm: sbatch failed ({reason}); correct --sbatch, or what the file asks for")
    return done.stdout.strip().partition(";")[0]
