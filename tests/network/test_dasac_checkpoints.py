"""Files of DA-SAC, to ours and back: student and teacher."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from programs import arguments
from torch import Tensor

from methods import METHODS
from network import SegmentationNet, architecture_from_arch, create_network
from network.factory import DASAC_ARCHITECTURES
from network.head import fcn8s
from network.legacy import foreign_file
from network.legacy.__main__ import main as convert
from network.legacy.dasac import NAMINGS
from network.legacy.foreign import to_theirs
from network.restore import load_network, load_start
from utils.errors import UserError
from utils.run.checkpoint import load_checkpoint, network_state, save_checkpoint

BASELINE, FINAL = False, True


def to_dasac(state: dict[str, Any], arch: str) -> dict[str, Any]:
    """The state dict of our network ``arch`` under their names, bare."""
    return to_theirs(state, NAMINGS[arch].prefixes)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a size for tests: FCN-8s with few of its 4096 channels."""
    monkeypatch.setattr(fcn8s, "HIDDEN_CHANNELS", 8)


@cache
def network_of(arch: str, num_classes: int = 19) -> SegmentationNet:
    """The same one to all tests, which leave it as it is."""
    torch.manual_seed(1)
    return create_network(**architecture_from_arch(arch), num_classes=num_classes).eval()


def moved(network: SegmentationNet) -> dict[str, Tensor]:
    """Entries of a teacher: others than the network's."""
    state = network.state_dict()
    return {key: value + 0.5 if value.is_floating_point() else value for key, value in state.items()}


def write_dasac_file(path: Path, arch: str, network: SegmentationNet, has_teacher: bool) -> Path:
    """As their training writes it after the first step, or with a teacher after the third."""
    entries = {f"module.backbone.{key}": v for key, v in to_dasac(network.state_dict(), arch).items()}
    if has_teacher:
        teacher = to_dasac(moved(network), arch)
        entries |= {f"module.slow_net.{key}": value for key, value in teacher.items()}
        entries["module.running_conf"] = torch.full((19,), 0.05)
        entries["module.slow_init"] = torch.ones(1)
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 2.5e-4}]}
    content = {"model": entries, "opt": optimizer, "score": np.float64(0.538), "epoch": 136}
    torch.save(content, path)
    return path


