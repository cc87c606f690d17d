"""The backbones of DA-SAC under every head, with every code of the sites and SNR after every stage."""

from __future__ import annotations

import pytest
import torch

from network import create_network
from network.backbone import create_backbone
from network.head import HEADS
from network.sites import NUM_SITES, SITE_LAYERS, WHITENED_CODES

# Shapes and graph are enough, but switchable whitening turns autocast off: the meta device has none. It is
# trained in test_backbones.
CODES_ON_META = sorted({0, *SITE_LAYERS} - {5})
# Codes 1 and 3 build the layer of 2.
ALIKE = (1, 3)


@pytest.mark.parametrize("stages", [(), (1, 2, 3, 4)], ids=["plain", "snr"])
@pytest.mark.parametrize(
    "code",
    [pytest.param(code, marks=pytest.mark.slow if code in ALIKE else []) for code in CODES_ON_META],
)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    "backbone",
    ["vgg16_bn", "resnet50_caffe_rgb", pytest.param("resnet101_caffe_rgb", marks=pytest.mark.slow)],
)
def test_trains_and_evaluates(backbone: str, head: str, code: int, stages: tuple[int, ...]) -> None:
    with torch.device("meta"):
        sites = create_backbone(backbone).all_site_channels
        codes = [code if site in sites else 0 for site in range(NUM_SITES)]
        # The auxiliary head is there also where none was published.
        built = {"output_stride": 32, "wt_layer": codes, "snr_stages": stages, "auxiliary": True}
        network = create_network(backbone, head, **built).train()
        pictures = torch.empty(2, 3, 96, 160)
    output = network(pictures)
    assert output.logits.shape == (2, 19, 96, 160)
    assert output.aux_logits.shape[:2] == (2, 19)
    whitened = {f"site{site}" for site in sites} if code in WHITENED_CODES else set()
    assert {name for name in output.features if name.startswith("site")} == whitened
    # What the other heads say beside the logits is trained on, too.
    taps = [tap for tap in output.features.values() if tap.is_floating_point() and tap.grad_fn is not None]
    sum(tensor.sum() for tensor in (output.logits, output.aux_logits, *taps)).backward()
    assert not [key for key, parameter in network.named_parameters() if parameter.grad is None]
    output = network.eval()(pictures[:1])
    assert output.logits.shape == (1, 19, 96, 160)
    assert output.aux_logits is None
