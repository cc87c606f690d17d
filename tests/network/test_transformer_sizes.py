"""Pictures of every size on transformers: padding, windows of the crop, and models that cannot resample."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from backbones import picture_batch
from compiling import Graphs
from torch.nn import functional as F

from network import create_network, stated_architecture
from network.restore import load_network
from utils.errors import UserError
from utils.run.checkpoint import save_checkpoint
from utils.scoring.sliding_window import tile_starts

TINY = "timm:vit_tiny_patch16_224"


@pytest.mark.parametrize("head", ["linear", "deeplabv3plus"])
def test_all_logits_are_of_the_picture_without_its_padding(head: str) -> None:
    torch.manual_seed(0)
    network = create_network(TINY, head, auxiliary=True, timm={"image_size": [64, 96]}).train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.modules.dropout._DropoutNd):
            layer.p = 0.0
    picture = torch.randn(2, 3, 50, 82)
    output = network(picture)
    whole = network(F.pad(picture, (0, 14, 0, 14)))
    assert output.aux_logits.shape == output.logits.shape == (2, 19, 50, 82)
    resized = F.interpolate(whole.aux_logits, (64, 96), mode="bilinear", align_corners=False)
    torch.testing.assert_close(output.aux_logits, resized[..., :50, :82])
    torch.testing.assert_close(output.logits, whole.logits[..., :50, :82])


def test_swin_takes_parts_of_a_patch() -> None:
    network = create_network("timm:swin_tiny_patch4_window7_224", "linear", output_stride=32).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 3, 50, 75)).logits.shape == (1, 19, 50, 75)


def test_windows_are_those_of_the_published_protocol() -> None:
    assert tile_starts(1024, 512, 3 / 8) == [0, 320, 512]


def test_windows_of_a_crop_that_is_no_square() -> None:
    torch.manual_seed(0)
    settings = {"image_size": [32, 64], "positions": "crop"}
    network = create_network(TINY, "linear", timm=settings).eval()
    pictures = torch.randint(0, 256, (2, 3, 48, 80), dtype=torch.uint8)
    total, count = torch.zeros(2, 19, 48, 80), torch.zeros(48, 80)
    with torch.no_grad():
        for top in (0, 16):
            for left in (0, 16):
                window = (..., slice(top, top + 32), slice(left, left + 64))
                total[window] += network(network.input_spec.prepare(pictures[window])).logits
                count[window[1:]] += 1
        torch.testing.assert_close(network.predict(pictures), total / count)
        one = pictures[..., :32, :64]
        assert torch.equal(network.predict(one), network(network.input_spec.prepare(one)).logits)


def test_a_model_that_cannot_resample_has_the_positions_of_the_crop() -> None:
    with torch.device("meta"):
        network = create_network("timm:beit_base_patch16_224", "linear", timm={"image_size": [64, 64]})
        assert network.config["timm"]["positions"] == "crop"
        with pytest.raises(UserError, match="--positions dynamic: timm cannot resample .* use crop"):
            create_network("timm:beit_base_patch16_224", "linear", timm={"positions": "dynamic"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"timm": {"taps": [3, 2, 5, 11]}}, "--taps 3 2 5 11: give 4 rising"),
        ({"timm": {"taps": [3, 5, 11, 12]}}, "--taps 3 5 11 12: .* 0 to 11"),
        ({"output_stride": 8}, "--output_stride 8: .* 16; drop the flag"),
        ({"backbone": "resnet18", "timm": {"taps": [0, 1, 2, 3]}}, "--taps: .* no plain transformer"),
        ({"backbone": "resnet18", "timm": {"drop_path": 0.1}}, "--drop_path: .* not of timm"),
        (
            {"backbone": "timm:densenet121", "output_stride": 32, "timm": {"drop_path": 0.1}},
            "--drop_path 0.1: timm:densenet121 has none; drop the flag",
        ),
    ],
)
def test_flags_that_do_not_fit_are_said(arguments: dict, message: str) -> None:
    with torch.device("meta"), pytest.raises(UserError, match=message):
        create_network(**{"backbone": TINY, "head": "linear", **arguments})


def test_a_checkpoint_knows_its_transformer(tmp_path: Path) -> None:
    flags = {"backbone": TINY, "head": "linear", "taps": [0, 1, 2, 4], "drop_path": 0.1}
    network = create_network(**stated_architecture(flags, (48, 64))).eval()
    assert network.config["timm"]["image_size"] == [48, 64]
    assert network.config["output_stride"] == 16
    file = tmp_path / "last.pth"
    model = {f"network.{key}": value for key, value in network.state_dict().items()}
    save_checkpoint(file, {"network": network.config, "model": model})
    # How a network is trained does not matter, nor what a command line leaves out.
    reloaded, _ = load_network(file, stated_architecture({"taps": [0, 1, 2, 4], "drop_path": 0.3}))
    with torch.no_grad():
        assert torch.equal(reloaded(picture_batch()).logits, network(picture_batch()).logits)
    with pytest.raises(UserError, match="with --taps 0 1 2 4, the flags say --taps 2 5 8 11; "):
        load_network(file, stated_architecture({"taps": [2, 5, 8, 11], "positions": "dynamic"}))


def test_checkpoints_from_before_transformers_load(tmp_path: Path) -> None:
    network = create_network("timm:convnext_atto", "linear", output_stride=32).eval()
    config = {name: value for name, value in network.config.items() if name != "timm"}
    model = {f"network.{key}": value for key, value in network.state_dict().items()}
    save_checkpoint(tmp_path / "last.pth", {"network": config, "model": model})
    reloaded, _ = load_network(tmp_path / "last.pth")
    with torch.no_grad():
        assert torch.equal(reloaded(picture_batch()).logits, network(picture_batch()).logits)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        (TINY, "linear"),
        ("timm:eva02_tiny_patch14_224", "deconv"),
        ("timm:vit_small_patch16_dinov3", "linear"),
        (TINY, "deeplabv3plus"),
        (TINY, "upernet"),
    ],
)
def test_a_training_step_is_one_graph(name: str, head: str, graphs: Graphs) -> None:
    settings = {"image_size": [64, 64], "taps": [0, 1, 2, 3]}
    network = create_network(name, head, timm=settings).train()
    network.compile(dynamic=False)
    for _ in range(2):
        network(picture_batch()).logits.sum().backward()
    assert graphs == ["fixed"]


def test_recomputed_activations_are_in_the_graph(graphs: Graphs) -> None:
    network = create_network(TINY, "linear", timm={"image_size": [64, 64], "taps": [0, 1, 2, 3]}).train()
    network.backbone.checkpoint_activations()
    network.compile(dynamic=False)
    network(picture_batch()).logits.sum().backward()
    assert graphs == ["fixed"]


def test_inference_compiles_for_any_size(graphs: Graphs) -> None:
    network = create_network(TINY, "linear", timm={"image_size": [64, 64], "taps": [0, 1, 2, 3]}).eval()
    network.compile_for_any_size()
    with torch.no_grad():
        for size in ((64, 96), (80, 130), (50, 90)):
            assert network(torch.rand(1, 3, *size)).logits.shape[-2:] == size
    # One for the size whose positions are stored, and one more for sizes that are padded.
    assert graphs == ["fixed", "any", "any"]
