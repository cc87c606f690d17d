"""Where runs take place: the GPUs, or shares of the CPU's cores, and what a process there gets told."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import torch

from datasets.domains import default_workers
from scripts.experiments.matrix import Plan
from utils.errors import UserError


@dataclass(frozen=True)
class Place:
    """Room for one run: some GPUs, or ``threads`` threads of the CPU."""

    gpus: tuple[str, ...] = ()
    threads: int = 1

    @property
    def title(self) -> str:
        return f"GPU {','.join(self.gpus)}" if self.gpus else f"CPU, {self.threads} threads"

    def environment(self, processes: int) -> dict[str, str]:
        """The variables of a run of so many processes here."""
        environment = {**os.environ, "PYTHON": sys.executable, "PROCESSES": str(processes)}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus)
        else:
            for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
                environment.setdefault(name, str(max(1, self.threads // processes)))
        return environment


def visible_gpus() -> list[str]:
    """The GPUs that runs may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named[:count] if named else [str(number) for number in range(count)]


def processes_of(plan: Plan, gpus_per_run: int | None, has_gpus: bool) -> int:
    """With how many processes a run is started: one per GPU, on a CPU one."""
    return (gpus_per_run or plan.processes) if has_gpus else 1


def places(gpus: list[str], gpus_per_run: int, side_by_side: int) -> list[Place]:
    """Room for all runs that go on at the same time. Raises a UserError if there are too few GPUs for one."""
    if not gpus:
        return [Place(threads=max(1, default_workers() // side_by_side))] * side_by_side
    if gpus_per_run > len(gpus):
        raise UserError(
            f"--gpus_per_run {gpus_per_run}: only {len(gpus)} visible; give a divisor of what the file says, "
            "and gradients are accumulated"
        )
    groups = len(gpus) // gpus_per_run
    return [Place(tuple(gpus[n * gpus_per_run : (n + 1) * gpus_per_run])) for n in range(groups)]
