"""Names to networks: the family's factory names, published sizes, and what a network says of itself."""

from __future__ import annotations

import pytest
import torch
from compiling import Graphs
from torch.nn import functional as F

from network import architecture_from_arch, create_network, stated_architecture
from network.factory import ARCHITECTURES, DEEPLABV2_ARCHITECTURES
from network.head import HEADS
from network.input_spec import CAFFE, IMAGENET, InputSpec
from utils.errors import UserError

NONE, ISW, IBN, SW = ((0, 0, code, code, code, 0, 0) for code in (0, 2, 4, 5))

# Factory, codes, parameters, state dict entries of the published networks.
PUBLISHED = [
    ("DeepR18V3PlusD", NONE, 17_798_598, 185),
    ("DeepR18V3PlusD", ISW, 17_798_470, 180),
    ("DeepR18V3PlusD", IBN, 17_798_982, 186),
    ("DeepR50V3PlusD", NONE, 45_081_542, 383),
    ("DeepR50V3PlusD", ISW, 45_081_414, 378),
    ("DeepR50V3PlusD", IBN, 45_083_078, 384),
    ("DeepR101V3PlusD_OS8", NONE, 64_197_446, 701),
    ("DeepR101V3PlusD", ISW, 64_197_190, 696),
    ("DeepR101V3PlusD", IBN, 64_198_982, 702),
    ("DeepR101V3PlusD", (2, 2, 0, 2, 2, 0, 0), 64_197_190, 691),
    ("DeepR101V3PlusD", (4, 4, 0, 4, 4, 0, 0), 64_198_982, 699),
    ("DeepMobileNetV3PlusD", NONE, 14_840_966, 377),
    ("DeepMobileNetV3PlusD", ISW, 14_840_966, 377),
    ("DeepMobileNetV3PlusD", IBN, 14_841_190, 383),
    ("DeepShuffleNetV3PlusD", NONE, 12_637_738, 401),
    # Without the stem's BatchNorm (48 parameters, 5 entries), which the published network keeps but bypasses.
    ("DeepShuffleNetV3PlusD", IBN, 12_638_482 - 48, 407 - 5),
    ("DeepR18V3PlusD", SW, 17_798_994, 198),
    ("DeepR50V3PlusD", SW, 45_083_090, 396),
    ("DeepR101V3PlusD", SW, 64_198_994, 714),
]


@pytest.mark.parametrize("name, wt_layer, parameters, entries", PUBLISHED)
def test_published_sizes(name: str, wt_layer: tuple[int, ...], parameters: int, entries: int):
    with torch.device("meta"):
        network = create_network(**architecture_from_arch(f"network.deepv3.{name}"), wt_layer=wt_layer)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert len(network.state_dict()) == entries


@pytest.mark.parametrize(
    "name, wt_layer, channels",
    [
        ("DeepR18V3PlusD", ISW, [64, 64, 128]),
        ("DeepR50V3PlusD", ISW, [64, 256, 512]),
        ("DeepR101V3PlusD", ISW, [128, 256, 512]),
        ("DeepR101V3PlusD", (2, 2, 0, 2, 2, 0, 0), [64, 64, 256, 512]),
        ("DeepMobileNetV3PlusD", ISW, [16, 32, 64]),
    ],
)
def test_published_covariance_sizes(name: str, wt_layer: tuple[int, ...], channels: list[int]):
    with torch.device("meta"):
        network = create_network(**architecture_from_arch(name), wt_layer=wt_layer)
    assert list(network.site_channels.values()) == channels


def test_every_family_name_builds_what_it_says():
    for name, arguments in ARCHITECTURES.items():
        with torch.device("meta"):
            network = create_network(**architecture_from_arch(f"network.deepv3.{name}"))
        assert network.backbone.strides["layer4"] == arguments["output_stride"]


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"backbone": "resnet51"}, "resnet50"),
        ({"head": "deeplab"}, "deeplabv3plus"),
        ({"head": "deeplabv2", "atrous_branches": 3}, "choose 4 or 2"),
        ({"atrous_branches": 2}, "--deeplabv2_head"),
    ],
)
def test_unknown_names_list_the_known(arguments: dict, words: str):
    with pytest.raises(UserError, match=words):
        create_network(**arguments)


def test_unknown_family_name_lists_the_known():
    with pytest.raises(UserError, match="--arch network.deepv3.DeepWV3Plus: unknown.*DeepR50V3PlusD"):
        architecture_from_arch("network.deepv3.DeepWV3Plus")


def test_a_command_line_states_what_it_names():
    assert stated_architecture({"arch": None, "wt_layer": None, "image_in": False, "bs_mult": 2}) == {}
    flags = {"wt_layer": [0, 0, 2, 2, 2, 0, 0], "image_in": True, "num_classes": 16, "output_stride": 8}
    names = {**flags, "backbone": "resnet18", "head": "deeplabv2", "deeplabv2_head": "two_branch"}
    stated = stated_architecture({**names, "snr_stages": [3, 1]})
    assert stated == {
        **{name: flags[name] for name in ("wt_layer", "num_classes", "output_stride")},
        "backbone": "resnet18",
        "head": "deeplabv2",
        "atrous_branches": 2,
        "per_image_input": True,
        "snr_stages": [1, 3],
    }
    with torch.device("meta"):
        config = create_network(**stated).config
    assert {name: config[name] for name in stated} == stated


