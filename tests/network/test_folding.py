"""Folding BatchNorms into convolutions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from network import create_network
from network.factory import architecture_from_arch
from network.folding import fold_batch_norms


@pytest.mark.parametrize(
    ("arch", "wt_layer"),
    [
        ("network.deepv3.DeepR18V3PlusD", [0, 0, 2, 4, 5, 0, 0]),
        ("network.deepv3.DeepMobileNetV3PlusD", [0] * 7),
        ("network.deepv3.DeepShuffleNetV3PlusD", [0] * 7),
        ("fcn_vgg16_bn", [0] * 7),
    ],
)
def test_the_network_predicts_the_same_without_batch_norms(arch: str, wt_layer: list[int]) -> None:
    torch.manual_seed(0)
    network = create_network(**{**architecture_from_arch(arch), "wt_layer": wt_layer}).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    pictures = torch.randint(0, 256, (1, 3, 70, 100), dtype=torch.uint8)
    with torch.no_grad():
        before = network.predict(pictures)
        folded = fold_batch_norms(network)
        after = network.predict(pictures)
    assert folded > 10
    torch.testing.assert_close(after, before, rtol=0, atol=2e-5 * float(before.abs().max()))
    left = [name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(name.startswith("auxiliary.") for name in left)  # It is not run in evaluation mode.


def test_a_batch_norm_that_is_used_twice_stays() -> None:
    network = create_network("resnet18").eval()
    block = network.backbone.layer1[0]
    block.bn2 = block.bn1
    nn.init.normal_(block.bn1.running_mean)
    pictures = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        before = network.predict(pictures)
        fold_batch_norms(network)
        assert block.bn1 is block.bn2
        torch.testing.assert_close(network.predict(pictures), before, rtol=1e-4, atol=1e-4)
