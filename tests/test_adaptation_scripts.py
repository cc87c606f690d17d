"""The scripts of DA-SAC: three steps with the published settings, and its methods on CamVid by light."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from shell_scripts import SCRIPTS, by_flag, command_line, snapshot_of, started, write_camvid

import train
from datasets.sampling.importance_weights import read_importance_weights
from datasets.toycity import generate
from utils.run.checkpoint import load_checkpoint

SOURCES, NETWORKS = ("gtav", "synthia"), ("resnet101", "vgg16", "vgg16fcn")
# The published settings, by network: architecture, learning rate; of step 1 pictures per step of source and
# target, and the colour jitter; of step 3 the weight of the target's loss and the least threshold.
PUBLISHED = {
    "resnet101": ("deeplabv2_resnet101", "0.00025", 12, 8, "0.5", "5.0", "0.2"),
    "vgg16": ("deeplabv2_vgg16_bn", "0.00025", 16, 2, "0.4", "2.0", "0.1"),
    "vgg16fcn": ("fcn_vgg16_bn", "0.0005", 16, 2, "0.4", "2.0", "0.1"),
}
# Steps in the 100 epochs of step 1 and in the 200 of step 3.
ITERATIONS = {
    ("gtav", "resnet101"): (75000, 225000),
    ("gtav", "vgg16"): (56200, 225000),
    ("gtav", "vgg16fcn"): (56200, 225000),
    ("synthia", "resnet101"): (78300, 235000),
    ("synthia", "vgg16"): (58700, 235000),
    ("synthia", "vgg16fcn"): (58700, 235000),
}
# The pictures of the published list of GTAV's, and of both parts of SYNTHIA's: 9000 and 9400.
DATA = {"gtav": ("gtav_10k", "train"), "synthia": ("synthia", "trainval")}
TINY = """
    --max_iter 2 --bs_mult 2 --target_bs_mult 1 --processes_per_group 1 --crop_size 64,32 --no_pretrained
    --num_workers 0 --evaluation_height 32
""".split()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the data sets that the scripts name, in miniature."""
    root = tmp_path_factory.mktemp("data")
    generate(root, ["gtav", "synthia", "cityscapes"], train=4, val=1, size=(32, 64), seed=0, processes=1)
    # The toy's numbers are all of what is the training part of GTAV's first 10000 pictures.
    for kind in ("images", "labels"):
        folder = root / "gtav" / kind / "valid/folder_c"
        (folder / "00001.png").rename(folder / "10000.png")
    write_camvid(root / "camvid")
    return root


def planned(folder: Path, source: str, network: str, *words: str, processes: int = 4) -> list[list[str]]:
    """The command lines that adapt_sac.sh hands to Python, which here only writes them down."""
    log, python = folder / "commands", folder / "python"
    log.unlink(missing_ok=True)
    python.write_text(f'#!/bin/sh\nprintf "%s\\t" "$@" >> "{log}"\necho >> "{log}"\n')
    python.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(python), "PROCESSES": str(processes)}
    command = [SCRIPTS / "adapt_sac.sh", source, network, *words]
    subprocess.run(command, cwd=folder, env=environment, check=True)
    return [line.removesuffix("\t").split("\t") for line in log.read_text().splitlines()]


