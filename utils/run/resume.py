"""Which checkpoint a run goes on from, and whether it is that of the same run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from utils.distributed import gather_objects
from utils.errors import UserError
from utils.run.checkpoint import PARTS_OF_A_RUN, DamagedCheckpoint, check_parts, load_checkpoint

# A run's own are float32: it would not go on where it was.
HALF = (torch.float16, torch.bfloat16)


def first_whole(candidates: Sequence[Path]) -> tuple[Path, dict[str, Any], list[str]]:
    """The first of ``candidates``, the newest first, that is not damaged: its path, its content, and a line
    for each one that had to be passed over.

    Raises:
        UserError: all are damaged (the first one's), or the first whole one is no checkpoint of ours.
    """
    damages: list[DamagedCheckpoint] = []
    for path in candidates:
        try:
            content = load_checkpoint(path)
        except DamagedCheckpoint as damage:
            damages.append(damage)
        else:
            return path, content, [f"warning: {damage}; going on from {path}" for damage in damages]
    raise damages[0]


def agree_on_resume(path: Path | None, checkpoint: Mapping[str, Any] | None) -> None:
    """Raise a UserError on every process unless all have found the same checkpoint, or none."""
    own = (None if path is None else path.name, checkpoint and checkpoint.get("iteration"))
    if len(set(gather_objects(own))) > 1:
        raise UserError(
            f"--resume: processes found different checkpoints (this one {own[0]} of iteration {own[1]}); "
            "--ckpt has to be storage that all machines see"
        )


def refuse_another(
    path: Path,
    checkpoint: Mapping[str, Any],
    sizes: Mapping[str, int],
    arguments: Mapping[str, Any],
    free: Collection[str],
) -> None:
    """Raise a UserError unless ``checkpoint`` is of a run with these ``sizes`` of a step and ``arguments``,
    but for those that are ``free`` to change.
    """
    if "optimizer" not in checkpoint:
        raise UserError(f"{path}: holds weights alone, no run to go on with; use --snapshot")
    check_parts(checkpoint, PARTS_OF_A_RUN, path)
    if any(value.dtype in HALF for value in checkpoint.get("model", {}).values()):
        raise UserError(f"{path}: holds weights in half precision, no run to go on with; use --snapshot")
    now, then = {**sizes, **arguments}, {**checkpoint["sizes_of_step"], **checkpoint["arguments"]}
    # A setting that the checkpoint does not know came after it, with a default that changes nothing.
    names = [name for name in now.keys() & then.keys() if name not in free and now[name] != then[name]]
    if names:
        changes = ", ".join(f"{name} was {then[name]}, is {now[name]}" for name in sorted(names))
        raise UserError(f"{path}: of a run with other settings ({changes}); use its own, or --snapshot")
