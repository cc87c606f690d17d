"""SNR after the stages of any backbone, beside whitening sites, and in what order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from backbones import picture_batch

from network import SegmentationNet, create_network, list_backbones
from network.restore import load_network
from utils.errors import UserError
from utils.run.checkpoint import save_checkpoint

KINDS = ("normalised", "restituted", "contaminated")


def snr_network(stages: Sequence[int] = (1, 2, 3), **architecture: object) -> SegmentationNet:
    torch.manual_seed(0)
    return create_network("resnet18", snr_stages=stages, **architecture)


ALL_STAGES = [(backbone, (1, 2, 3, 4)) for backbone in list_backbones()]


@pytest.mark.parametrize(
    ("backbone", "stages"), [*ALL_STAGES, *(("resnet18", (stage,)) for stage in (1, 2, 3, 4))]
)
def test_every_backbone_takes_every_stage(backbone: str, stages: Sequence[int]) -> None:
    """On the meta device: shapes and the graph without the arithmetic."""
    with torch.device("meta"):
        network = create_network(backbone, snr_stages=stages).train()
        pictures = torch.empty(2, 3, 64, 96)
    output = network(pictures)
    taps = {key for key in output.features if key.startswith("snr")}
    assert taps == {f"snr{stage}_{kind}" for stage in stages for kind in KINDS}
    for stage in stages:
        for kind in KINDS:
            assert output.features[f"snr{stage}_{kind}"].shape == output.features[f"layer{stage}"].shape
    (output.logits.sum() + output.aux_logits.sum()).backward()
    trained = {key: parameter for key, parameter in network.named_parameters() if parameter.requires_grad}
    assert not [key for key, parameter in trained.items() if parameter.grad is None]
    assert not [key for key in network.eval()(pictures).features if key.startswith("snr")]


def test_the_restituted_map_goes_on() -> None:
    network = snr_network(head="deeplabv2").eval()
    backbone = network.backbone
    with torch.no_grad():
        features = backbone(picture_batch())
        x = features["stem"]
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            x = getattr(backbone, stage)(x)
            if stage != "layer4":
                assert x.amin() >= 0 > features[stage].amin()
                x = backbone.restitutions[stage[-1]](x).restituted
            torch.testing.assert_close(features[stage], x)


@pytest.mark.parametrize("is_open", [True, False])
def test_open_gates_leave_the_network_as_it_is_and_shut_ones_normalise(is_open: bool) -> None:
    network = snr_network().eval()
    for module in network.backbone.restitutions.values():
        torch.nn.init.constant_(module.gate.fc2.bias, 1e3 if is_open else -1e3)
    plain = create_network("resnet18").eval()
    weights = network.state_dict()
    plain.load_state_dict({key: weights[key] for key in plain.state_dict()})
    with torch.no_grad():
        features, expected = network(picture_batch()).features, plain(picture_batch()).features
    if is_open:
        torch.testing.assert_close(
            features["decoder_logits"], expected["decoder_logits"], atol=1e-4, rtol=1e-3
        )
    else:
        means = features["layer3"].mean((2, 3))
        torch.testing.assert_close(means, torch.zeros_like(means), atol=1e-5, rtol=0)
        assert expected["layer3"].mean() > 0.01


def test_beside_whitening_sites() -> None:
    network = snr_network((1, 3), wt_layer=(0, 0, 2, 2, 4, 0, 0)).train()
    output = network(picture_batch())
    assert {"site2", "site3", "snr1_normalised", "snr3_contaminated"} <= output.features.keys()
    taps = [output.features[name].square().mean() for name in ("site2", "site3", "snr1_contaminated")]
    (output.logits.square().mean() + output.aux_logits.square().mean() + sum(taps)).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    network.eval()
    with torch.no_grad():
        features = network(picture_batch()).features
        for site, whitened in network.whitening_features(picture_batch()).items():
            torch.testing.assert_close(whitened, features[f"site{site}"])


def test_saves_and_reloads(tmp_path: Path) -> None:
    network = snr_network((3, 1), head="deeplabv2", output_stride=8, atrous_branches=2).eval()
    assert network.config["snr_stages"] == [1, 3]
    model = {f"network.{key}": value for key, value in network.state_dict().items()}
    save_checkpoint(tmp_path / "last.pth", {"network": network.config, "model": model, "iteration": 1})
    pictures = torch.randint(0, 256, (1, 3, 40, 56), generator=torch.Generator().manual_seed(0)).byte()
    with torch.no_grad():
        reloaded, _ = load_network(tmp_path / "last.pth", {"snr_stages": [1, 3]})
        assert torch.equal(reloaded.predict(pictures), network.predict(pictures))
    with pytest.raises(UserError, match="trained with --snr_stages 1 3, the flags say --snr_stages 1 2"):
        load_network(tmp_path / "last.pth", {"snr_stages": [1, 2]})


@pytest.mark.parametrize("stages", [(0,), (5,), (1, 1)])
def test_impossible_stages_are_refused(stages: Sequence[int]) -> None:
    with torch.device("meta"), pytest.raises(UserError, match=f"--snr_stages {stages[0]}.*1, 2, 3, 4"):
        create_network("resnet18", snr_stages=stages)


def test_normalising_a_single_pixel_is_refused() -> None:
    with pytest.raises(UserError, match="1x1 map.*--snr_stages"):
        create_network("resnet18", output_stride=32, snr_stages=(4,)).eval()(picture_batch(2, 32))
