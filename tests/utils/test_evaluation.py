"""Scoring on a device: batches are moved in one place, and nothing waits before the end."""

from __future__ import annotations

import pytest
import torch
from host_waits import CPU, META, NoHostWaits, forbid_reading
from torch import Tensor

from utils.device import to_device
from utils.scoring.evaluation import evaluate
from utils.scoring.metrics import ConfusionMatrix


def batches() -> list[dict[str, object]]:
    """Two batches of a loader, of one picture each, half of which has no label."""
    label = torch.arange(3, dtype=torch.uint8).repeat(4, 2)
    label[:2] = 255
    picture = torch.arange(3, dtype=torch.uint8).repeat(3, 4, 2)
    return [{"image": picture[None], "label": label[None], "name": ["a"]} for _ in range(2)]


def scores_of(picture: Tensor) -> Tensor:
    """The class is the grey level."""
    return torch.stack([(picture[:, 0] == number).float() for number in range(3)], dim=1)


@pytest.mark.parametrize("device", [CPU, META], ids=str)
def test_nothing_waits_for_the_device_before_the_end(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tensor, "is_cpu", property(lambda tensor: False))
    loader, matrices = batches(), {"day": ConfusionMatrix(3, device), "night": ConfusionMatrix(3, device)}
    loader[0]["group"], loader[1]["group"] = ["day"], ["night"]
    forbid_reading(monkeypatch)
    with NoHostWaits(device):
        evaluate(scores_of, loader, {group: [matrix] for group, matrix in matrices.items()}, device)
    monkeypatch.undo()
    assert [int(each.pictures) for each in matrices.values() if device == CPU] in ([], [1, 1])
    matrix = matrices["day"] + matrices["night"]
    assert matrix.counts.device == device
    if device == CPU:
        assert matrix.counts.tolist() == (8 * torch.eye(3, dtype=torch.int64)).tolist()


def test_labels_become_whole_numbers_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    monkeypatch.setattr("utils.device.moved", lambda tensor, device: moved.append(tensor.dtype) or tensor)
    batch = to_device(batches()[0], CPU)
    assert moved == [torch.uint8] * 2
    assert (batch["image"].dtype, batch["label"].dtype, batch["name"]) == (torch.uint8, torch.int64, ["a"])
    assert batch["label"].unique().tolist() == [0, 1, 2, 255]
    assert set(to_device({"image": batch["image"]}, CPU)) == {"image"}
