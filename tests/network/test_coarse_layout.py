"""The layout rule of DIIA: published numbers, and a plain reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from network.head.coarse_layout import coarse_layout


def reference(logits: Tensor) -> Tensor:
    """The rule over all pictures together, class by class."""
    array = logits.numpy()
    labels, scores = array.argmax(1), array.max(1)
    layout = labels.copy()
    for label in np.unique(labels):
        members = np.sort(scores[labels == label])
        threshold = min(members[round(len(members) / 2)], 0.99)
        layout[(labels == label) & (scores < threshold)] = 255
    return torch.from_numpy(layout)


def random_logits(scale: float, shape: tuple[int, ...] = (3, 7, 9, 11), shift: float = 0.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(0)) + shift


def test_published_example() -> None:
    logits = torch.full((2, 19, 2, 3), -5.0)
    winners = torch.tensor([[[0, 0, 0], [4, 4, 7]], [[0, 4, 4], [4, 0, 7]]])
    scores = torch.tensor([[[0.2, 0.5, 0.9], [3, 2, -1]], [[0.7, 0.95, 0.1], [0.6, 5, -2]]])
    logits.scatter_(1, winners[:, None], scores[:, None])
    expected = [[[255, 255, 0], [4, 4, 7]], [[0, 4, 255], [255, 0, 255]]]
    assert coarse_layout(logits).tolist() == expected


@pytest.mark.parametrize(
    "logits",
    [
        random_logits(0.7),
        random_logits(7.0),
        random_logits(0.1, shift=-2.0),
        random_logits(0.7, (1, 3, 1, 1)),
        random_logits(0.7, (2, 19, 2, 2)),
        random_logits(1.0).round(),
        (random_logits(0.2).round() * -1.0),
    ],
    ids=["some ignored", "cap binds", "all negative", "one pixel", "classes absent", "ties", "signed zeros"],
)
def test_it_is_the_plain_rule(logits: Tensor) -> None:
    layout = coarse_layout(logits)
    assert layout.dtype == torch.int64
    assert torch.equal(layout, reference(logits))
    alone = torch.cat([reference(picture[None]) for picture in logits])
    assert torch.equal(coarse_layout(logits, per_image=True), alone)


def test_shares_that_are_ignored() -> None:
    """As published: a fifth of small random logits, none of ten times larger ones."""
    small, large = (coarse_layout(random_logits(scale, (2, 19, 64, 64))) for scale in (0.7, 7.0))
    assert (small == 255).float().mean().item() == pytest.approx(0.21, abs=0.01)
    assert not (large == 255).any()


def test_no_gradient_and_half_precision() -> None:
    logits = random_logits(0.7).bfloat16().requires_grad_()
    layout = coarse_layout(logits)
    assert not layout.requires_grad
    assert torch.equal(layout, reference(logits.detach().float()))
