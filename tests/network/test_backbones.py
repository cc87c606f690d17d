"""Every backbone in the registry: builds, has the stride it was asked for, trains, and takes its sites."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from backbones import picture_batch, strides_of_all
from torch import nn

from loss.segmentation import auxiliary_cross_entropy, cross_entropy
from network import SegmentationNet, create_network, list_backbones
from network.backbone import create_backbone
from network.input_spec import CAFFE, IMAGENET
from network.restore import load_network
from network.sites import NUM_SITES, SITE_LAYERS, STAGES, WHITENED_CODES
from utils.errors import UserError
from utils.run.checkpoint import save_checkpoint


@pytest.mark.parametrize("name", list_backbones())
def test_one_training_step_reaches_every_parameter(name: str):
    """On the meta device: shapes and the graph without the arithmetic."""
    with torch.device("meta"):
        network = create_network(name).train()
        pictures = torch.empty(2, 3, 64, 64)
    output = network(pictures)
    assert output.logits.shape == (2, 19, 64, 64)
    assert output.aux_logits.shape[:2] == (2, 19)
    (output.logits.sum() + output.aux_logits.sum()).backward()
    untrained = {key for key, parameter in network.named_parameters() if parameter.grad is None}
    assert untrained == ({"backbone.bn1.weight", "backbone.bn1.bias"} if name.endswith("_caffe") else set())
    output = network.eval()(pictures[:1])
    assert output.logits.shape == (1, 19, 64, 64)
    assert output.aux_logits is None


HEAVY = ("resnet50_caffe", "resnet101", "resnet152", "resnext", "vgg", "wide")


@pytest.mark.parametrize(
    ("name", "stride"),
    [
        pytest.param(*case, marks=pytest.mark.slow if case[0].startswith(HEAVY) or case[1] == 4 else [])
        for case in strides_of_all()
    ],
)
def test_trains_a_step_evaluates_saves_and_reloads(name: str, stride: int, tmp_path: Path):
    network = create_network(name, output_stride=stride).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4)
    first = next(network.parameters())
    before = first.detach().clone()
    output = network(picture_batch())
    label = torch.zeros(2, 64, 64, dtype=torch.int64)
    (cross_entropy(output.logits, label) + auxiliary_cross_entropy(output.aux_logits, label)).backward()
    optimizer.step()
    assert not torch.equal(before, first)
    pictures = torch.randint(0, 256, (1, 3, 40, 56), generator=torch.Generator().manual_seed(0)).byte()
    with torch.inference_mode():
        expected = network.eval().predict(pictures)
        assert expected.shape == (1, 19, 40, 56)
        assert torch.isfinite(expected).all()
        model = {f"network.{key}": value for key, value in network.state_dict().items()}
        save_checkpoint(tmp_path / "last.pth", {"network": network.config, "model": model, "iteration": 1})
        reloaded, _ = load_network(tmp_path / "last.pth")
        assert torch.equal(reloaded.predict(pictures), expected)


def feature_sizes(name: str, stride: int, partial: bool) -> dict[str, tuple[int, int]]:
    """Channels and input pixels per output pixel of every stage, as a forward pass on no data shows them."""
    with torch.device("meta"):
        backbone = create_backbone(name, stride, partial_dilation=partial).eval()
        features = backbone(torch.empty(1, 3, 129, 129))
    assert {stage: f.shape[1] for stage, f in features.items()} == backbone.channels
    # The nearest power of two: backbones differ in how they round.
    strides = {stage: 2 ** round(math.log2(129 / f.shape[-1])) for stage, f in features.items()}
    assert strides == backbone.strides
    return {stage: (f.shape[1], strides[stage]) for stage, f in features.items()}


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("name", list_backbones())
def test_output_stride_is_what_comes_out(name: str, partial: bool):
    with torch.device("meta"):
        strides = create_backbone(name).output_strides
    for stride in strides:
        assert feature_sizes(name, stride, partial)["layer4"][1] == stride


@pytest.mark.parametrize(
    "name, stages",
    [
        ("resnet18", [(64, 4), (64, 4), (128, 8), (256, 16), (512, 16)]),
        ("resnet50", [(64, 4), (256, 4), (512, 8), (1024, 16), (2048, 16)]),
        ("resnet101_3x3stem", [(128, 4), (256, 4), (512, 8), (1024, 16), (2048, 16)]),
        ("mobilenet_v2", [(16, 2), (32, 8), (64, 16), (320, 16), (1280, 16)]),
        ("shufflenet_v2_x1_0", [(24, 4), (116, 8), (232, 16), (464, 16), (1024, 16)]),
        ("vgg16_bn", [(64, 2), (128, 4), (256, 8), (512, 16), (512, 16)]),
        ("mnasnet0_5", [(8, 2), (24, 8), (48, 16), (160, 16), (1280, 16)]),
        ("mnasnet1_0", [(16, 2), (40, 8), (96, 16), (320, 16), (1280, 16)]),
    ],
)
def test_published_feature_sizes(name: str, stages: list[tuple[int, int]]):
    assert feature_sizes(name, 16, partial=False) == dict(zip(STAGES, stages, strict=True))


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "resnext50_32x4d", "resnet50_caffe", "resnet50_caffe_rgb"]
)
def test_whole_stages_are_dilated(name: str):
    """As published for residual networks: every 3x3 of the stage alike, the formerly strided one included."""
    with torch.device("meta"):
        backbone = create_backbone(name, 8)
    for stage, dilation in (("layer2", 1), ("layer3", 2), ("layer4", 4)):
        convs = [m for m in getattr(backbone, stage).modules() if isinstance(m, nn.Conv2d)]
        assert {conv.dilation[0] for conv in convs if conv.kernel_size[0] == 3} == {dilation}
        assert all(conv.stride == (1, 1) for conv in convs) == (dilation > 1)


@pytest.mark.parametrize("stride, pooled, last", [(32, 5, 1), (16, 4, 1), (8, 3, 2)])
def test_vgg_leaves_out_its_last_poolings(stride: int, pooled: int, last: int):
    """At output stride 8 as published in DeepLabV2: conv5 alone is dilated."""
    with torch.device("meta"):
        backbone = create_backbone("vgg16_bn", stride)
    kinds = [nn.MaxPool2d if number < pooled else nn.Identity for number in range(len(STAGES))]
    assert [type(getattr(backbone, stage)[-1]) for stage in STAGES] == kinds
    for stage in STAGES:
        convs = [m for m in getattr(backbone, stage) if isinstance(m, nn.Conv2d)]
        dilation = last if stage == "layer4" else 1
        assert all(conv.dilation == conv.padding == (dilation, dilation) for conv in convs)


def test_partial_dilation_is_that_of_the_published_mobilenet():
    def dilated(partial: bool, stride: int) -> dict[str, int]:
        backbone = create_network("mobilenet_v2", output_stride=stride, partial_dilation=partial).backbone
        return {
            key: module.dilation[0]
            for key, module in backbone.named_modules()
            if isinstance(module, nn.Conv2d) and module.dilation != (1, 1)
        }

    assert dilated(True, 16) == {"layer3.3.conv.1.0": 2}
    assert dilated(True, 8) == {"layer2.0.conv.1.0": 2, "layer3.3.conv.1.0": 4}
    assert dilated(False, 16) == {f"layer3.{block}.conv.1.0": 2 for block in (3, 4, 5, 6)}


SITED_BACKBONES = [
    "resnet18",
    "resnet50",
    "resnet50_caffe",
    "resnet50_caffe_rgb",
    "resnet101_3x3stem",
    "vgg16_bn",
    "mobilenet_v2",
    "shufflenet_v2_x1_0",
    "mnasnet0_5",
]


def network_with_all_sites(name: str, code: int) -> SegmentationNet:
    with torch.device("meta"):
        available = create_backbone(name, 16).all_site_channels
    network = create_network(name, wt_layer=[code if site in available else 0 for site in range(NUM_SITES)])
    assert network.sites == dict.fromkeys(available, code)
    assert network.site_channels == available
    return network.train()


@pytest.mark.parametrize("name", SITED_BACKBONES)
def test_whitened_sites_are_tapped_before_the_activation(name: str):
    network = network_with_all_sites(name, 2)
    output = network(picture_batch())
    taps = {int(key[4:]): feature for key, feature in output.features.items() if key.startswith("site")}
    assert {site: feature.shape[1] for site, feature in taps.items()} == network.site_channels
    for site, feature in taps.items():
        torch.testing.assert_close(
            feature.mean((2, 3)), torch.zeros(feature.shape[:2]), atol=1e-4, rtol=0, msg=f"site {site}"
        )
        assert feature.amin() < 0
    # An activation that had overwritten a tapped map would be found here.
    (output.logits.square().mean() + sum(feature.square().mean() for feature in taps.values())).backward()


@pytest.mark.parametrize("code", sorted(set(SITE_LAYERS) - set(WHITENED_CODES)))
@pytest.mark.parametrize("name", SITED_BACKBONES)
def test_other_sites_train_and_are_not_tapped(name: str, code: int):
    # Shapes and graph are enough, but switchable whitening turns autocast off: the meta device has none.
    with torch.device("cpu" if code == 5 else "meta"):
        network = network_with_all_sites(name, code)
        output = network(torch.rand(2, 3, 64, 64))
    assert not [key for key in output.features if key.startswith("site")]
    output.logits.sum().backward()
    backbone = dict(network.backbone.named_parameters())
    assert not [key for key, parameter in backbone.items() if parameter.grad is None]


@pytest.mark.parametrize("code", [0, 2, 4])
def test_the_norm_of_a_caffe_stem_stands_still_but_a_layer_in_its_place_learns(code: int):
    with torch.device("meta"):
        stem = create_network("resnet50_caffe", wt_layer=(0, 0, code, 0, 0, 0, 0)).backbone.bn1
    assert {key: parameter.requires_grad for key, parameter in stem.named_parameters()} == {
        0: {"weight": False, "bias": False},
        2: {},
        4: {"weight": True, "bias": True},
    }[code]


def test_a_caffe_network_for_rgb_pictures_differs_in_pictures_and_stem():
    with torch.device("meta"):
        caffe, rgb = (create_network(f"resnet50_caffe{variant}") for variant in ("", "_rgb"))
    assert (caffe.input_spec, rgb.input_spec) == (CAFFE, IMAGENET)
    trained = [{key for key, p in net.named_parameters() if p.requires_grad} for net in (caffe, rgb)]
    assert trained[1] - trained[0] == {"backbone.bn1.weight", "backbone.bn1.bias"}
    assert trained[0] < trained[1] == {key for key, _ in rgb.named_parameters()}
    for backbone in (caffe.backbone, rgb.backbone):
        first = backbone.layer2[0]
        assert (first.conv1.stride, first.conv2.stride) == ((2, 2), (1, 1))
        assert backbone.maxpool.ceil_mode


def test_whitening_features_are_those_of_forward_and_stop_after_the_last_site():
    network = create_network("resnet18", wt_layer=(0, 0, 2, 1, 4, 0, 0)).eval()
    with torch.no_grad():
        expected = network(picture_batch()).features
        network.backbone.layer2 = None
        features = network.whitening_features(picture_batch())
    assert list(features) == [2, 3]
    for site, feature in features.items():
        torch.testing.assert_close(feature, expected[f"site{site}"])
    assert list(network.whitening_features(picture_batch(), codes=(1,))) == [3]
    assert create_network("resnet18").whitening_features(picture_batch()) == {}


@pytest.mark.parametrize(
    "wt_layer, words",
    [
        ((0, 0, 2), "7 codes"),
        ((0, 0, 9, 0, 0, 0, 0), "unknown code 9"),
        ((2, 0, 0, 0, 0, 0, 0), "no site 0, only 2, 3, 4, 5, 6"),
    ],
)
def test_impossible_sites_are_refused(wt_layer: tuple[int, ...], words: str):
    with pytest.raises(UserError, match=words) as error:
        create_network("resnet18", wt_layer=wt_layer)
    assert "--wt_layer" in str(error.value)


def test_impossible_output_stride_is_refused():
    with pytest.raises(UserError, match="--output_stride 4: mobilenet_v2 has 8, 16, 32"):
        create_network("mobilenet_v2", output_stride=4)


def test_normalising_a_single_pixel_is_refused():
    network = create_network("resnet18", output_stride=32, wt_layer=(0, 0, 0, 0, 0, 0, 3)).eval()
    with pytest.raises(UserError, match="1x1 map"):
        network(picture_batch(2, 32))
