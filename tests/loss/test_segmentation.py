"""Cross entropy over labelled pixels."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from loss.segmentation import auxiliary_cross_entropy, cross_entropy, nearest_label


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 5, (2, 6, 8), generator=generator)
    label[0, :3] = 255
    return torch.randn(2, 5, 6, 8, generator=generator, requires_grad=True), label


@pytest.mark.parametrize("weighted", [False, True])
def test_mean_over_labelled_pixels(batch: tuple[torch.Tensor, torch.Tensor], weighted: bool):
    logits, label = batch
    weights = torch.tensor([0.5, 1.0, 2.0, 0.1, 3.0]) if weighted else None
    expected = F.cross_entropy(logits, label, weight=weights, ignore_index=255)
    torch.testing.assert_close(cross_entropy(logits, label, weights), expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_mean_over_all_pixels_counts_those_without_a_label(
    batch: tuple[torch.Tensor, torch.Tensor], weighted
):
    logits, label = batch
    weights = torch.tensor([0.5, 1.0, 2.0, 0.1, 3.0]) if weighted else None
    costs = F.cross_entropy(logits, label, weight=weights, ignore_index=255, reduction="none")
    torch.testing.assert_close(cross_entropy(logits, label, weights, mean_over="all"), costs.mean())
    torch.testing.assert_close(auxiliary_cross_entropy(logits, label, weights, mean_over="all"), costs.mean())


@pytest.mark.parametrize("weights", [None, torch.ones(5)])
def test_nothing_labelled_costs_nothing_and_keeps_the_graph(weights: torch.Tensor | None):
    logits = torch.randn(1, 5, 4, 4, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 4, 4), 255), weights)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().sum() == 0


def test_half_precision_logits_are_summed_in_float32():
    logits = torch.zeros(1, 2, 300, 300, dtype=torch.float16)
    assert cross_entropy(logits, torch.zeros(1, 300, 300, dtype=torch.long)).item() == pytest.approx(
        0.693147, rel=1e-5
    )


def test_auxiliary_label_is_nearest_and_never_mixed():
    label = torch.tensor([[0, 0, 255, 255], [0, 0, 255, 255], [3, 3, 1, 1], [3, 3, 1, 1]])[None]
    logits = torch.randn(1, 4, 2, 2)
    expected = F.cross_entropy(logits, torch.tensor([[[0, 255], [3, 1]]]), ignore_index=255)
    torch.testing.assert_close(auxiliary_cross_entropy(logits, label), expected)


@pytest.mark.parametrize("size", [(48, 48), (7, 192), (768, 5)])
def test_nearest_label_takes_every_nth_pixel(size: tuple[int, int]):
    label = torch.randint(0, 256, (2, 768, 576), generator=torch.Generator().manual_seed(0))
    rows, columns = (torch.arange(n) * full // n for n, full in zip(size, label.shape[1:], strict=True))
    small = nearest_label(label, size)
    assert small.dtype == torch.int64
    assert torch.equal(small, label[:, rows][:, :, columns])


def test_nearest_label_at_its_own_size_is_the_label():
    label = torch.randint(0, 256, (1, 5, 7))
    assert torch.equal(nearest_label(label, (5, 7)), label)
