"""Logits and labels small enough for references that go pixel by pixel."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of 5 classes and label patches: class 4 is in neither picture, the second is mostly void."""
    generator = torch.Generator().manual_seed(0)
    patches = torch.randint(0, 4, (2, 3, 4), generator=generator)
    patches[0, 0, 1] = 255
    patches[1, 1:] = 255
    label = patches.repeat_interleave(3, dim=1).repeat_interleave(2, dim=2)
    logits = 3 * torch.randn(2, 5, 9, 8, dtype=torch.float64, generator=generator)
    return logits.requires_grad_(), label


@pytest.fixture
def void() -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures without a labelled pixel."""
    return torch.randn(2, 5, 6, 6, requires_grad=True), torch.full((2, 6, 6), 255)
