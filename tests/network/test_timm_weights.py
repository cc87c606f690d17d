"""Weights for backbones of timm: from files of either kind, and real ones where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from network import create_network, load_imagenet_weights
from utils.errors import UserError

REAL = Path(os.environ.get("URBANDG_TEST_WEIGHTS", ""), "tf_efficientnet_lite0.pth")
VIT = "timm:vit_tiny_patch16_224"


@pytest.mark.skipif(not REAL.is_file(), reason="URBANDG_TEST_WEIGHTS names no folder with EfficientNet-Lite0")
def test_real_weights_are_taken_whole_also_beside_sites() -> None:
    weights = torch.load(REAL, weights_only=True)
    built = {"output_stride": 32, "wt_layer": (0, 0, 2, 2, 2, 0, 0), "snr_stages": (4,)}
    network = create_network("timm:tf_efficientnet_lite0", "linear", **built)
    load_imagenet_weights(network, REAL)
    own = network.backbone.state_dict()
    taken = [key for key in weights if f"model.{key}" in own]
    assert len(taken) > 250
    assert all(torch.equal(own[f"model.{key}"], weights[key]) for key in taken)
    assert network.input_spec.mean == (0.5, 0.5, 0.5)


def test_safetensors(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    model = timm.create_model("vit_tiny_patch16_224")
    save_file(model.state_dict(), file)
    network = create_network(VIT, "linear")
    load_imagenet_weights(network, file)
    assert torch.equal(network.backbone.model.blocks[3].attn.qkv.weight, model.blocks[3].attn.qkv.weight)


def test_blocks_after_the_last_tap_are_left_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save(timm.create_model("vit_tiny_patch16_224").state_dict(), file)
    network = create_network(VIT, "linear", timm={"taps": [0, 1, 2, 3]})
    load_imagenet_weights(network, file)
    assert len(network.backbone.model.blocks) == 4


@pytest.mark.parametrize("change", ["absent", "further"])
def test_a_file_of_another_transformer_is_refused(change: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    state = timm.create_model("vit_tiny_patch16_224").state_dict()
    if change == "absent":
        del state["blocks.3.attn.qkv.weight"]
    else:
        state["blocks.12.attn.qkv.weight"] = torch.zeros(1)
    torch.save(state, file)
    with pytest.raises(UserError, match=r"--backbone_weights .*: (1 entries are|could not get).*|.*blocks\."):
        load_imagenet_weights(create_network(VIT, "linear"), file)