def flags_of(command: list[str]) -> tuple[str, dict[str, list[str]]]:
    """The program of a command line and its flags, without the launcher's."""
    programs = (i for i, word in enumerate(command) if word.endswith(("/train.py", "scripts.importance")))
    place = next(programs)
    return Path(command[place]).name, by_flag(command[place + 1 :])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_the_steps_are_the_published_ones(tmp_path: Path, source: str, network: str, processes: int) -> None:
    arch, lr, batch, target, jitter, weight, lower = PUBLISHED[network]
    commands = planned(tmp_path, source, network, processes=processes)
    assert all(f"--nproc_per_node={processes}" in command for command in commands) == (processes > 1)
    (first, abn), (second, importance), (third, sac) = map(flags_of, commands)
    assert (first, second, third) == ("train.py", "scripts.importance", "train.py")
    iterations = ITERATIONS[source, network]
    for method, flags, epochs in (("abn", abn, iterations[0]), ("sac", sac, iterations[1])):
        expected = dict(zip(("dataset", "city_mode"), DATA[source], strict=True))
        expected |= {"target_dataset": "cityscapes", "val_dataset": "cityscapes"}
        expected |= {"method": method, "arch": arch, "lr": lr, "poly_exp": "0", "weight_decay": "0.0005"}
        expected |= {"renormalise": "published", "max_iter": str(epochs), "class_uniform_pct": "0"}
        expected |= {"exp": f"{network}_{source}2cty_{method}", "resume": "auto"}
        assert {flag: flags[flag] for flag in expected} == {flag: [v] for flag, v in expected.items()}
        assert flags["no_gblur"] == []
    assert int(abn["bs_mult"][0]) * processes == batch
    # The released code gives every process of step 1 at least one picture of the target.
    assert int(abn["target_bs_mult"][0]) * processes == max(target, processes)
    assert (abn["crop_size"], abn["scale_min"], abn["scale_max"]) == (["640"], ["0.5"], ["2.0"])
    assert (abn["color_aug"], abn["color_jitter"]) == (["0.5"], [jitter] * 4)

    assert int(sac["bs_mult"][0]) * processes == 8
    groups = int(sac["target_bs_mult"][0]) * processes / int(sac["processes_per_group"][0])
    assert groups == 2
    assert (sac["crop_size"], sac["scale_min"], sac["scale_max"]) == (["1024,512"], ["0.5"], ["1.0"])
    assert (sac["color_aug"], sac["target_weight"], sac["confidence_lower"]) == (["0"], [weight], [lower])

    last = f"./logs/dasac/{abn['exp'][0]}/last.pth"
    assert importance["snapshot"] == sac["resume_from"] == [last]
    assert importance["output"] == sac["importance_weights"]
    assert (importance["dataset"], importance["split"]) == (["cityscapes"], ["train"])


@pytest.mark.parametrize("words", [["--ckpt", "elsewhere"], ["--ckpt=elsewhere"]])
def test_results_may_be_elsewhere(tmp_path: Path, words: list[str]) -> None:
    abn, importance, sac = planned(tmp_path, "gtav", "vgg16", *words, "--seed", "1")
    for command in (abn, sac):
        assert command[-len(words) - 2 :] == [*words, "--seed", "1"]
    # What step 2 is about is not the training's source, which may be stated, too.
    assert importance[-6:] == ["--seed", "1", "--dataset", "cityscapes", "--split", "train"]
    _, flags = flags_of(sac)
    assert flags["resume_from"] == ["elsewhere/dasac/vgg16_gtav2cty_abn/last.pth"]
    assert flags["importance_weights"] == ["elsewhere/dasac/vgg16_gtav2cty_abn/importance_weights.json"]