@pytest.mark.parametrize("arch", DEEPLABV2_ARCHITECTURES)
def test_names_that_were_typed_after_backbone(arch: str):
    stated = stated_architecture({"backbone": arch})
    assert stated == stated_architecture({"arch": arch}) == architecture_from_arch(arch)
    assert stated["backbone"] == "resnet101_caffe"
    without = stated_architecture({"backbone": arch, "snr_stages": [], "num_classes": 13})
    assert (without["snr_stages"], without["num_classes"]) == ([], 13)


def test_config_rebuilds_the_network():
    network = create_network(
        "mobilenet_v2", output_stride=8, wt_layer=IBN, num_classes=5, partial_dilation=True
    )
    again = create_network(**network.config)
    again.load_state_dict(network.state_dict())
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(x).logits, again.eval()(x).logits, rtol=0, atol=0)


@pytest.mark.parametrize(
    "pictures", [torch.rand(3, 8, 8), torch.rand(1, 1, 64, 64), torch.zeros(1, 3, 64, 64).byte()]
)
def test_wrong_input_is_refused(pictures: torch.Tensor):
    with pytest.raises(UserError, match="batch x 3 x height x width"):
        create_network("resnet18")(pictures)


@pytest.mark.reliability("Training: a batch of one that BatchNorm cannot train on is refused")
def test_training_batch_of_one_is_refused_with_the_flag_to_raise():
    with pytest.raises(UserError, match="--bs_mult"):
        create_network("resnet18").train()(torch.rand(1, 3, 64, 64))


def test_odd_picture_sizes_keep_their_size():
    with torch.no_grad():
        assert create_network("resnet18").eval()(torch.rand(1, 3, 75, 101)).logits.shape == (1, 19, 75, 101)


def test_initial_head():
    network = create_network("resnet18")
    weight = network.head.decoder[0].weight
    assert weight.std().item() == pytest.approx((2 / (304 * 9)) ** 0.5, rel=0.02)
    assert network.head.classifier.bias.abs().sum() == 0
    assert network.auxiliary[0].bias.abs().sum() == 0


def test_input_spec_prepares_bytes_and_fractions_alike():
    images = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    x = InputSpec().prepare(images).flatten()
    expected = [(0 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    torch.testing.assert_close(x, torch.tensor(expected))
    torch.testing.assert_close(InputSpec().prepare(images / 255).flatten(), x)
    bgr = InputSpec(mean=(104.0, 117.0, 123.0), std=(1.0, 1.0, 1.0), channel_order="BGR", value_range=255.0)
    torch.testing.assert_close(bgr.prepare(images).flatten(), torch.tensor([255.0 - 104, 128 - 117, 0 - 123]))


def test_renormalised_pictures_have_the_colours_of_another_data_set():
    fractions = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    statistics = torch.rand(2, 2, 3, generator=torch.Generator().manual_seed(1))
    expected = fractions * statistics[:, 0, :, None, None] + statistics[:, 1, :, None, None]
    for spec in (IMAGENET, CAFFE):
        torch.testing.assert_close(spec.prepare(fractions, statistics), spec.prepare(expected))


def test_a_convolution_does_the_same_on_other_pictures():
    torch.manual_seed(0)
    pictures, others = (torch.randint(0, 256, (1, 3, 6, 6)).byte() for _ in range(2))
    weight = torch.randn(4, 3, 3, 3)
    converted = CAFFE.convert_convolution(weight, made_for=IMAGENET)
    # The difference of two pictures, in which their means are of no account.
    ours = F.conv2d(CAFFE.prepare(pictures) - CAFFE.prepare(others), converted)
    theirs = F.conv2d(IMAGENET.prepare(pictures) - IMAGENET.prepare(others), weight)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    back = IMAGENET.convert_convolution(converted, made_for=CAFFE)
    torch.testing.assert_close(back, weight)
    torch.testing.assert_close(CAFFE.convert_convolution(weight, made_for=CAFFE), weight)


@pytest.mark.parametrize(
    "backbone, head",
    [
        ("resnet18", "deeplabv2"),
        *(("small", head) for head in HEADS if head != "deeplabv2"),
        *(
            pytest.param(backbone, "deeplabv3plus", marks=pytest.mark.slow)
            for backbone in ("mobilenet_v2", "shufflenet_v2_x1_0", "vgg16_bn", "resnet50_caffe")
        ),
    ],
)
def test_forward_compiles_without_a_break(backbone: str, head: str, graphs: Graphs):
    codes, stages = (ISW, (1, 2)) if backbone in ("resnet18", "small") else (NONE, ())
    network = create_network(backbone, head, output_stride=32, wt_layer=codes, snr_stages=stages).train()
    network.compile()
    network(torch.rand(2, 3, 64, 64))
    assert len(graphs) == 1
