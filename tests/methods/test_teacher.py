"""The running average of a network."""

from __future__ import annotations

import pytest
import torch

from methods.sac import distance, follow, teacher_of
from network import SegmentationNet, create_network

NETWORKS = {
    "switchable": {"backbone": "mobilenet_v2", "wt_layer": (0, 0, 5, 5, 5, 0, 0)},
    "snr": {"backbone": "mobilenet_v2", "snr_stages": (1,)},
    "deeplabv2": {"backbone": "resnet50_caffe", "head": "deeplabv2", "output_stride": 8},
}


def moved(student: SegmentationNet) -> None:
    """Change every entry, as training does."""
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in student.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand(value.shape, generator=rng))
            else:
                value.add_(3)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_entry_moves_its_share(name: str) -> None:
    torch.manual_seed(0)
    student = create_network(**NETWORKS[name])
    teacher = teacher_of(student)
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert any(parameter.requires_grad for parameter in student.parameters())
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    moved(student)
    follow(teacher, student, torch.tensor(0.01))
    for key, value in teacher.state_dict().items():
        target = student.state_dict()[key]
        if value.is_floating_point():
            target = 0.99 * before[key] + 0.01 * target
        torch.testing.assert_close(value, target)


def test_shares_of_one_and_none() -> None:
    student = create_network("mobilenet_v2")
    teacher = teacher_of(student)
    assert distance(teacher, student) == 0
    moved(student)
    before = distance(teacher, student)
    follow(teacher, student, torch.tensor(0.0))
    assert distance(teacher, student) == before > 0
    follow(teacher, student, torch.tensor(1.0))
    assert all(torch.equal(value, student.state_dict()[key]) for key, value in teacher.state_dict().items())
