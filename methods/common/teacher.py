"""A teacher: a network that is the running average of another one in training (mean teacher)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from network import SegmentationNet


def teacher_of(student: SegmentationNet) -> SegmentationNet:
    """A copy of ``student``, in evaluation mode, that no optimiser trains.

    Its entries have the student's names. Whoever owns it has to keep it in evaluation mode.
    """
    return copy.deepcopy(student).requires_grad_(False).eval()


@torch.no_grad()
def follow(teacher: SegmentationNet, student: SegmentationNet, share: Tensor) -> None:
    """Move every entry of the teacher by ``share`` of the way to the student's, in place.

    Weights, biases and running statistics alike; of whole numbers, such as the batches that a BatchNorm has
    seen, the teacher takes the student's. ``share``: float without dimensions, 0 to 1, on their device; with
    1 the teacher equals the student to the bit, with 0 it stays as it is.
    """
    entries = student.state_dict()
    for name, value in teacher.state_dict().items():
        if value.is_floating_point():
            value.lerp_(entries[name], share.to(value))
        else:
            value.copy_(entries[name])


@torch.no_grad()
def distance(teacher: SegmentationNet, student: SegmentationNet) -> Tensor:
    """How far apart they are: the L2 distances of their entries, summed; float without dimensions."""
    entries = student.state_dict()
    differences = [
        torch.linalg.vector_norm(value - entries[name])
        for name, value in teacher.state_dict().items()
        if value.is_floating_point()
    ]
    return torch.stack(differences).sum()
