"""Which loss the flags choose."""

from __future__ import annotations

import pytest
import torch
from programs import arguments
from torch.nn import functional as F

from loss.boundary_relaxation import relaxed_cross_entropy
from loss.criterion import CLASS_WEIGHTS, SegmentationCriterion
from loss.segmentation import image_weighted_cross_entropy


def criterion(*flags: str) -> SegmentationCriterion:
    return SegmentationCriterion(arguments(*flags))


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 19, (2, 8, 8), generator=generator)
    label[0, :3] = 255
    return torch.randn(2, 19, 8, 8, generator=generator), label


def test_default_is_cross_entropy(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    expected = F.cross_entropy(*batch, ignore_index=255)
    torch.testing.assert_close(criterion()(*batch, 0), expected)
    torch.testing.assert_close(criterion().auxiliary(*batch), expected)


def test_mean_over_all_pixels(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    chosen = SegmentationCriterion(arguments(), mean_over="all")
    expected = F.cross_entropy(*batch, ignore_index=255, reduction="none").mean()
    torch.testing.assert_close(chosen(*batch, 0), expected)
    torch.testing.assert_close(chosen.auxiliary(*batch), expected)


def test_fixed_weights_are_on_main_and_auxiliary_loss(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    weighted = criterion("--cls_wt_loss")
    expected = F.cross_entropy(*batch, weight=torch.tensor(CLASS_WEIGHTS), ignore_index=255)
    torch.testing.assert_close(weighted(*batch, 0), expected)
    torch.testing.assert_close(weighted.auxiliary(*batch), expected)
    assert not weighted.state_dict()
    assert weighted.double().class_weights.dtype == torch.float64


def test_image_weighting(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    chosen = criterion("--img_wt_loss", "--wt_bound", "0.5", "--batch_weighting", "--img_wt_reduction", "sum")
    assert torch.equal(chosen(*batch, 0), image_weighted_cross_entropy(*batch, 0.5, True, "sum"))
    torch.testing.assert_close(chosen.auxiliary(*batch), F.cross_entropy(*batch, ignore_index=255))


def test_relaxation_ends_after_its_last_iteration(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    relaxed = relaxed_cross_entropy(*batch, True, (5,), bound=0.5)
    chosen = criterion(*"--jointwtborder --strict_bdr_cls 5 --wt_bound 0.5 --rlx_off_iter 7".split())
    assert torch.equal(chosen(*batch, 7), relaxed)
    assert torch.equal(chosen(*batch, 8), relaxed_cross_entropy(*batch, False, (5,), bound=0.5))
    torch.testing.assert_close(chosen.auxiliary(*batch), F.cross_entropy(*batch, ignore_index=255))
    assert torch.equal(criterion("--jointwtborder")(*batch, 10**6), relaxed_cross_entropy(*batch)), (
        "without --rlx_off_iter it never ends"
    )


@pytest.mark.parametrize("flags", [["--cls_wt_loss"], ["--img_wt_loss"], ["--jointwtborder"]])
def test_float32_under_autocast(batch: tuple[torch.Tensor, torch.Tensor], flags: list[str]) -> None:
    logits, label = batch[0].bfloat16(), batch[1]
    expected = criterion(*flags)(logits.float(), label, 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = criterion(*flags)(logits, label, 0)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)


@pytest.mark.parametrize("flags", ["", "--cls_wt_loss", "--img_wt_loss", "--jointwtborder --rlx_off_iter 1"])
def test_never_reads_the_device(batch: tuple[torch.Tensor, torch.Tensor], flags: str) -> None:
    """A tensor without data raises as soon as a value of it is asked for."""
    chosen = criterion(*flags.split()).to("meta")
    for iteration in (0, 2):
        logits = batch[0].to("meta").requires_grad_()
        chosen(logits, batch[1].to("meta"), iteration).backward()
        assert logits.grad.shape == logits.shape
