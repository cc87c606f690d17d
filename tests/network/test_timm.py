"""Backbones of timm that run stage by stage."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from backbones import picture_batch

from network import create_network, load_imagenet_weights
from network.backbone import create_backbone
from network.cost import network_cost
from utils.errors import UserError


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


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "mobilenetv3_large_100", "xception41"])
def test_other_kinds_of_models_train(name: str) -> None:
    with torch.device("meta"):
        network = create_network(f"timm:{name}").train()
        output = network(torch.empty(2, 3, 64, 96))
    assert {"stem", "layer1", "layer2", "layer3", "layer4"} <= output.features.keys()
    (output.logits.sum() + output.aux_logits.sum()).backward()
    assert not [key for key, parameter in network.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_the_aggregation_head_fits_a_backbone_that_rounds_down(stride: int) -> None:
    with torch.device("meta"):
        network = create_network("timm:convnext_tiny", "aggregation", output_stride=stride).train()
        output = network(torch.empty(2, 3, 71, 103))
    assert output.features["layer4"].shape[-2:] == (71 // stride, 103 // stride)
    assert output.logits.shape == (2, 19, 71, 103)
    (output.logits.sum() + output.aux_logits.sum()).backward()


def test_pictures_are_normalised_as_the_models_weights_want_them() -> None:
    with torch.device("meta"):
        network = create_network("timm:xception41")
    assert network.input_spec.mean == network.input_spec.std == (0.5, 0.5, 0.5)


def test_it_is_rebuilt_from_its_config() -> None:
    network = create_network("timm:convnextv2_atto", output_stride=32).eval()
    copy = create_network(**network.config).eval()
    copy.load_state_dict(network.state_dict())
    picture = torch.randint(0, 256, (1, 3, 50, 70), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(copy.predict(picture), network.predict(picture))
    assert network_cost(network.config, 64, 64)[0] == sum(p.numel() for p in network.parameters())


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


@pytest.mark.parametrize(
    ("name", "stride", "codes", "message"),
    [
        ("nonsense", 16, (0,) * 7, "has no model nonsense"),
        ("convnext_tiny", 16, (0, 0, 2, 2, 2, 0, 0), "--wt_layer: .* has no site 2"),
        ("xception41", 16, (0, 0, 0, 2, 2, 0, 0), "--wt_layer .* runs as a whole"),
        ("pvt_v2_b0", 16, (0,) * 7, "--output_stride 16: .* try --output_stride 32"),
        ("vit_tiny_patch16_224", 32, (0, 0, 0, 2, 0, 0, 0), "--wt_layer .* is a plain transformer"),
    ],
)
def test_what_does_not_work_is_said(name: str, stride: int, codes: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_network(f"timm:{name}", output_stride=stride, wt_layer=codes)


@pytest.mark.parametrize(
    ("name", "reason"), [("xception41", "runs as a whole"), ("vit_tiny_patch16_224", "plain transformer")]
)
def test_where_snr_has_no_place(name: str, reason: str) -> None:
    with torch.device("meta"), pytest.raises(UserError, match=f"--snr_stages 1 2: timm:{name} .*{reason}"):
        create_network(f"timm:{name}", snr_stages=(1, 2))


@pytest.mark.parametrize(
    "name",
    [
        "convnext_atto",
        "swin_tiny_patch4_window7_224",
        "efficientnet_lite0",
        "mobilenetv3_small_050",
        "vgg11_bn",
    ],
)
def test_stages_one_by_one_are_timms_features(name: str) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(f"timm:{name}").eval()
    picture = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        own, reference = backbone(picture), backbone.model(picture)[-len(backbone.stages) :]
        assert list(backbone(picture, until="layer2"))[-1] == "layer2"
    for stage, expected in zip(backbone.stages, reference, strict=True):
        torch.testing.assert_close(own[stage], backbone.turned(expected), rtol=0, atol=1e-6)
        assert own[stage].shape[1] == backbone.channels[stage]


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("efficientnet_lite0", [0, 0, 2, 2, 2, 0, 0]),
        ("convnext_atto", [0, 0, 0, 1, 4, 3, 0]),
        ("swin_tiny_patch4_window7_224", [0, 0, 0, 5, 2, 0, 0]),
    ],
)
def test_sites_and_snr_are_between_the_stages(name: str, codes: list[int]) -> None:
    torch.manual_seed(0)
    network = create_network(f"timm:{name}", output_stride=32, wt_layer=codes, snr_stages=(1, 2)).train()
    output = network(picture_batch())
    whitened = {f"site{site}" for site, code in enumerate(codes) if code in (1, 2)}
    assert whitened <= output.features.keys()
    for site in whitened:
        map_ = output.features[site]
        torch.testing.assert_close(map_.mean((2, 3)), torch.zeros(map_.shape[:2]), rtol=0, atol=1e-5)
    assert "snr2_restituted" in output.features
    (output.logits.sum() + output.aux_logits.sum()).backward()
    assert not [key for key, parameter in network.named_parameters() if parameter.grad is None]


def test_activations_may_be_computed_again() -> None:
    torch.manual_seed(0)
    picture, gradients = picture_batch(1), []
    backbone = create_backbone("timm:convnext_atto", timm={"drop_path": 0.2}).train()
    for again in (False, True):
        if again:
            backbone.checkpoint_activations()
        backbone.zero_grad()
        torch.manual_seed(1)
        backbone(picture)["layer4"].sum().backward()
        gradients.append([parameter.grad for parameter in backbone.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
    with pytest.raises(UserError, match="--checkpoint_activations: BatchNorm of resnet18"):
        create_backbone("resnet18").checkpoint_activations()
