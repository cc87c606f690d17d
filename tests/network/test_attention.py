"""DIIA's attention: published numbers, and what it must not do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from network.head.aggregation import LayoutEdgeAttention


def filled(convolution: nn.Conv2d, step: float) -> None:
    weight, bias = convolution.weight, convolution.bias
    weight.data = (0.05 * torch.sin(step * torch.arange(weight.numel()))).view_as(weight)
    bias.data = 0.05 * torch.cos(step * torch.arange(bias.numel()))


def wave(step: float, channels: int) -> Tensor:
    return torch.cos(step * torch.arange(channels * 6)).view(1, channels, 2, 3)


def random_inputs(height: int, width: int, scale: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [scale * torch.randn(2, c, height, width, generator=generator) for c in (16, 8, 8)]


def small_attention(gamma: float) -> LayoutEdgeAttention:
    torch.manual_seed(0)
    attention = LayoutEdgeAttention(16, 8, 4)
    nn.init.constant_(attention.gamma, gamma)
    for convolution in (attention.query, attention.key, attention.value):
        nn.init.normal_(convolution.weight)
    return attention


@torch.no_grad()
def test_published_values() -> None:
    attention = LayoutEdgeAttention(2048)
    parts = (attention.query, attention.key, attention.value, attention.content)
    for step, part in zip((0.1, 0.2, 0.3, 0.4), parts, strict=True):
        filled(part, step)
    attention.gamma.fill_(0.5)
    output = attention(wave(0.01, 2048), wave(0.02, 256), wave(0.03, 256))
    assert output.shape == (1, 128, 2, 3)
    assert output.sum().item() == pytest.approx(0.6132319, rel=1e-4)
    assert output.abs().mean().item() == pytest.approx(0.0997868, rel=1e-5)
    assert output.flatten()[:3].tolist() == pytest.approx([0.2216876, 0.2220682, 0.2224443], rel=1e-5)


@torch.no_grad()
def test_it_is_unscaled_softmax_over_all_edges_for_each_pixel_of_the_layout() -> None:
    attention = small_attention(0.3)
    content, layout, edges = random_inputs(3, 5)
    query, key, value = (
        part(x).flatten(2)
        for part, x in ((attention.query, layout), (attention.key, edges), (attention.value, content))
    )
    weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
    expected = 0.3 * (value @ weights.transpose(1, 2)).view(2, 4, 3, 5) + attention.content(content)
    torch.testing.assert_close(attention(content, layout, edges), expected)


def test_it_starts_as_the_projected_content() -> None:
    attention = LayoutEdgeAttention(16, 8, 64)
    inputs = random_inputs(3, 5)
    output = attention(*inputs)
    assert torch.equal(output, attention.content(inputs[0]))
    output.square().sum().backward()
    assert attention.gamma.grad.abs() > 0
    assert not any(part.weight.grad.any() for part in (attention.query, attention.key, attention.value))
    assert attention.query.weight.std().item() == pytest.approx(0.01, rel=0.2)


@torch.no_grad()
def test_products_keep_their_digits_under_autocast() -> None:
    attention = small_attention(1.0)
    inputs = random_inputs(3, 5, scale=4.0)
    expected = attention(*inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = attention(*inputs)
    assert output.dtype == torch.float32
    # Half precision of the products, which are in the hundreds, would choose other pixels altogether.
    torch.testing.assert_close(output, expected, atol=0.02 * expected.abs().max().item(), rtol=0)


def test_memory_does_not_grow_with_the_square_of_the_pixels() -> None:
    attention = small_attention(1.0)
    pixels = 32 * 48
    kept: list[int] = []

    def keep(x: Tensor) -> Tensor:
        kept.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        attention(*random_inputs(32, 48)).sum().backward()
    assert max(kept) < pixels**2 / 10