@pytest.mark.parametrize("words", [(), ("gtav",), ("kitti", "vgg16"), ("gtav", "vgg19")])
def test_what_it_does_not_know_is_answered_with_its_usage(words: tuple[str, ...]) -> None:
    done = subprocess.run([SCRIPTS / "adapt_sac.sh", *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


def test_processes_that_cannot_share_a_batch() -> None:
    environment = {**os.environ, "PROCESSES": "8"}
    command = [SCRIPTS / "adapt_sac.sh", "gtav", "resnet101"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: PROCESSES=8: does not divide a batch of 12 pictures; use 1, 2 or 4\n"


def test_all_steps_for_real_and_again(data: Path, tmp_path: Path) -> None:
    """What is finished is left alone, and what is missing made."""
    words = ("gtav", "vgg16", *TINY, "--data_root", str(data))
    started("adapt_sac.sh", *words, folder=tmp_path)
    runs = tmp_path / "logs/dasac"
    abn, sac = (runs / f"vgg16_gtav2cty_{method}" for method in ("abn", "sac"))
    weights = read_importance_weights(abn / "importance_weights.json")
    assert (len(weights.pictures), weights.dataset, weights.split) == (4, "cityscapes", "train")
    for folder, method in ((abn, "abn"), (sac, "sac")):
        checkpoint = load_checkpoint(folder / "last.pth")
        assert (checkpoint["method"], checkpoint["iteration"]) == (method, 2)
        results = json.loads((folder / "results.json").read_text())
        assert list(results["domains"]) == ["gtav_10k", "cityscapes"]
    log = (sac / "log.txt").read_text()
    assert "vgg16_gtav2cty_abn/last.pth" in log

    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*") if path.is_file()}
    assert started("adapt_sac.sh", *words, folder=tmp_path) == ""
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*") if path.is_file()} == before
    (sac / "results.json").unlink()
    started("adapt_sac.sh", *words, folder=tmp_path)
    assert (sac / "results.json").exists()
    assert (abn / "results.json").stat().st_mtime_ns == before[abn / "results.json"]


@pytest.mark.parametrize(
    ("source", "network"),
    [
        ("synthia", "resnet101"),
        ("synthia", "vgg16"),
        ("gtav", "vgg16fcn"),
        # Half a gigabyte of weights, and nothing in it that the others do not have.
        pytest.param("gtav", "resnet101", marks=pytest.mark.slow),
        pytest.param("synthia", "vgg16fcn", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("step", [0, 2])
def test_training_steps(
    source: str, network: str, step: int, data: Path, tmp_path: Path, kept: dict[Path, dict[str, Any]]
) -> None:
    """Steps 1 and 3, each on its own, from random weights."""
    words = planned(tmp_path, source, network, processes=1)[step][1:]
    for flag in ("--resume_from", "--importance_weights", "--resume"):
        if flag in words:
            place = words.index(flag)
            del words[place : place + 2]
    extra = [*TINY, "--data_root", str(data), "--ckpt", str(tmp_path)]
    assert train.main([*words, *extra]) == 0
    (results,) = tmp_path.glob("dasac/*/results.json")
    checkpoint = kept[results.with_name("last.pth")]
    assert (checkpoint["method"], checkpoint["iteration"]) == (("abn", "", "sac")[step], 2)
    assert not checkpoint["network"]["auxiliary"]


@pytest.mark.parametrize(("name", "method"), [("ms", "maxsquare"), ("abn", "abn"), ("sac", "sac")])
def test_camvid_from_day_to_dusk(
    name: str, method: str, data: Path, tmp_path: Path, kept: dict[Path, dict[str, Any]]
) -> None:
    snapshot = snapshot_of(tmp_path, backbone="resnet18", output_stride=32)
    program, words = command_line(SCRIPTS / f"adapt_r18_camvid_{name}.sh")
    assert program == "train.py"
    words = [snapshot if word == "$snapshot" else word for word in words]
    flags = by_flag(words)
    assert (flags["dataset"], flags["target_dataset"]) == (["camvid_day"], ["camvid_dusk"])
    assert (flags["max_iter"], flags["method"]) == (["1000"], [method])
    extra = ["--max_iter", "2", "--bs_mult", "2", "--target_bs_mult", "2", "--crop_size", "32"]
    extra += ["--class_uniform_tile", "32", "--target_crop_size", "48,32", "--num_workers", "0"]
    assert train.main([*words, *extra, "--data_root", str(data), "--ckpt", str(tmp_path)]) == 0
    (results,) = tmp_path.glob("camvid/*/results.json")
    checkpoint = kept[results.with_name("last.pth")]
    assert (checkpoint["method"], checkpoint["iteration"]) == (method, 2)
    domains = json.loads(results.read_text())["domains"]
    assert list(domains) == ["camvid_day", "camvid_seq05", "camvid_dusk"]
