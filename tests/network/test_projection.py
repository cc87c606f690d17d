"""The projection head of contrastive losses."""

from __future__ import annotations

import pytest
import torch

from loss.contrast import take_pixels
from network.head.projection import ProjectionHead, unit_length


@pytest.mark.parametrize("channels, parameters", [(2048, 4_720_896), (304, 170_800), (256, 131_584)])
def test_published_sizes_and_entries(channels: int, parameters: int) -> None:
    head = ProjectionHead(channels)
    assert list(head.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert sum(p.numel() for p in head.parameters()) == parameters


def test_weights_are_kaiming_normal_and_biases_zero() -> None:
    torch.manual_seed(0)
    head = ProjectionHead(256)
    assert head[0].weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.02)
    assert head[0].bias.abs().sum() == head[2].bias.abs().sum() == 0


def test_unit_length_by_hand() -> None:
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    torch.testing.assert_close(unit_length(vectors), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    # The small constant is added to the norm.
    torch.testing.assert_close(unit_length(torch.tensor([[1e-7, 0.0]])), torch.tensor([[0.5, 0.0]]))


def test_zero_has_no_gradient() -> None:
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    unit_length(vectors)[:, 0].sum().backward()
    torch.testing.assert_close(vectors.grad, torch.tensor([[0.128, -0.096], [0.0, 0.0]]))


def test_embeddings_have_unit_length_and_are_float32_under_autocast() -> None:
    head = ProjectionHead(8, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = head(torch.randn(6, 8))
    assert result.shape == (6, 4)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.norm(dim=1), torch.ones(6))


def test_projecting_some_pixels_is_projecting_all_and_choosing() -> None:
    head = ProjectionHead(8, 4).double()
    features = torch.randn(2, 8, 6, 7, dtype=torch.float64)
    pixels = torch.tensor([0, 41, 8, 47, 47, 83])
    whole = unit_length(head[2](head[1](head[0](features))).permute(0, 2, 3, 1))
    torch.testing.assert_close(head(take_pixels(features, pixels)), whole.reshape(84, 4)[pixels])
