"""Files of AdaptSegNet, MaxSquare and SNR, to ours and back; programs that take them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import valid
from network import SegmentationNet, architecture_from_arch, create_network
from network.factory import DEEPLABV2_ARCHITECTURES
from network.legacy import foreign_content, foreign_file
from network.legacy.__main__ import main as convert
from network.legacy.deeplabv2 import PREFIXES
from network.legacy.foreign import to_theirs
from network.restore import load_network, load_start
from utils.errors import UserError
from utils.run.checkpoint import load_checkpoint, network_state, save_checkpoint

to_deeplabv2 = partial(to_theirs, prefixes=PREFIXES)

ARCHITECTURE = {"head": "deeplabv2", "output_stride": 8, "atrous_branches": 2}


def small_network(**more: object) -> SegmentationNet:
    torch.manual_seed(1)
    return create_network(**{"backbone": "resnet50_caffe", **ARCHITECTURE, **more})


def write_released_file(path: Path, state: dict[str, Tensor]) -> Path:
    """As their training writes it: under ``module.``, beside a score in float64."""
    content = {
        "epoch": 2,
        "iteration": 5952,
        "state_dict": {f"module.{key}": value for key, value in state.items()},
        "optimizer": {"state": {}, "param_groups": [{"lr": 2.5e-4, "params": [0, 1, 1]}]},
        "best_MIou": np.float64(0.464),
    }
    torch.save(content, path)
    return path


def recognised(state: dict[str, Tensor], **stated: object) -> dict[str, Any]:
    return foreign_file({"state_dict": state}, "theirs.pth").network(stated)


def names_of_theirs(snr: bool) -> dict[str, tuple[int, ...]]:
    """What they call entries that no other network has, as published, with shapes for 19 classes."""
    names = {
        f"layer{layer}.conv2d_list.{branch}.weight": (19, channels, 3, 3)
        for layer, channels in ((5, 1024), (6, 2048))
        for branch in range(4)
    }
    for stage, channels in ((1, 256), (2, 512), (3, 1024)) if snr else ():
        names[f"IN{stage}.weight"] = names[f"IN{stage}.bias"] = (channels,)
        names[f"style_reid_laye{stage}.fc1.weight"] = (channels // 16, channels, 1, 1)
        names[f"style_reid_laye{stage}.fc2.weight"] = (channels, channels // 16, 1, 1)
    return names


@pytest.mark.parametrize("backbone", ["resnet50_caffe", "resnet101_caffe"])
@pytest.mark.parametrize("stages", [[], [1, 2, 3]])
def test_networks_are_recognised(
    backbone: str, stages: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    with torch.device("meta"):
        network = small_network(backbone=backbone, snr_stages=stages)
        state = to_deeplabv2(network.state_dict())
        classes13 = to_deeplabv2(small_network(num_classes=13).state_dict())
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert names_of_theirs(bool(stages)).items() <= shapes.items()
    assert {"conv1.weight", "bn1.running_mean", "layer2.0.downsample.0.weight"} <= shapes.keys()
    config = recognised(state)
    assert create_meta(config).config == network.config
    assert f"SNR stages {'1 2 3' if stages else 'none'}, 2 of 4 atrous" in capsys.readouterr().out
    assert recognised(classes13)["num_classes"] == 13
    stated = recognised(state, atrous_branches=4, output_stride=16)
    assert (stated["atrous_branches"], stated["output_stride"]) == (4, 16)


def create_meta(config: dict[str, Any]) -> SegmentationNet:
    with torch.device("meta"):
        return create_network(**config)


def test_a_truncated_network_is_refused() -> None:
    with torch.device("meta"):
        state = to_deeplabv2(small_network().state_dict())
    del state["layer4.1.conv2.weight"]
    with pytest.raises(UserError, match=r"theirs\.pth: .* no backbone known here.*resnet101_caffe"):
        recognised(state)


@pytest.mark.parametrize("prefix", ["", "Scale.", "module.", "module.Scale."])
def test_a_bare_state_dict(prefix: str, tmp_path: Path) -> None:
    theirs = small_network(snr_stages=(1, 2, 3)).eval()
    state = to_deeplabv2(theirs.state_dict())
    torch.save({f"{prefix}{key}": value for key, value in state.items()}, tmp_path / "bare.pth")
    network, checkpoint = load_network(tmp_path / "bare.pth")
    assert network.config == theirs.config
    assert checkpoint["arguments"]["dataset"] == []
    weights = theirs.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())
    assert network.input_spec == theirs.input_spec


def test_a_run_starts_from_their_file_and_takes_what_fits_if_asked(tmp_path: Path) -> None:
    theirs = small_network()
    path = write_released_file(tmp_path / "theirs.pth", to_deeplabv2(theirs.state_dict()))
    method = nn.Module()
    method.network = small_network(num_classes=19)
    for parameter in method.network.parameters():
        parameter.data.zero_()
    load_start(method, path)
    assert torch.equal(
        method.network.head.classifier.branches[3].weight, theirs.head.classifier.branches[3].weight
    )
    # SNR starts from a network without it, as published, only in part.
    method.network = small_network(snr_stages=(1, 2, 3))
    with pytest.raises(
        UserError,
        match="trained with --snr_stages none, this network has --snr_stages 1 2 3;.*--partial_load",
    ):
        load_start(method, path)
    load_start(method, path, partial=True)
    assert torch.equal(method.network.backbone.conv1.weight, theirs.backbone.conv1.weight)


@pytest.mark.parametrize("other", [{"snr_stages": (1,)}, {"num_classes": 13}, {"backbone": "resnet50"}])
def test_a_run_of_another_network_does_not_start_from_their_file(
    other: dict[str, object], tmp_path: Path
) -> None:
    path = write_released_file(tmp_path / "theirs.pth", to_deeplabv2(small_network().state_dict()))
    method = nn.Module()
    method.network = small_network(**other)
    with pytest.raises(UserError, match=f"was trained with --{next(iter(other))} .*--partial_load"):
        load_start(method, path)


@pytest.mark.parametrize("other", [{"atrous_branches": 4}, {"output_stride": 16}])
def test_a_run_starts_from_their_file_with_what_the_file_does_not_tell(
    other: dict[str, object], tmp_path: Path
) -> None:
    theirs = small_network()
    path = write_released_file(tmp_path / "theirs.pth", to_deeplabv2(theirs.state_dict()))
    method = nn.Module()
    method.network = load_network(path, other)[0]
    assert other.items() <= method.network.config.items()
    method.network.backbone.conv1.weight.data.zero_()
    load_start(method, path)
    assert torch.equal(method.network.backbone.conv1.weight, theirs.backbone.conv1.weight)


def test_files_that_do_not_count_batches_load(tmp_path: Path) -> None:
    state = to_deeplabv2(small_network().state_dict())
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    network, _ = load_network(write_released_file(tmp_path / "old.pth", old))
    assert network.backbone.bn1.num_batches_tracked == 0


def test_there_and_back_is_exact(tmp_path: Path) -> None:
    ours, theirs, back = (tmp_path / f"{name}.pth" for name in ("ours", "theirs", "back"))
    network = small_network(backbone="resnet101_caffe", snr_stages=(1, 2, 3), num_classes=16)
    model = {f"network.{key}": value for key, value in network.state_dict().items()}
    save_checkpoint(ours, {"network": network.config, "model": model, "arguments": {"dataset": ["synthia"]}})
    assert convert(["export", str(ours), str(theirs)]) == 0
    content = torch.load(theirs, weights_only=True)
    assert {"epoch", "iteration", "best_MIou"} <= content.keys()
    names = [key.removeprefix("module.") for key in content["state_dict"]]
    assert names == list(to_deeplabv2(network.state_dict()))
    assert convert(["import", str(theirs), str(back)]) == 0
    after = load_checkpoint(back)
    assert after["network"] == network.config
    weights = network_state({"model": model})
    assert network_state(after).keys() == weights.keys()
    assert all(torch.equal(value, weights[key]) for key, value in network_state(after).items())


def test_both_published_networks_are_exported() -> None:
    for arch in DEEPLABV2_ARCHITECTURES:
        network = create_meta({**architecture_from_arch(arch), "atrous_branches": 2, "num_classes": 13})
        model = {f"network.{key}": value for key, value in network.state_dict().items()}
        content = foreign_content({"network": network.config, "model": model}, "ours.pth")
        assert create_meta(recognised(content["state_dict"])).config == network.config


@pytest.mark.parametrize(
    "other",
    [
        {"atrous_branches": 4},
        {"backbone": "resnet50_caffe"},
        {"output_stride": 16},
        {"snr_stages": [1]},
        {"wt_layer": [0, 0, 0, 4, 0, 0, 0]},
        {"per_image_input": True},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_they_do_not_have_is_not_exported(tmp_path: Path, other: dict[str, Any]) -> None:
    config = create_meta({"backbone": "resnet101_caffe", **ARCHITECTURE, **other}).config
    save_checkpoint(tmp_path / "ours.pth", {"network": config, "model": {}})
    with pytest.raises(UserError, match="this is another"):
        convert(["export", str(tmp_path / "ours.pth"), str(tmp_path / "theirs.pth")])
    assert not (tmp_path / "theirs.pth").exists()


def test_valid_scores_their_file(toycity: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    state = to_deeplabv2(small_network().state_dict())
    path = write_released_file(tmp_path / "theirs.pth", state)
    arguments = ["--snapshot", str(path), "--data_root", str(toycity), "--num_workers", "0"]
    arguments += ["--evaluation_height", "64", "--val_dataset", "gtav"]
    assert valid.main(arguments) == 0
    assert "DeepLabV2 checkpoint, resnet50_caffe, output stride 8" in capsys.readouterr().out
    with pytest.raises(UserError, match="was trained with --snr_stages"):
        valid.main([*arguments, "--snr_stages", "1", "2", "3"])
    with pytest.raises(UserError, match="was trained with --backbone resnet50_caffe"):
        valid.main([*arguments, "--backbone", "deeplabv2_multi"])
