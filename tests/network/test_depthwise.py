"""Depthwise convolutions in training on a CPU: in float32 under autocast, and otherwise as they were."""

from __future__ import annotations

import pytest
import torch
from programs import arguments
from torch import Tensor, nn
from torch.nn import functional as F

from methods import METHODS
from methods.engine.build import wrap
from network import create_network
from network.depthwise import DepthwiseInFloat32, keep_depthwise_in_float32


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, torch.dtype]]:
    """For each convolution that is computed: whether it is depthwise, and the dtype that autocast leaves."""
    computed: list[tuple[bool, torch.dtype]] = []
    conv2d = F.conv2d

    def noting(x: Tensor, weight: Tensor, *more: object) -> Tensor:
        result = conv2d(x, weight, *more)
        computed.append((weight.shape[1] == 1 and x.shape[1] > 1, result.dtype))
        return result

    monkeypatch.setattr(F, "conv2d", noting)
    return computed


def test_the_layer_is_the_same_in_higher_precision(seen: list[tuple[bool, torch.dtype]]) -> None:
    layer, maps = nn.Conv2d(8, 8, 3, padding=1, groups=8), torch.randn(2, 8, 6, 6, requires_grad=True)
    expected = layer(maps)
    state = dict(layer.state_dict())
    keep_depthwise_in_float32(layer)
    assert layer.state_dict().keys() == state.keys()
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(maps.bfloat16())
        layer.eval()(maps)
    assert [dtype for _, dtype in seen] == [torch.float32, torch.float32, torch.bfloat16]
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.02, rtol=0.02)
    found.float().sum().backward()
    assert layer.weight.grad.dtype == maps.grad.dtype == torch.float32


def test_no_other_convolution_is_changed() -> None:
    layers = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(1, 1, 3))
    keep_depthwise_in_float32(layers)
    assert {type(layer) for layer in layers} == {nn.Conv2d}


@pytest.mark.parametrize(("amp", "dtype"), [("bf16", torch.float32), ("fp16", None), ("off", None)])
def test_train_py_computes_them_in_float32_with_bf16(amp: str, dtype: torch.dtype | None) -> None:
    args = arguments("--amp", amp)
    method = wrap(METHODS["baseline"](create_network("mobilenet_v2"), args), args, torch.device("cpu"))
    kinds = {type(layer) for layer in method.modules() if isinstance(layer, nn.Conv2d) and layer.groups > 1}
    assert kinds == ({DepthwiseInFloat32} if dtype else {nn.Conv2d})
