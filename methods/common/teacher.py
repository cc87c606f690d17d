"""A teacher: a network that is the running average of the network in training (mean teacher)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from network import SegmentationNet


def teacher_of(student: SegmentationNet) -> SegmentationNet:
    """A copy of ``student`` in evaluation mode, which no optimiser trains.

    Its state dict has the same names. The owner has to keep it in evaluation mode.
    """
    return copy.deepcopy(student).requires_grad_(False).eval()


@torch.no_grad()
def follow(teacher: SegmentationNet, student: SegmentationNet, share: Tensor) -> None:
    """Move every entry of the teacher's state dict towards the student's, in place.

    Weights, biases and running statistics move by ``share`` of the way. Whole numbers, such as the count of
    batches of a BatchNorm, are copied. ``share`` is a float without dimensions, 0 to 1, on the device of the
    networks: with 1 the teacher becomes exactly equal to the student, with 0 it stays as it is.
    """
    entries = student.state_dict()
    for name, value in teacher.state_dict().items():
        if value.is_floating_point():
            value.lerp_(entries[name], share.to(value))
        else:
            value.copy_(entries[name])


@torch.no_grad()
def distance(teacher: SegmentationNet, student: SegmentationNet) -> Tensor:
    """The sum of the L2 distances of all floating point entries; a float without dimensions."""
    entries = student.state_dict()
    differences = [
        torch.linalg.vector_norm(value - entries[name])
        for name, value in teacher.state_dict().items()
        if value.is_floating_point()
    ]
    return torch.stack(differences).sum()
