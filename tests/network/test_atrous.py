"""Atrous convolutions, as nine products and as PyTorch computes them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from network.head.atrous import AtrousConvolution


@pytest.fixture
def convolution() -> AtrousConvolution:
    torch.manual_seed(0)
    return AtrousConvolution(5, 3, dilation=6)


@pytest.mark.parametrize("size", [(15, 9), (6, 20), (3, 3), (24, 24)])
def test_nine_products_are_the_convolution(convolution: AtrousConvolution, size: tuple[int, int]) -> None:
    convolution.double()
    x = torch.randn(2, 5, *size, dtype=torch.float64, requires_grad=True)
    own, reference = convolution(x), nn.Conv2d.forward(convolution, x)
    assert "NineProducts" in own.grad_fn.next_functions[0][0].name()
    torch.testing.assert_close(own, reference)
    weights, wanted = torch.randn_like(own), (x, convolution.weight, convolution.bias)
    gradients = (torch.autograd.grad(y, wanted, weights) for y in (own, reference))
    for gradient, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, expected)


def test_bfloat16_is_rounded_once(convolution: AtrousConvolution) -> None:
    x = torch.randn(2, 5, 24, 24)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        own = convolution(x)
    rounded = AtrousConvolution(5, 3, dilation=6)
    state = {name: value.bfloat16().float() for name, value in convolution.state_dict().items()}
    rounded.load_state_dict(state)
    with torch.no_grad():
        exact = nn.Conv2d.forward(rounded, x.bfloat16().float())
    assert own.dtype == torch.bfloat16
    # The sum, and after it the bias, are rounded to 8 bits.
    torch.testing.assert_close(own.float(), exact, rtol=2**-7, atol=2**-8)


def test_where_it_is_slower_it_is_pytorchs_convolution(convolution: AtrousConvolution) -> None:
    x = torch.randn(1, 5, 24, 24)
    assert convolution.is_faster_as_products(x)
    assert not AtrousConvolution(5, 3, dilation=4).is_faster_as_products(x)
    assert not convolution.is_faster_as_products(x.to("meta"))
    with torch.no_grad():
        assert not convolution.is_faster_as_products(x)
        assert convolution.is_faster_as_products(x.bfloat16())


def test_an_exported_network_has_convolutions(convolution: AtrousConvolution) -> None:
    program = torch.export.export(convolution, (torch.randn(1, 5, 24, 24),))
    assert any("conv2d" in str(node.target) for node in program.graph.nodes)


def test_it_compiles_in_one_graph(convolution: AtrousConvolution) -> None:
    x = torch.randn(2, 5, 24, 24, requires_grad=True)
    compiled = torch.compile(convolution, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), convolution(x))
