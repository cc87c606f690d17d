"""Plain vision transformers of timm as backbones, and the heads on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from backbones import picture_batch
from torch.nn import functional as F

from network import create_network, load_imagenet_weights
from network.backbone import create_backbone
from network.backbone.transformer import default_taps
from network.head import HEADS
from utils.errors import UserError

TINY = "timm:vit_tiny_patch16_224"
DINOV2 = "timm:vit_small_patch14_dinov2.lvd142m"
DINOV3 = "timm:vit_small_patch16_dinov3.lvd1689m"
EVA02 = "timm:eva02_tiny_patch14_224"


@pytest.mark.parametrize(("name", "side"), [(TINY, 64), (DINOV2, 56), (DINOV3, 64), (EVA02, 56)])
def test_taps_are_timms_intermediates(name: str, side: int) -> None:
    torch.manual_seed(0)
    settings = {"image_size": [side, side], "taps": [0, 1, 2, 4]}
    backbone = create_backbone(name, timm=settings).eval()
    torch.manual_seed(0)
    model = timm.create_model(name.removeprefix("timm:"), img_size=side, dynamic_img_size=True).eval()
    model.load_state_dict({**model.state_dict(), **backbone.model.state_dict()})
    picture = torch.rand(1, 3, side, 2 * side)
    with torch.no_grad():
        own = backbone(picture)
        expected = model.forward_intermediates(picture, [0, 1, 2, 4], norm=False, intermediates_only=True)
    assert list(own) == ["layer1", "layer2", "layer3", "layer4"]
    for tap, reference in zip(own.values(), expected, strict=True):
        torch.testing.assert_close(tap, reference, rtol=0, atol=1e-6)
        assert tap.shape[1:] == (
            backbone.channels["layer1"],
            *(s // backbone.multiple for s in picture.shape[2:]),
        )
    assert len(backbone.model.blocks) == 5  # Those after the last tap are not built.


def test_published_taps_and_those_of_other_depths() -> None:
    assert default_taps(24) == [7, 11, 15, 23]
    assert default_taps(12) == [2, 5, 8, 11]
    assert default_taps(40) == [9, 19, 29, 39]


def test_positions_are_resampled_for_other_sizes(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    model = timm.create_model("vit_tiny_patch16_224")
    torch.save(model.state_dict(), file)
    for positions in ("dynamic", "crop"):
        settings = {"image_size": [64, 90], "positions": positions}
        network = create_network(TINY, "linear", timm=settings)
        load_imagenet_weights(network, file)
        own = network.backbone.model.pos_embed
        grid = model.pos_embed[:, 1:].view(1, 14, 14, -1).permute(0, 3, 1, 2)
        resampled = F.interpolate(grid, (4, 6), mode="bicubic", antialias=True, align_corners=False)
        torch.testing.assert_close(own[:, 1:], resampled.permute(0, 2, 3, 1).reshape(1, 24, -1))
        assert torch.equal(own[:, 0], model.pos_embed[:, 0])


@pytest.mark.parametrize("how", ["pinv", "bicubic"])
def test_patches_are_resampled_to_another_size(how: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    model = timm.create_model("eva02_tiny_patch14_224")
    torch.save(model.state_dict(), file)
    settings = {"image_size": [64, 64], "patch_size": 16, "patch_resample": how}
    network = create_network(EVA02, "linear", timm=settings)
    load_imagenet_weights(network, file)
    own, old = network.backbone.model.patch_embed.proj.weight, model.patch_embed.proj.weight
    assert network.backbone.strides["layer4"] == 16
    bicubic = F.interpolate(old, (16, 16), mode="bicubic", align_corners=False)
    if how == "bicubic":
        torch.testing.assert_close(own, bicubic)
    else:
        # Weights by pseudo-inverse give an enlarged patch the answer that the old ones give the patch.
        patch = torch.rand(1, 3, 14, 14)
        larger = F.interpolate(patch, (16, 16), mode="bicubic", antialias=True, align_corners=False)
        answers = [(weight * picture).sum((1, 2, 3)) for weight, picture in ((own, larger), (old, patch))]
        torch.testing.assert_close(*answers, rtol=1e-3, atol=1e-4)


def test_pictures_are_padded_to_whole_patches_and_cut_again() -> None:
    network = create_network(TINY, "linear", timm={"image_size": [64, 64]}).eval()
    picture = torch.randn(1, 3, 50, 75)
    with torch.no_grad():
        logits = network(picture).logits
        padded = network(F.pad(picture, (0, 5, 0, 14))).logits
    assert logits.shape == (1, 19, 50, 75)
    assert torch.equal(logits, padded[..., :50, :75])


def test_positions_of_the_crop_see_windows_of_its_size() -> None:
    network = create_network(TINY, "linear", timm={"image_size": [64, 64], "positions": "crop"}).eval()
    assert network.config["timm"]["taps"] == [2, 5, 8, 11]
    picture = torch.randint(0, 256, (1, 3, 64, 104), dtype=torch.uint8)
    with torch.no_grad():
        left, right = (network.predict(picture[..., start : start + 64]) for start in (0, 40))
        whole = network.predict(picture)
        assert network.predict(picture[..., :50, :60]).shape == (1, 19, 50, 60)
        with pytest.raises(UserError, match="a picture of 64 x 104: with --positions crop"):
            network(network.input_spec.prepare(picture))
    torch.testing.assert_close(whole[..., :40], left[..., :40])
    torch.testing.assert_close(whole[..., 64:], right[..., 24:])
    torch.testing.assert_close(whole[..., 40:64], (left[..., 40:] + right[..., :24]) / 2)


@pytest.mark.parametrize("backbone", [TINY, "timm:convnext_atto", "resnet18"])
@pytest.mark.parametrize("head", ["linear", "deconv", "upernet", "deeplabv3plus"])
def test_every_head_trains_on_every_kind_of_backbone(head: str, backbone: str) -> None:
    torch.manual_seed(0)
    timm_settings = {"image_size": [64, 64]}
    network = create_network(backbone, head, output_stride=32, timm=timm_settings).train()
    output = network(picture_batch())
    assert output.logits.shape == (2, 19, 64, 64)
    has_auxiliary = backbone != TINY and head in ("upernet", "deeplabv3plus")
    assert (output.aux_logits is not None) == has_auxiliary == network.config["auxiliary"]
    for tap, channels in network.head.embedding_channels.items():
        assert output.features[tap].shape[1] == channels
    (output.logits.sum() + (output.aux_logits.sum() if has_auxiliary else 0)).backward()
    unused = {"cls_token"} if backbone == TINY else set()
    without = [key for key, value in network.named_parameters() if value.grad is None]
    assert {key.rsplit(".", 1)[-1] for key in without} <= unused


@pytest.mark.parametrize("head", sorted({*HEADS} - {"linear", "deconv", "upernet", "deeplabv3plus"}))
def test_other_heads_say_that_they_do_not_fit(head: str) -> None:
    with pytest.raises(UserError, match=f"--head {head}: does not fit {TINY}"):
        create_network(TINY, head)


def test_published_sizes_of_heads() -> None:
    with torch.device("meta"):
        backbone = create_backbone(
            "timm:vit_large_patch14_dinov2.lvd142m", timm={"image_size": [512, 512], "patch_size": 16}
        )
        sizes = {
            name: sum(each.numel() for each in HEADS[name](backbone, 19).parameters())
            for name in ("linear", "deconv")
        }
    assert backbone.taps == [7, 11, 15, 23]
    assert backbone.model.pos_embed.shape == (1, 1 + 32 * 32, 1024)
    assert sizes == {"linear": 4096 * 19 + 19, "deconv": pytest.approx(6.8e6, rel=0.01)}


def test_it_is_rebuilt_from_its_config() -> None:
    settings = {"image_size": [48, 64], "taps": [0, 2, 3, 5], "drop_path": 0.1}
    network = create_network(TINY, "deconv", timm=settings).eval()
    copy = create_network(**network.config).eval()
    copy.load_state_dict(network.state_dict())
    assert copy.config == network.config
    picture = torch.randint(0, 256, (1, 3, 48, 64), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(copy.predict(picture), network.predict(picture))


@pytest.mark.parametrize(
    ("backbone", "settings", "message"),
    [
        (TINY, {"taps": [0, 1, 2]}, "--taps 0 1 2: give 4 rising numbers of the blocks 0 to 11"),
        (TINY, {"taps": [3, 5, 4, 12]}, "--taps 3 5 4 12"),
        ("timm:convnext_atto", {"positions": "crop"}, "--positions: the backbone .* is no plain transformer"),
        ("resnet18", {"drop_path": 0.1}, "--drop_path: the backbone resnet18 is not of timm"),
    ],
)
def test_settings_that_do_not_fit(backbone: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_network(backbone, "linear", output_stride=32, timm=settings)


def test_it_compiles_in_one_graph() -> None:
    network = create_network(TINY, "linear", timm={"image_size": [32, 32], "taps": [0, 1, 2, 3]}).eval()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    picture = torch.randn(1, 3, 30, 32)
    with torch.no_grad():
        torch.testing.assert_close(compiled(picture).logits, network(picture).logits)
