"""Every head: its taps; and the aggregation head on every backbone at every output stride."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from backbones import picture_batch, strides_of_all

from loss.segmentation import cross_entropy
from network import SegmentationNet, create_network
from network.head import HEADS
from network.head.layers import resize, resize_between_centres
from network.restore import load_network
from utils.run.checkpoint import save_checkpoint

AT_PICTURE_SIZE = {
    "coarse_logits": 19,
    "final_logits": 19,
    "layout_logits": 19,
    "edge_logits": 19,
    "edges": 1,
}


def aggregation_network(backbone: str = "resnet18", stride: int = 16) -> SegmentationNet:
    return create_network(backbone, head="aggregation", output_stride=stride)


@pytest.mark.parametrize("head", HEADS)
def test_taps_are_what_the_head_says(head: str) -> None:
    network = create_network("resnet18", head=head, output_stride=32).eval()
    with torch.no_grad():
        output = network(picture_batch())
    taps = output.features
    embedded = {"deeplabv2": {}, "fcn8s": {}, "deeplabv2_fc": {"decoder": 1024}}
    embedded |= {"linear": {"decoder": 960}, "deconv": {"decoder": 256}, "upernet": {"decoder": 512}}
    assert network.head.embedding_channels == embedded.get(head, {"decoder_input": 304, "decoder": 256})
    side = {"deeplabv2_fc": 2, "deconv": 64}.get(head, 16)
    for name, channels in network.head.embedding_channels.items():
        assert taps[name].shape == (2, channels, side, side)
    final = taps["final_logits"] if head == "aggregation" else output.logits
    resized = resize_between_centres if head in ("linear", "deconv", "upernet") else resize
    assert torch.equal(resized(taps["decoder_logits"], (64, 64)), final)


@pytest.mark.parametrize(("backbone", "stride"), strides_of_all())
def test_aggregation_works_at_every_output_stride(backbone: str, stride: int) -> None:
    """On the meta device: shapes and the graph without the arithmetic."""
    with torch.device("meta"):
        network = aggregation_network(backbone, stride).train()
        output = network(torch.empty(2, 3, 64, 96))
    for name, channels in AT_PICTURE_SIZE.items():
        assert output.features[name].shape == (2, channels, 64, 96)
    parts = [output.features[name].sum() for name in AT_PICTURE_SIZE]
    (sum(parts) + output.aux_logits.sum()).backward()
    trained = {key: parameter for key, parameter in network.named_parameters() if parameter.requires_grad}
    assert not [key for key, parameter in trained.items() if parameter.grad is None]


@pytest.mark.parametrize(
    # A Caffe network rounds up where the branches round down, a VGG the other way round:
    # test_grids_that_differ_by_rounding_are_matched.
    ("backbone", "stride"),
    [case for case in strides_of_all() if "_caffe" not in case[0] and not case[0].startswith("vgg")],
)
def test_branches_end_on_the_grid_of_layer4(backbone: str, stride: int) -> None:
    with torch.device("meta"):
        network = aggregation_network(backbone, stride).eval()
        features = network.backbone(torch.empty(1, 3, 263, 479))
        layout_code = network.head.layout(torch.zeros(1, 263, 479, dtype=torch.int64))
        edges, edge_code = network.head.edges(features["layer1"])
    assert edges.shape[-2:] == features["layer1"].shape[-2:]
    assert layout_code.shape[1:] == edge_code.shape[1:] == (256, *features["layer4"].shape[-2:])


def test_grids_that_differ_by_rounding_are_matched() -> None:
    network = aggregation_network().eval()
    with torch.no_grad():
        features = network.backbone(picture_batch(size=70))
        features["layer4"] = features["layer4"][:, :, :-1, :-1]
        logits, taps = network.head(features, (70, 70))
    assert logits.shape == taps["coarse_logits"].shape == (2, 19, 70, 70)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_aggregation_trains_evaluates_saves_and_reloads(stride: int, tmp_path: Path) -> None:
    network = aggregation_network("mobilenet_v2", stride).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    label = torch.zeros(2, 64, 64, dtype=torch.int64)
    for _ in range(2):
        output = network(picture_batch())
        torch.testing.assert_close(
            output.logits, 0.5 * output.features["coarse_logits"] + output.features["final_logits"]
        )
        optimizer.zero_grad()
        cross_entropy(output.logits, label).backward()
        optimizer.step()
    # From the second step on attention is part of the prediction.
    attention = network.head.attention
    assert attention.gamma.any()
    assert attention.query.weight.grad.any()
    assert attention.key.weight.grad.any()
    pictures = torch.randint(0, 256, (1, 3, 40, 57), generator=torch.Generator().manual_seed(0)).byte()
    with torch.inference_mode():
        expected = network.eval().predict(pictures)
        assert expected.shape == (1, 19, 40, 57)
        assert torch.isfinite(expected).all()
        model = {f"network.{key}": value for key, value in network.state_dict().items()}
        save_checkpoint(tmp_path / "last.pth", {"network": network.config, "model": model, "iteration": 1})
        reloaded, _ = load_network(tmp_path / "last.pth")
        assert torch.equal(reloaded.predict(pictures), expected)


def test_evaluation_does_not_depend_on_the_batch() -> None:
    network = aggregation_network().eval()
    network.head.attention.gamma.data.fill_(1.0)
    pictures = picture_batch(3)
    with torch.no_grad():
        together = network(pictures).features
        alone = [network(picture[None]).features for picture in pictures]
    assert not {"layout_logits", "edge_logits", "edges"} & together.keys()
    for name in ("layout", "final_logits"):
        torch.testing.assert_close(together[name], torch.cat([one[name] for one in alone]))


def test_without_the_auxiliary_head_its_statistics_stay() -> None:
    network = create_network("resnet18").train()
    output = network(picture_batch(), auxiliary=False)
    assert output.aux_logits is None
    assert network.auxiliary[1].num_batches_tracked == 0
    assert network.head.decoder[1].num_batches_tracked == 1
    assert network(picture_batch()).aux_logits is not None
    assert network.auxiliary[1].num_batches_tracked == 1


def test_aggregation_trains_in_half_precision_and_channels_last() -> None:
    network = aggregation_network().train().to(memory_format=torch.channels_last)
    network.head.attention.gamma.data.fill_(1.0)
    pictures = picture_batch().contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(pictures)
        terms = [output.logits.float().square().mean(), output.features["edges"].float().square().mean()]
    sum(terms).backward()
    attention = network.head.attention
    for part in (attention.query, attention.key, attention.value, network.head.edges.encoder[0]):
        assert part.weight.grad.any()
        assert torch.isfinite(part.weight.grad).all()


def test_scores_are_float32_under_autocast() -> None:
    network = create_network("mobilenet_v2").train()
    with torch.autocast("cpu", torch.bfloat16):
        output = network(torch.rand(2, 3, 64, 64))
    assert output.logits.dtype == torch.float32
