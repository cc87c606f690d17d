"""DeepLabV2 as AdaptSegNet, MaxSquare and SNR have it: its sizes, its ResNet, its two classifiers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from backbones import picture_batch, strides_of_all
from programs import train_arguments

import train
from network import SegmentationNet, architecture_from_arch, create_network
from network.head.layers import resize
from network.input_spec import CAFFE
from utils.run.checkpoint import load_checkpoint


def published(name: str, **more: object) -> SegmentationNet:
    with torch.device("meta"):
        return create_network(**architecture_from_arch(name), **more)


@pytest.mark.parametrize(
    "name, parameters, entries",
    [("deeplabv2_multi", 44_601_560, 640), ("deeplabv2_multi_snr", 44_779_080, 658)],
)
def test_published_sizes(name: str, parameters: int, entries: int) -> None:
    for branches in (4, 2):
        network = published(name, atrous_branches=branches)
        assert sum(parameter.numel() for parameter in network.parameters()) == parameters
        assert len(network.state_dict()) == entries


@pytest.mark.parametrize(
    "picture, pooled, last",
    [
        ((720, 1280), (181, 321), (91, 161)),
        ((512, 1024), (129, 257), (65, 129)),
        ((640, 1280), (161, 321), (81, 161)),
        ((760, 1280), (191, 321), (96, 161)),
    ],
)
@pytest.mark.parametrize("name", ["deeplabv2_multi", "deeplabv2_multi_snr"])
def test_published_feature_sizes(
    name: str, picture: tuple[int, int], pooled: tuple[int, int], last: tuple[int, int]
) -> None:
    network = published(name).eval()
    output = network(torch.empty(1, 3, *picture, device="meta"))
    shapes = {stage: tuple(output.features[stage].shape[1:]) for stage in ("stem", "layer1")}
    assert shapes == {"stem": (64, *pooled), "layer1": (256, *pooled)}
    for stage, channels in (("layer2", 512), ("layer3", 1024), ("layer4", 2048)):
        assert tuple(output.features[stage].shape[1:]) == (channels, *last)
    assert output.logits.shape == (1, 19, *picture)
    assert output.features["decoder_logits"].shape == (1, 19, *last)


def test_strides_and_dilations_of_its_resnet() -> None:
    backbone = published("deeplabv2_multi").backbone
    assert (backbone.maxpool.padding, backbone.maxpool.ceil_mode) == (1, True)
    for number, (stage, blocks, dilation) in enumerate(
        [("layer1", 3, 1), ("layer2", 4, 1), ("layer3", 23, 2), ("layer4", 3, 4)]
    ):
        assert len(backbone.blocks(stage)) == blocks
        for place, block in enumerate(backbone.blocks(stage)):
            stride = 2 if (number, place) == (1, 0) else 1
            assert (block.conv1.stride, block.conv2.stride) == ((stride, stride), (1, 1))
            assert block.conv2.dilation == block.conv2.padding == (dilation, dilation)
    assert backbone.input_spec == CAFFE


def test_initial_weights() -> None:
    torch.manual_seed(0)
    network = create_network("resnet50_caffe", head="deeplabv2", output_stride=8)
    last = network.backbone.layer4[0]
    for convolution in (last.conv2, *network.head.classifier.branches, *network.auxiliary.branches):
        assert convolution.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert torch.equal(last.bn2.weight, torch.ones(512))
    assert network.head.classifier.branches[0].bias.abs().max() > 0


@pytest.mark.parametrize("branches", [4, 2])
def test_logits_are_the_sum_of_the_branches_at_picture_size(branches: int) -> None:
    torch.manual_seed(0)
    network = create_network("resnet18", head="deeplabv2", output_stride=8, atrous_branches=branches).train()
    output = network(picture_batch())
    for classifier, layer, logits in (
        (network.head.classifier, "layer4", output.logits),
        (network.auxiliary, "layer3", output.aux_logits),
    ):
        assert [convolution.dilation[0] for convolution in classifier.branches] == [6, 12, 18, 24]
        parts = [convolution(output.features[layer]) for convolution in classifier.branches]
        torch.testing.assert_close(logits, resize(sum(parts[:branches]), (64, 64)))
    (output.logits.sum() + output.aux_logits.sum()).backward()
    untrained = {key.split(".")[-2] for key, p in network.named_parameters() if p.grad is None}
    assert untrained == {str(number) for number in range(branches, 4)}
    assert all(parameter.requires_grad == (parameter.grad is not None) for parameter in network.parameters())


def test_a_batch_of_one_picture_trains() -> None:
    network = create_network(
        "resnet50_caffe", head="deeplabv2", output_stride=8, snr_stages=(1, 2, 3)
    ).train()
    output = network(CAFFE.prepare(picture_batch(1)))
    (output.logits.square().mean() + output.aux_logits.square().mean()).backward()
    assert network.head.smallest_batch == 1
    # The stem's statistics follow the data although its weight and bias stand still.
    assert network.backbone.bn1.running_mean.any()
    assert network.backbone.conv1.weight.grad.any()


def test_train_takes_single_pictures_for_it(toycity: Path, tmp_path: Path) -> None:
    network = ["--head", "deeplabv2", "--deeplabv2_head", "two_branch", "--snr_stages", "1", "2", "3"]
    flags = [*network, "--method", "baseline", "--bs_mult", "1", "--max_iter", "1", "--lr", "0.01"]
    assert train.main(train_arguments(toycity, tmp_path, *flags)) == 0
    checkpoint = load_checkpoint(tmp_path / "default" / "tiny" / "last.pth")
    assert checkpoint["network"]["atrous_branches"] == 2
    assert checkpoint["network"]["snr_stages"] == [1, 2, 3]
    groups = checkpoint["optimizer"]["param_groups"]
    assert [group["initial_lr"] for group in groups] == pytest.approx([0.01, 0.1])


@pytest.mark.parametrize(("backbone", "stride"), strides_of_all())
def test_works_on_every_backbone(backbone: str, stride: int) -> None:
    """On the meta device: shapes and the graph without the arithmetic."""
    with torch.device("meta"):
        network = create_network(backbone, head="deeplabv2", output_stride=stride).train()
        output = network(torch.empty(1, 3, 64, 96))
    assert output.logits.shape == output.aux_logits.shape == (1, 19, 64, 96)
    (output.logits.sum() + output.aux_logits.sum()).backward()
    trained = {key: parameter for key, parameter in network.named_parameters() if parameter.requires_grad}
    assert not [key for key, parameter in trained.items() if parameter.grad is None]
