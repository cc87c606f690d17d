"""Which network a file of the RobustNet family holds; files of theirs to ours and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from families import write_family_file, write_family_file_of
from programs import ISW, train_arguments
from torch import nn

import train
import valid
from network import architecture_from_arch, create_network
from network.legacy import foreign_file
from network.legacy.__main__ import main as convert
from network.legacy.robustnet import FAMILY_BACKBONES
from network.legacy.robustnet_names import to_family
from network.restore import load_network, load_start
from utils.errors import UserError
from utils.run.checkpoint import load_checkpoint, network_state

BASE, IBN, PUBLISHED = (0,) * 7, (0, 0, 4, 4, 4, 0, 0), (0, 0, 2, 2, 2, 0, 0)


def family_content(
    backbone: str, codes: Sequence[int] = BASE, command: str | None = None, head: str = "deeplabv3plus"
) -> dict[str, Any]:
    """What the family would store of a network: no values, only names and shapes."""
    with torch.device("meta"):
        state = create_network(backbone, head, 13, output_stride=32, wt_layer=codes).state_dict()
    content: dict[str, Any] = {"state_dict": {f"module.{k}": v for k, v in to_family(state).items()}}
    return {**content, "command": command} if command else content


def recognised(content: dict[str, Any], **stated: object) -> dict[str, Any]:
    return foreign_file(content, "theirs.pth").network(stated)


@pytest.mark.parametrize("backbone", FAMILY_BACKBONES)
def test_every_backbone_is_recognised(backbone: str) -> None:
    config = recognised(family_content(backbone, IBN))
    assert (config["backbone"], config["num_classes"]) == (backbone, 13)
    assert config["wt_layer"] == list(IBN)
    assert config["partial_dilation"] == backbone.startswith(("mobilenet", "shufflenet"))
    assert config["output_stride"] == {"resnet18": 32, "resnet152": 8}.get(backbone, 16)


@pytest.mark.parametrize(
    "backbone, codes",
    [
        ("resnet50", BASE),
        ("resnet50", (0, 0, 5, 5, 5, 0, 0)),
        ("resnet101_3x3stem", (4, 4, 0, 4, 4, 0, 0)),
        ("shufflenet_v2_x1_0", (0, 0, 4, 4, 4, 0, 4)),
    ],
)
def test_codes_that_entries_tell(
    backbone: str, codes: Sequence[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert recognised(family_content(backbone, codes))["wt_layer"] == list(codes)
    assert f"--wt_layer {' '.join(map(str, codes))} (by its entries, if sites" in capsys.readouterr().out


def test_the_head_of_diia_is_recognised(capsys: pytest.CaptureFixture[str]) -> None:
    command = "train.py --arch network.deepv3.DeepR50V3PlusD --wt_layer 0 0 2 2 2 0 0"
    config = recognised(family_content("resnet50", PUBLISHED, command, head="aggregation"))
    assert (config["head"], config["num_classes"], config["output_stride"]) == ("aggregation", 13, 16)
    assert "DIIA checkpoint, resnet50" in capsys.readouterr().out


@pytest.mark.parametrize(
    "backbone, codes, told",
    [
        ("resnet50", PUBLISHED, "2: 1 or 2 or 3, 3: 0 or 1 or 2 or 3"),
        ("resnet101_3x3stem", (2, 2, 0, 2, 2, 0, 0), "0: 1 or 2 or 3, 1: 1 or 2 or 3, 2: 0,"),
        ("mobilenet_v2", BASE, "2: 0 or 1 or 2 or 3"),
        ("shufflenet_v2_x1_0", BASE, "6: 0 or 1 or 2 or 3"),
        ("mnasnet1_0", PUBLISHED, "2: 0 or 1 or 2 or 3"),
    ],
)
def test_codes_that_entries_do_not_tell_are_asked_for(backbone: str, codes: Sequence[int], told: str) -> None:
    content = family_content(backbone, codes)
    with pytest.raises(UserError, match=rf"theirs\.pth.*{told}.*state --wt_layer"):
        recognised(content)
    assert recognised(content, wt_layer=list(codes))["wt_layer"] == list(codes)
    assert recognised(
        {**content, "command": f"train.py --arch DeepR --wt_layer {' '.join(map(str, codes))}"},
        backbone=backbone,
    )["wt_layer"] == list(codes)


def test_the_command_line_in_a_file_tells_what_the_flags_do_not() -> None:
    command = "train.py --arch network.deepv3.DeepR50V3PlusD_OS8 --wt_layer 0 0 2 2 2 0 0 --image_in"
    content = family_content("resnet50", PUBLISHED, command)
    config = recognised(content)
    assert (config["output_stride"], config["wt_layer"]) == (8, list(PUBLISHED))
    assert config["per_image_input"]
    config = recognised(content, output_stride=16, wt_layer=[0, 0, 3, 3, 3, 0, 0])
    assert (config["output_stride"], config["wt_layer"]) == (16, [0, 0, 3, 3, 3, 0, 0])
    # The family's default is no site at all.
    base = family_content("mobilenet_v2", BASE, "train.py --arch network.deepv3.DeepMobileNetV3PlusD")
    assert recognised(base)["wt_layer"] == list(BASE)


@pytest.mark.parametrize(
    "command, stated, message",
    [
        ("", {"wt_layer": [0] * 7}, "entries allow code 1 or 2 or 3 at site 2, the flags say 0"),
        ("--arch DeepR50V3PlusD --wt_layer 0 0 4 4 4 0 0", {}, "at site 2, the training command line in it"),
        ("--arch DeepR50V3PlusD --wt_layer 0 0 2 2 4 0 0", {}, "at site 4, the training command line in it"),
        ("--arch DeepR18V3PlusD --wt_layer 0 0 2 2 2 0 0", {}, "are of resnet50.* in it says resnet18"),
        ("--arch DeepR999 --wt_layer 0 0 2 2 2 0 0", {}, "--arch DeepR999, which is unknown"),
        ("", {"backbone": "resnet101"}, "entries are of resnet50, the flags say resnet101"),
    ],
)
def test_contradictions_are_named(command: str, stated: dict[str, object], message: str) -> None:
    content = family_content("resnet50", PUBLISHED, f"train.py {command}")
    with pytest.raises(UserError, match=message):
        recognised(content, **stated)


@pytest.mark.parametrize(
    "backbone, arch, typed, built",
    [
        ("resnet50", "DeepR50V3PlusD", "2 2 0 2 2 0 0", (0, 0, 0, 2, 2, 0, 0)),
        ("mobilenet_v2", "DeepMobileNetV3PlusD", "2 0 2 2 2 0 2", PUBLISHED),
        ("mobilenet_v2", "DeepMobileNetV3PlusD", "0 0 5 5 5 0 0", BASE),
        ("shufflenet_v2_x1_0", "DeepShuffleNetV3PlusD", "0 0 0 5 5 0 0", BASE),
    ],
)
def test_codes_that_the_family_ignored(backbone: str, arch: str, typed: str, built: Sequence[int]) -> None:
    content = family_content(backbone, built, f"train.py --arch {arch} --wt_layer {typed}")
    assert recognised(content)["wt_layer"] == list(built)


@pytest.mark.parametrize(
    "backbone, arch, typed, built",
    [
        ("mobilenet_v2", "DeepMobileNetV3PlusD", (0, 0, 2, 2, 0, 0, 2), (0, 0, 2, 2, 0, 0, 0)),
        ("mobilenet_v2", "DeepMobileNetV3PlusD", (2, 0, 2, 2, 2, 0, 0), PUBLISHED),
    ],
)
def test_a_run_starts_from_the_codes_that_the_family_built(
    tmp_path: Path, backbone: str, arch: str, typed: Sequence[int], built: Sequence[int]
) -> None:
    method = nn.Module()
    method.network = create_network(backbone, wt_layer=built, partial_dilation=True)
    path = write_family_file_of(tmp_path / "theirs.pth", method.network, arch=arch, wt_layer=typed)
    assert load_network(path)[0].config == method.network.config
    load_start(method, path)
    method.network = create_network(backbone, wt_layer=BASE, partial_dilation=True)
    words = " ".join(map(str, built))
    with pytest.raises(UserError, match=f"was trained with --wt_layer {words}, .* --wt_layer 0 0 0 0 0 0 0;"):
        load_start(method, path)


@pytest.mark.parametrize(
    "other, words",
    [
        ({"output_stride": 8}, "--output_stride 16, this network has --output_stride 8;"),
        ({"per_image_input": False}, "--image_in, this network has no --image_in;"),
        ({"partial_dilation": False}, r"partial_dilation True \(see --arch\), "),
    ],
)
def test_a_run_of_another_network_than_the_command_line_tells_is_refused(
    tmp_path: Path, other: dict[str, object], words: str
) -> None:
    trained = {"output_stride": 16, "per_image_input": True, "partial_dilation": True}
    method = nn.Module()
    method.network = create_network("mobilenet_v2", **trained)
    path = write_family_file_of(
        tmp_path / "theirs.pth", method.network, arch="DeepMobileNetV3PlusD --image_in"
    )
    load_start(method, path)
    method.network = create_network("mobilenet_v2", **(trained | other))
    with pytest.raises(UserError, match=f"was trained with {words}"):
        load_start(method, path)
    load_start(method, path, partial=True)


def test_an_unknown_architecture_in_the_command_line_tells_no_output_stride(tmp_path: Path) -> None:
    method = nn.Module()
    method.network = create_network("mobilenet_v2", output_stride=8)
    load_start(method, write_family_file_of(tmp_path / "theirs.pth", method.network, arch="DeepR999"))


def test_a_run_starts_from_an_imported_shufflenet_at_output_stride_32(tmp_path: Path) -> None:
    architecture = architecture_from_arch("network.deepv3.DeepShuffleNetV3PlusD_OS32")
    method = nn.Module()
    method.network = create_network(**architecture)
    theirs, ours = tmp_path / "theirs.pth", tmp_path / "ours.pth"
    write_family_file_of(theirs, method.network, arch="DeepShuffleNetV3PlusD_OS32")
    assert convert(["import", str(theirs), str(ours)]) == 0
    assert load_checkpoint(ours)["network"] == method.network.config
    load_start(method, ours)


def test_a_stem_without_any_normalisation_is_refused() -> None:
    command = "train.py --arch DeepShuffleNetV3PlusD --wt_layer 0 0 5 5 5 0 0"
    with pytest.raises(UserError, match="normalises nothing"):
        recognised(family_content("shufflenet_v2_x1_0", BASE, command))


@pytest.mark.parametrize(
    "content", [{}, [torch.ones(1)], {"state_dict": {"final2.0.weight": torch.ones(19, 256, 1, 1)}}]
)
def test_other_files_are_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth: (not an UrbanDG|its entries are of no backbone)"):
        load_network(tmp_path / "other.pth")
    method = nn.Module()
    method.network = create_network("mobilenet_v2")
    with pytest.raises(UserError, match=r"other\.pth: (not an UrbanDG|keys do not fit)"):
        load_start(method, tmp_path / "other.pth")


def test_norms_that_the_familys_shufflenet_bypasses_are_dropped(tmp_path: Path) -> None:
    theirs = create_network("shufflenet_v2_x1_0", partial_dilation=True)
    path = write_family_file_of(tmp_path / "theirs.pth", theirs)
    network, _ = load_network(path, {"wt_layer": [0, 0, 2, 2, 2, 0, 2]})
    dropped = theirs.state_dict().keys() - network.state_dict().keys()
    assert {key.rpartition(".")[0] for key in dropped} == {"backbone.stem.0.1", "backbone.layer4.1"}
    assert network.config["partial_dilation"]


def test_every_entry_must_fit(tmp_path: Path) -> None:
    state = to_family(create_network("mobilenet_v2").state_dict())
    first = next(iter(state))
    damaged = {key: value for key, value in state.items() if key != first}
    path = write_family_file(tmp_path / "cut.pth", damaged, "DeepMobileNetV3PlusD", BASE)
    with pytest.raises(UserError, match=r"cut\.pth.* 1 missing \(first: backbone\.stem\.0\.0\.weight\)"):
        load_network(path)
    path = write_family_file(tmp_path / "more.pth", {**state, "swap.weight": state[first]})
    with pytest.raises(UserError, match=r"more\.pth.* 1 unexpected \(first: swap\.weight\)"):
        load_network(path, {"wt_layer": list(BASE)})


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_bare_state_dict(tmp_path: Path, prefix: str) -> None:
    torch.manual_seed(1)
    theirs = create_network("mobilenet_v2", wt_layer=IBN, partial_dilation=True)
    torch.save({f"{prefix}{k}": v for k, v in to_family(theirs.state_dict()).items()}, tmp_path / "bare.pth")
    network, _ = load_network(tmp_path / "bare.pth")
    assert network.config == theirs.config
    assert all(torch.equal(network.state_dict()[key], value) for key, value in theirs.state_dict().items())


def test_training_starts_from_a_family_file(toycity: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    theirs = create_network("mobilenet_v2", wt_layer=PUBLISHED, partial_dilation=True)
    path = write_family_file_of(tmp_path / "theirs.pth", theirs)
    flags = ["--max_iter", "1", "--lr", "0", *ISW, "--cov_stat_epoch", "5"]
    assert train.main(train_arguments(toycity, tmp_path, *flags, "--snapshot", str(path))) == 0
    trained = load_checkpoint(tmp_path / "default" / "tiny" / "last.pth")
    assert trained["iteration"] == 1
    weights = dict(theirs.named_parameters())
    assert all(torch.equal(network_state(trained)[key], value) for key, value in weights.items())
    assert not any(value.any() for key, value in trained["model"].items() if key.startswith("mask"))

    imported = tmp_path / "imported.pth"
    assert convert(["import", str(path), str(imported), "--wt_layer", *"0 0 2 2 2 0 0".split()]) == 0
    again = train_arguments(toycity, tmp_path, *flags, "--exp", "again")
    with pytest.raises(UserError, match="weights alone"):
        train.main([*again, "--resume", str(imported)])
    assert train.main([*again, "--snapshot", str(imported)]) == 0


def test_training_takes_what_fits_only_if_asked(toycity: Path, tmp_path: Path) -> None:
    path = write_family_file_of(tmp_path / "theirs.pth", create_network("mobilenet_v2", num_classes=13))
    arguments = train_arguments(toycity, tmp_path, "--max_iter", "1", "--snapshot", str(path))
    with pytest.raises(UserError, match="4 misshapen"):
        train.main(arguments)
    assert train.main([*arguments, "--partial_load"]) == 0


def test_valid_scores_a_family_file(toycity: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    network = create_network("mobilenet_v2", partial_dilation=True)
    path = write_family_file_of(
        tmp_path / "theirs.pth", network, arch="DeepMobileNetV3PlusD --dataset atlantis"
    )
    arguments = ["--snapshot", str(path), "--data_root", str(toycity), "--num_workers", "0"]
    assert valid.main([*arguments, "--evaluation_height", "64", "--val_dataset", "gtav"]) == 0
    printed = capsys.readouterr().out
    assert "RobustNet checkpoint, mobilenet_v2, output stride 16 (trained so)" in printed
    with pytest.raises(UserError, match="entries are of mobilenet_v2"):
        valid.main([*arguments, "--val_dataset", "gtav", "--backbone", "resnet50"])
