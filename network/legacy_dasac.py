"""The checkpoints of DA-SAC: theirs to ours, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from network.factory import DASAC_ARCHITECTURES
from utils import distributed
from utils.legacy_dasac import STUDENT_PREFIX, DasacWeights, to_dasac
from utils.run.checkpoint import NETWORK_PREFIX, TEACHER_PREFIX
from utils.run.tensor_file import DISTRIBUTED_PREFIX


def dasac_model(weights: DasacWeights) -> dict[str, Tensor]:
    """The entries by the names of our SAC: ``network.*``, and with a teacher ``teacher.*`` and buffers."""
    parts = ((NETWORK_PREFIX, weights.student), (TEACHER_PREFIX, weights.teacher))
    model = {f"{prefix}{key}": value for prefix, state in parts for key, value in state.items()}
    if weights.prior is not None:
        # The iteration itself is in no file of theirs: any but a negative one says that there is a teacher.
        model |= {"prior": weights.prior, "teacher_iteration": torch.tensor(0)}
    return model


def dasac_checkpoint(weights: DasacWeights, path: object) -> dict[str, Any]:
    """The ``weights`` of the file at ``path`` as a checkpoint of ours: network, model, arguments.

    Its entries tell everything about the network. One line is printed.
    """
    if distributed.is_main():
        parts = "student and teacher" if weights.teacher else "no teacher"
        print(
            f"{path}: DA-SAC checkpoint, {weights.arch}, {weights.num_classes} classes, {parts}", flush=True
        )
    network = {**DASAC_ARCHITECTURES[weights.arch], "num_classes": weights.num_classes}
    return {"network": network, "model": dasac_model(weights), "arguments": {"dataset": []}}


def dasac_content(state: Mapping[str, Tensor], arch: str) -> dict[str, Any]:
    """A file of theirs with the entries ``state`` of our network ``arch``, as after the first of its steps.

    It has no optimiser's state, which theirs need to go on training but not to segment.
    """
    prefix = DISTRIBUTED_PREFIX + STUDENT_PREFIX
    entries = {f"{prefix}{key}": value for key, value in to_dasac(state, arch).items()}
    return {"model": entries, "opt": {}, "score": 0.0, "epoch": 0}
