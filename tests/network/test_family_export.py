"""Checkpoints of ours as files of the RobustNet family, and the program that converts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from families import write_family_file_of

from network import create_network
from network.legacy.__main__ import main as convert
from utils.errors import UserError
from utils.run.checkpoint import load_checkpoint, network_state, save_checkpoint

PUBLISHED = (0, 0, 2, 2, 2, 0, 0)


def own_checkpoint(path: Path, **architecture: object) -> dict[str, Any]:
    torch.manual_seed(2)
    network = create_network(**architecture)
    model = {f"network.{key}": value for key, value in network.state_dict().items()}
    masks = {"mask_site2": torch.ones(2, 2)}
    content = {"network": network.config, "method": "isw", "model": {**model, **masks}, "iteration": 3}
    save_checkpoint(path, {**content, "arguments": {"dataset": ["gtav"]}})
    return content


@pytest.mark.parametrize(
    "architecture",
    [
        {"backbone": "resnet18", "output_stride": 32, "wt_layer": (0, 0, 5, 5, 5, 0, 0)},
        {"backbone": "mobilenet_v2", "output_stride": 8, "wt_layer": PUBLISHED, "partial_dilation": True},
        {"backbone": "shufflenet_v2_x1_0", "wt_layer": (0, 0, 1, 4, 3, 0, 2), "partial_dilation": True},
        {"backbone": "mnasnet0_5", "wt_layer": (0, 0, 0, 0, 0, 0, 2), "num_classes": 5},
        {"backbone": "resnet50", "wt_layer": PUBLISHED, "head": "aggregation"},
    ],
    ids=lambda architecture: architecture["backbone"],
)
def test_there_and_back_is_exact(
    tmp_path: Path, architecture: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs, back = (tmp_path / f"{name}.pth" for name in ("ours", "theirs", "back"))
    before = own_checkpoint(ours, **architecture)
    assert convert(["export", str(ours), str(theirs)]) == 0
    assert "left out: mask_site2, the run" in capsys.readouterr().out
    exported = torch.load(theirs, weights_only=True)
    assert {"epoch", "mean_iu"} <= exported.keys()
    assert all(key.startswith("module.") for key in exported["state_dict"])
    assert convert(["import", str(theirs), str(back)]) == 0
    after = load_checkpoint(back)
    assert after["network"] == before["network"]
    assert after["arguments"] == {"dataset": ["gtav"]}
    weights = network_state(before)
    assert network_state(after).keys() == weights.keys()
    assert all(torch.equal(value, weights[key]) for key, value in network_state(after).items())
    assert all(value.dtype == weights[key].dtype for key, value in network_state(after).items())


def test_the_projection_heads_of_blindnet_stay_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = tmp_path / "ours.pth", tmp_path / "theirs.pth"
    content = own_checkpoint(ours, backbone="mobilenet_v2", partial_dilation=True)
    heads = {f"projections.{number}.0.weight": torch.ones(1) for number in range(3)}
    save_checkpoint(ours, {**content, "model": content["model"] | heads})
    assert convert(["export", str(ours), str(theirs)]) == 0
    assert "left out: mask_site2, projections, the run" in capsys.readouterr().out
    assert len(torch.load(theirs, weights_only=True)["state_dict"]) == len(network_state(content))


@pytest.mark.parametrize(
    "architecture, message",
    [
        ({"backbone": "mobilenet_v2", "wt_layer": (0, 0, 0, 0, 0, 0, 2), "partial_dilation": True}, "site 6"),
        ({"backbone": "mobilenet_v2", "wt_layer": (0, 0, 5, 0, 0, 0, 0), "partial_dilation": True}, "code 5"),
        ({"backbone": "mobilenet_v2"}, "is dilated in part, this one wholly"),
        ({"backbone": "resnet50", "partial_dilation": True}, "is dilated wholly, this one in part"),
        ({"backbone": "mobilenet_v2", "partial_dilation": True, "head": "aggregation"}, "no aggregation on"),
        ({"backbone": "resnet18", "output_stride": 16}, "no deeplabv3plus on resnet18 at output stride 16"),
        ({"backbone": "resnet18", "output_stride": 32, "snr_stages": (1,)}, "has SNR"),
    ],
)
def test_what_the_family_does_not_have_is_not_exported(
    tmp_path: Path, architecture: dict[str, Any], message: str
) -> None:
    own_checkpoint(tmp_path / "ours.pth", **architecture)
    with pytest.raises(UserError, match=message):
        convert(["export", str(tmp_path / "ours.pth"), str(tmp_path / "theirs.pth")])
    assert not (tmp_path / "theirs.pth").exists()


def test_the_command_that_converts(tmp_path: Path, project: Path) -> None:
    path = write_family_file_of(tmp_path / "theirs.pth", create_network("mobilenet_v2"))
    command = [sys.executable, "-m", "network.legacy", "import", path, tmp_path / "ours.pth"]
    failed = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: ")
    assert "state --wt_layer" in failed.stderr
    words = ["--arch", "network.deepv3.DeepMobileNetV3PlusD_OS8", "--wt_layer", *"0 0 2 2 2 0 0".split()]
    assert convert([*map(str, command[3:]), *words]) == 0
    assert load_checkpoint(tmp_path / "ours.pth")["network"]["output_stride"] == 8
    with pytest.raises(UserError, match="already"):
        convert(["import", str(tmp_path / "ours.pth"), str(tmp_path / "again.pth")])


def test_the_former_command_says_what_it_is_called_now(project: Path) -> None:
    command = [sys.executable, "-m", "utils.legacy", "import", "theirs.pth", "ours.pth"]
    ended = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        "error: python -m utils.legacy is now python -m network.legacy, with the same arguments"
    ]
