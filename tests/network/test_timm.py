"""Backbones of timm, where it is installed; and what is said where it is not."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from network import create_network, load_imagenet_weights
from network.cost import network_cost
from network.restore import load_network
from utils.errors import UserError
from utils.run.checkpoint import save_checkpoint

needs_timm = pytest.mark.skipif(
    importlib.util.find_spec("timm") is None, reason="needs the optional library timm: pip install timm"
)


def test_without_timm_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match="pip install timm"):
        create_network("timm:convnext_tiny")


def test_a_checkpoint_of_timm_is_not_blamed_for_a_missing_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    save_checkpoint(tmp_path / "good.pth", {"network": {"backbone": "timm:convnext_tiny"}, "model": {}})
    with pytest.raises(UserError, match="^--backbone timm:.*pip install timm$"):
        load_network(tmp_path / "good.pth")


@needs_timm
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_convnext_trains_at_every_output_stride(stride: int) -> None:
    with torch.device("meta"):
        network = create_network("timm:convnext_tiny", output_stride=stride).train()
        output = network(torch.empty(2, 3, 64, 96))
    assert output.logits.shape == (2, 19, 64, 96)
    assert output.features["layer1"].shape == (2, 96, 16, 24)
    assert output.features["layer4"].shape == (2, 768, 64 // stride, 96 // stride)
    assert network.backbone.strides["layer4"] == stride
    (output.logits.sum() + output.aux_logits.sum()).backward()
    assert not [key for key, parameter in network.named_parameters() if parameter.grad is None]


@needs_timm
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "mobilenetv3_large_100", "xception41"])
def test_other_kinds_of_models_train(name: str) -> None:
    with torch.device("meta"):
        network = create_network(f"timm:{name}").train()
        output = network(torch.empty(2, 3, 64, 96))
    assert {"stem", "layer1", "layer2", "layer3", "layer4"} <= output.features.keys()
    (output.logits.sum() + output.aux_logits.sum()).backward()
    assert not [key for key, parameter in network.named_parameters() if parameter.grad is None]


@needs_timm
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_the_aggregation_head_fits_a_backbone_that_rounds_down(stride: int) -> None:
    with torch.device("meta"):
        network = create_network("timm:convnext_tiny", "aggregation", output_stride=stride).train()
        output = network(torch.empty(2, 3, 71, 103))
    assert output.features["layer4"].shape[-2:] == (71 // stride, 103 // stride)
    assert output.logits.shape == (2, 19, 71, 103)
    (output.logits.sum() + output.aux_logits.sum()).backward()


@needs_timm
def test_pictures_are_normalised_as_the_models_weights_want_them() -> None:
    with torch.device("meta"):
        network = create_network("timm:xception41")
    assert network.input_spec.mean == network.input_spec.std == (0.5, 0.5, 0.5)


@needs_timm
def test_it_is_rebuilt_from_its_config() -> None:
    network = create_network("timm:convnextv2_atto", output_stride=32).eval()
    copy = create_network(**network.config).eval()
    copy.load_state_dict(network.state_dict())
    picture = torch.randint(0, 256, (1, 3, 50, 70), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(copy.predict(picture), network.predict(picture))
    assert network_cost(network.config, 64, 64)[0] == sum(p.numel() for p in network.parameters())


@needs_timm
def test_weights_from_a_file_of_timm(tmp_path: Path) -> None:
    import timm

    file = tmp_path / "weights.pth"
    model = timm.create_model("convnextv2_atto")
    torch.save(model.state_dict(), file)
    network = create_network("timm:convnextv2_atto")
    load_imagenet_weights(network, file)
    name = "stages.1.blocks.0.conv_dw.weight"
    own = network.backbone.state_dict()[f"model.{name.replace('stages.1', 'stages_1')}"]
    assert torch.equal(own, model.state_dict()[name])
    with pytest.raises(UserError, match="no such file"):
        load_imagenet_weights(network, tmp_path / "absent.pth")
    torch.save({}, file)
    with pytest.raises(UserError, match=r"--backbone_weights .*weights.pth: \d+ entries"):
        load_imagenet_weights(network, file)


@needs_timm
def test_without_a_connection_the_message_says_what_to_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    create = timm.create_model

    def offline(*names: str, pretrained: bool = False, **settings: object) -> torch.nn.Module:
        if pretrained:
            raise OSError("no route to host")
        return create(*names, **{k: v for k, v in settings.items() if k != "pretrained_cfg_overlay"})

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UserError, match="no route to host.*--no_pretrained"):
        load_imagenet_weights(create_network("timm:convnextv2_atto"))


@needs_timm
@pytest.mark.parametrize(
    ("name", "stride", "codes", "message"),
    [
        ("nonsense", 16, (0,) * 7, "has no model nonsense"),
        ("convnext_tiny", 16, (0, 0, 2, 2, 2, 0, 0), "--wt_layer .* has no sites"),
        ("pvt_v2_b0", 16, (0,) * 7, "--output_stride 16: .* try --output_stride 32"),
        ("vit_tiny_patch16_224", 32, (0,) * 7, "does not fit: it has 3 feature maps"),
        ("swin_tiny_patch4_window7_224", 32, (0,) * 7, "does not fit: on a picture of"),
    ],
)
def test_what_does_not_work_is_said(name: str, stride: int, codes: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_network(f"timm:{name}", output_stride=stride, wt_layer=codes)


def test_snr_has_no_place_in_it() -> None:
    with pytest.raises(UserError, match="--snr_stages 1 2: timm:convnext_atto runs as a whole"):
        create_network("timm:convnext_atto", output_stride=32, snr_stages=(1, 2))
