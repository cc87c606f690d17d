"""Which checkpoint a run resumes from, and whether it belongs to the same run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from utils.distributed import gather_objects
from utils.errors import UserError
from utils.run.checkpoint import PARTS_OF_A_RUN, DamagedCheckpoint, check_parts, load_checkpoint

# A run saves its weights in float32. It would not resume exactly from weights in half precision.
HALF = (torch.float16, torch.bfloat16)


def first_whole(candidates: Sequence[Path]) -> tuple[Path, dict[str, Any], list[str]]:
    """The first of ``candidates`` (newest first) that is not damaged: its path, its content, and one warning
    for each damaged file before it.

    Raises the first file's UserError if all are damaged, and another if the first whole one is not ours.
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
    """Raise a UserError on every process unless all found the same checkpoint, or all found none."""
    own = (None if path is None else path.name, checkpoint and checkpoint.get("iteration"))
    if len(set(gather_objects(own))) > 1:
        raise UserError(
            f"--resume: processes found different checkpoints (this one {own[0]} of iteration {own[1]}); "
            "set --ckpt to storage that all machines see"
        )


def refuse_other_settings(
    path: Path,
    checkpoint: Mapping[str, Any],
    sizes: Mapping[str, int],
    arguments: Mapping[str, Any],
    free: Collection[str],
) -> None:
    """Raise a UserError unless ``checkpoint`` belongs to a run with the same ``sizes`` and ``arguments``.

    ``sizes`` says how many pictures a step has. Settings whose names are in ``free`` may differ.
    """
    if "optimizer" not in checkpoint:
        raise UserError(f"{path}: holds weights alone, so there is no run to resume; use --snapshot")
    check_parts(checkpoint, PARTS_OF_A_RUN, path)
    if any(value.dtype in HALF for value in checkpoint.get("model", {}).values()):
        raise UserError(f"{path}: holds weights in half precision, so it cannot be resumed; use --snapshot")
    now, then = {**sizes, **arguments}, {**checkpoint["sizes_of_step"], **checkpoint["arguments"]}
    # A setting that is not in the checkpoint is newer than it, and its default changes nothing.
    names = [name for name in now.keys() & then.keys() if name not in free and now[name] != then[name]]
    if names:
        changes = ", ".join(f"{name} was {then[name]}, is {now[name]}" for name in sorted(names))
        raise UserError(f"{path}: its run had other settings ({changes}); use its settings, or --snapshot")
