"""DA-SAC's three networks: their published sizes, and the parts that no other network has."""

from __future__ import annotations

import pytest
import torch
from backbones import picture_batch
from torch import Tensor, nn
from torch.nn import functional as F

from network import SegmentationNet, architecture_from_arch, create_network
from network.factory import DASAC_ARCHITECTURES
from network.head import fcn8s
from network.head.layers import resize
from network.input_spec import IMAGENET
from utils.errors import UserError


def published(name: str) -> SegmentationNet:
    with torch.device("meta"):
        return create_network(**architecture_from_arch(name))


@pytest.mark.parametrize(
    "name, parameters, entries, norms, groups",
    [
        ("deeplabv2_resnet101", 43_901_068, 632, 104, (208, 104, 4, 4)),
        ("deeplabv2_vgg16_bn", 29_581_452, 103, 13, (26, 26, 6, 6)),
        ("fcn_vgg16_bn", 134_377_849, 111, 15, (26, 26, 7, 7)),
    ],
)
def test_published_sizes(
    name: str, parameters: int, entries: int, norms: int, groups: tuple[int, int, int, int]
) -> None:
    """``groups``: weights and biases of the backbone, which starts from ImageNet, and of the head."""
    network = published(name)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert len(network.state_dict()) == entries
    assert sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) == norms
    biases = {id(p) for key, p in network.named_parameters() if key.endswith(".bias")}
    counts = []
    for members, factor in network.parameter_groups():
        assert factor == (10.0 if counts else 1.0)
        number = sum(id(parameter) in biases for parameter in members)
        counts += [len(members) - number, number]
    assert tuple(counts) == groups
    assert network.auxiliary is None
    assert network.input_spec == IMAGENET
    assert network.config["atrous_branches"] == 4


@pytest.mark.parametrize(
    "name, picture, grid",
    [
        ("deeplabv2_resnet101", (512, 1024), (65, 129)),
        ("deeplabv2_resnet101", (640, 640), (81, 81)),
        ("deeplabv2_vgg16_bn", (512, 1024), (64, 128)),
        ("fcn_vgg16_bn", (512, 1024), (64, 128)),
        ("fcn_vgg16_bn", (352, 480), (44, 60)),
    ],
)
def test_published_grids(name: str, picture: tuple[int, int], grid: tuple[int, int]) -> None:
    output = published(name).eval()(torch.empty(1, 3, *picture, device="meta"))
    assert output.features["decoder_logits"].shape == (1, 19, *grid)
    assert output.logits.shape == (1, 19, *picture)


@pytest.mark.parametrize("name", DASAC_ARCHITECTURES)
def test_any_size_of_picture(name: str) -> None:
    network = published(name).train()
    for size in ((75, 101), (720, 1280), (1052, 1914)):
        assert network(torch.empty(2, 3, *size, device="meta")).logits.shape == (2, 19, *size)


def test_the_layers_before_vggs_classifier() -> None:
    torch.manual_seed(0)
    head = create_network("resnet18", "deeplabv2_fc", output_stride=8, auxiliary=False).head
    convolutions = [module for module in head.hidden if isinstance(module, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels) for c in convolutions] == [(512, 1024), (1024, 1024)]
    assert all(c.kernel_size == (3, 3) and c.dilation == c.padding == (4, 4) for c in convolutions)
    assert [type(module) for module in head.hidden[1::2]] == [nn.ReLU, nn.ReLU]
    assert head.classifier.branches[0].weight.std().item() == pytest.approx(0.01, rel=0.02)
    x = torch.rand(1, 512, 8, 8)
    with torch.no_grad():
        expected = head.classifier(convolutions[1](convolutions[0](x).relu()).relu())
        logits, taps = head({"layer4": x}, (64, 64))
    torch.testing.assert_close(taps["decoder_logits"], expected)
    torch.testing.assert_close(logits, resize(expected, (64, 64)))


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """FCN-8s with few of its 4096 channels."""
    monkeypatch.setattr(fcn8s, "HIDDEN_CHANNELS", 8)


def twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def test_fcn8s_adds_unscaled_scores_at_twice_the_size(narrow: None) -> None:
    torch.manual_seed(0)
    network = create_network("resnet18", "fcn8s", output_stride=32).eval()
    head = network.head
    assert [module.p for module in head.classifier if isinstance(module, nn.Dropout2d)] == [0.1, 0.1]
    assert [c.kernel_size[0] for c in head.classifier if isinstance(c, nn.Conv2d)] == [7, 1, 1]
    for skip in (head.skip16, head.skip8):
        assert skip.weight.std().item() == pytest.approx(0.01, rel=0.05)
    with torch.no_grad():
        output = network(picture_batch(size=96))
        maps = output.features
        scores = head.classifier(maps["layer4"])
        for skip, stage in ((head.skip16, "layer3"), (head.skip8, "layer2")):
            scores = twice(scores) + F.conv2d(maps[stage], skip.weight, skip.bias)
    assert torch.equal(maps["decoder_logits"], scores)
    assert torch.equal(output.logits, resize(scores, (96, 96)))


def test_fcn8s_matches_grids_of_odd_sizes(narrow: None) -> None:
    network = create_network("vgg16_bn", "fcn8s", output_stride=32).train()
    pictures = torch.rand(2, 3, 75, 101)
    output = network(pictures)
    grids = [tuple(output.features[stage].shape[-2:]) for stage in ("layer2", "layer3", "layer4")]
    assert grids == [(9, 12), (4, 6), (2, 3)]
    (output.logits.square().mean() + output.aux_logits.square().mean()).backward()
    assert not [key for key, parameter in network.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize(
    "backbone, stride", [("vgg16_bn", 16), ("resnet18", 8), ("mobilenet_v2", 32), ("shufflenet_v2_x1_0", 32)]
)
def test_fcn8s_refuses_other_strides(backbone: str, stride: int) -> None:
    with (
        torch.device("meta"),
        pytest.raises(UserError, match=f"--head fcn8s.*{backbone}.*--output_stride 32"),
    ):
        create_network(backbone, "fcn8s", output_stride=stride)


@pytest.mark.parametrize("code", [0, 2, 4])
def test_a_site_of_vgg_is_before_the_last_activation_and_its_pooling(code: int) -> None:
    torch.manual_seed(0)
    network = create_network("vgg16_bn", "deeplabv2", output_stride=8, wt_layer=(0, 0, 0, code, 0, 0, code))
    backbone = network.backbone.eval()
    with torch.no_grad():
        features = backbone(picture_batch())
        x = features["stem"]
        for stage, site, pools in (("layer1", 3, True), ("layer4", 6, False)):
            *layers, relu, pooling = getattr(backbone, stage)
            x = nn.Sequential(*layers)(x)
            if code:
                x = backbone.site_norms[str(site)](x)
            if code == 2:
                torch.testing.assert_close(features[f"site{site}"], x)
            x = F.relu(x)
            torch.testing.assert_close(features[stage], F.max_pool2d(x, 2) if pools else x)
            x = features["layer3"]


@pytest.mark.parametrize("name", ["deeplabv2_resnet101", "deeplabv2_vgg16_bn"])
def test_half_precision_and_channels_last(name: str) -> None:
    arch = {**architecture_from_arch(name), "snr_stages": (1,)}
    arch["backbone"] = arch["backbone"].replace("101", "50")
    network = create_network(**arch).train().to(memory_format=torch.channels_last)
    pictures = picture_batch(1).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = network(pictures).logits.float().square().mean()
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.requires_grad)