def equal(state: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return state.keys() == other.keys() and all(torch.equal(state[key], other[key]) for key in state)


NAMES = {
    "deeplabv2_resnet101": {
        "model.conv1.weight": "backbone.conv1.weight",
        "model.layer2.0.downsample.1.running_var": "backbone.layer2.0.downsample.1.running_var",
        "model.layer5.conv2d_list.3.bias": "head.classifier.branches.3.bias",
    },
    "deeplabv2_vgg16_bn": {
        "features.0.weight": "backbone.stem.0.weight",
        "features.8.running_mean": "backbone.layer1.1.running_mean",
        "features.20.bias": "backbone.layer2.6.bias",
        "features.31.weight": "backbone.layer3.7.weight",
        "features.33.weight": "backbone.layer4.0.weight",
        "features.40.num_batches_tracked": "backbone.layer4.7.num_batches_tracked",
        "features.42.weight": "head.hidden.0.weight",
        "features.44.bias": "head.hidden.2.bias",
        "classifier.conv2d_list.2.weight": "head.classifier.branches.2.weight",
    },
    "fcn_vgg16_bn": {
        "block1.3.weight": "backbone.stem.3.weight",
        "block1.21.bias": "backbone.layer2.7.bias",
        "block2.24.weight": "backbone.layer3.0.weight",
        "block3.41.running_var": "backbone.layer4.7.running_var",
        "vgg_head.5.weight": "head.classifier.5.weight",
        "score_pool4.weight": "head.skip16.weight",
        "score_pool3.bias": "head.skip8.bias",
    },
}


@pytest.mark.parametrize("arch", DASAC_ARCHITECTURES)
def test_their_names(arch: str) -> None:
    ours = network_of(arch).state_dict()
    theirs = to_dasac({key: key for key in ours}, arch)
    assert len(theirs) == len(ours)
    assert NAMES[arch].items() <= theirs.items()
    narrower = network_of(arch, 16)
    checkpoint = foreign_file(to_dasac(narrower.state_dict(), arch), "bare.pth").checkpoint({})
    assert {**narrower.config, **checkpoint["network"]} == narrower.config
    assert checkpoint["network"]["num_classes"] == 16
    assert network_state(checkpoint).keys() == ours.keys()


@pytest.mark.parametrize("arch", DASAC_ARCHITECTURES)
def test_student_by_default_and_teacher_if_asked(
    arch: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = network_of(arch)
    path = write_dasac_file(tmp_path / "theirs.pth", arch, theirs, FINAL)
    network, checkpoint = load_network(path)
    assert f"DA-SAC checkpoint, {arch}, 19 classes, student and teacher" in capsys.readouterr().out
    assert network.config == theirs.config
    assert not network.training
    assert equal(network.state_dict(), theirs.state_dict())
    teacher, _ = load_network(path, teacher=True)
    assert equal(teacher.state_dict(), moved(theirs))
    assert checkpoint["arguments"]["dataset"] == []


@pytest.mark.parametrize(
    "arch",
    [
        pytest.param(arch, marks=pytest.mark.slow if "resnet101" in arch else [])
        for arch in DASAC_ARCHITECTURES
    ],
)
def test_there_and_back_is_exact(arch: str, tmp_path: Path) -> None:
    theirs, ours, again = (tmp_path / f"{name}.pth" for name in ("theirs", "ours", "again"))
    network = network_of(arch, 16)
    write_dasac_file(theirs, arch, network, FINAL)
    assert convert(["import", str(theirs), str(ours)]) == 0
    imported = load_checkpoint(ours)
    assert imported["network"] == network.config
    assert equal(network_state(imported), network.state_dict())
    teacher, _ = load_network(ours, teacher=True)
    assert equal(teacher.state_dict(), moved(network))
    assert convert(["export", str(ours), str(again)]) == 0
    content = torch.load(again, weights_only=True)
    assert content.keys() == {"model", "opt", "score", "epoch"}
    written = torch.load(theirs, weights_only=False)["model"]
    students = {key: value for key, value in written.items() if ".backbone." in key}
    assert equal(content["model"], students)


@pytest.mark.parametrize("written", ["after the first step", "before the teacher's first update", "by us"])
def test_a_file_without_teacher_says_so(written: str, tmp_path: Path) -> None:
    arch, path = "deeplabv2_vgg16_bn", tmp_path / "theirs.pth"
    network = network_of(arch)
    if written == "by us":
        model = {f"network.{key}": value for key, value in network.state_dict().items()}
        save_checkpoint(path, {"network": network.config, "model": model})
    else:
        write_dasac_file(path, arch, network, written == "before the teacher's first update")
        content = torch.load(path, weights_only=False)
        if "module.slow_init" in content["model"]:
            content["model"]["module.slow_init"].zero_()
        torch.save(content, path)
    assert equal(load_network(path)[0].state_dict(), network.state_dict())
    with pytest.raises(UserError, match=r"--teacher: .*theirs\.pth has none"):
        load_network(path, teacher=True)


def test_a_run_starts_from_student_and_teacher(tmp_path: Path) -> None:
    arch = "deeplabv2_vgg16_bn"
    theirs, flags = network_of(arch), arguments("--method", "sac", "--target_dataset", "cityscapes")
    for has_teacher in (BASELINE, FINAL):
        path = write_dasac_file(tmp_path / "theirs.pth", arch, theirs, has_teacher)
        method = METHODS["sac"](create_network(**theirs.config), flags)
        load_start(method, path)
        assert equal(method.network.state_dict(), theirs.state_dict())
        assert (method.teacher_iteration.item() >= 0) == has_teacher
        if has_teacher:
            assert equal(method.teacher.state_dict(), moved(theirs))
            assert torch.equal(method.prior, torch.full((19,), 0.05))


def test_flags_that_contradict_the_entries_are_refused(tmp_path: Path) -> None:
    path = write_dasac_file(tmp_path / "theirs.pth", "fcn_vgg16_bn", network_of("fcn_vgg16_bn"), BASELINE)
    for name, value, words in (
        ("output_stride", 16, "--output_stride 32, the flags say --output_stride 16"),
        ("auxiliary", True, "--no_auxiliary, the flags say an auxiliary head"),
        ("backbone", "resnet50", "--backbone vgg16_bn, the flags say --backbone resnet50"),
    ):
        with pytest.raises(UserError, match=f"was trained with {words}; drop"):
            load_network(path, {name: value})


def test_entries_that_do_not_fit_are_named(tmp_path: Path) -> None:
    arch, path = "deeplabv2_vgg16_bn", tmp_path / "theirs.pth"
    write_dasac_file(path, arch, network_of(arch), FINAL)
    content = torch.load(path, weights_only=False)
    del content["model"]["module.backbone.features.3.weight"]
    del content["model"]["module.slow_net.features.42.weight"]
    content["model"]["module.backbone.unknown.weight"] = torch.zeros(1)
    torch.save(content, path)
    with pytest.raises(UserError, match=r"1 missing \(first: backbone\.stem\.3\.weight\), 1 unexpected"):
        load_network(path)
    with pytest.raises(UserError, match=r"1 missing \(first: head\.hidden\.0\.weight\)"):
        load_network(path, teacher=True)


@pytest.mark.parametrize(
    "more", [{"output_stride": 16}, {"auxiliary": True}, {"atrous_branches": 2}, {"snr_stages": [1]}]
)
def test_what_they_do_not_have_is_not_exported(tmp_path: Path, more: dict[str, object]) -> None:
    with torch.device("meta"):
        config = create_network(**{**architecture_from_arch("deeplabv2_resnet101"), **more}).config
    save_checkpoint(tmp_path / "ours.pth", {"network": config, "model": {}})
    with pytest.raises(UserError, match="this is another"):
        convert(["export", str(tmp_path / "ours.pth"), str(tmp_path / "theirs.pth")])
    assert not (tmp_path / "theirs.pth").exists()
