"""The benchmark runs and writes what it prints."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from scripts.benchmark import processes, step
from scripts.benchmark.__main__ import main
from scripts.benchmark.curves import main as draw_curves
from utils.errors import UserError


def test_the_step_and_what_it_holds_are_measured(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output = tmp_path / "step.json"
    small = ["--backbone", "mobilenet_v2", "--crop_size", "64", "--repeats", "1", "--json", str(output)]
    assert main(["step", *small]) == 0
    figures = {row["name"]: row for row in json.loads(output.read_text())["rows"]}
    assert list(figures) == ["step, baseline", "step, ISW with masks", "memory held for the backward"]
    # What a step holds does not depend on the machine's load.
    assert figures["memory held for the backward"]["ratio"] <= 1.1
    assert "1.1" in capsys.readouterr().out


def test_what_a_figure_depends_on_is_printed_and_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    output = tmp_path / "validation.json"
    flags = "--backbone mobilenet_v2 --evaluation_size 32 64 --pictures 3 --repeats 1 --no-channels_last"
    assert main(["validation", *flags.split(), "--json", str(output)]) == 0
    written = json.loads(output.read_text())
    assert written["settings"] == {
        "what": "validation",
        "repeats": 1,
        "backbone": "mobilenet_v2",
        "pictures": 3,
        "gpu_pictures": 16,
        "crop_size": 768,
        "evaluation_size": [32, 64],
        "amp": "off",
        "channels_last": False,
    }
    assert written.keys() == {"where", "torch", "commit", "settings", "rows"}
    printed = capsys.readouterr().out.splitlines()[0]
    assert all(f"{name} {value}" in printed for name, value in written["settings"].items())


@pytest.mark.parametrize(
    ("program", "words", "said"),
    [
        (main, "validation --evaluation_size 0 0", "--evaluation_size 0 0: must be at least 2"),
        (main, "inference --evaluation_size -4 8", "--evaluation_size -4 8: must be at least 2"),
        (main, "losses --crop_size 16", "--crop_size 16: must be at least 32"),
        (main, "step --gpu_pictures 0", "--gpu_pictures 0: must be at least 2"),
        (main, "step --pictures 1", "--pictures 1: must be at least 2"),
        (main, "data --repeats 0", "--repeats 0: must be at least 1"),
        (processes.main, "--pictures 0", "--pictures 0: must be at least 2"),
        (draw_curves, "--repeats 0", "--repeats 0: must be at least 1"),
        (draw_curves, "--batch_sizes 2 1", "--batch_sizes 2 1: must be at least 2"),
        (draw_curves, "--crop_sizes 8", "--crop_sizes 8: must be at least 32"),
        (draw_curves, "--workers -1", "--workers -1: must be at least 0"),
        (draw_curves, "--processes 0", "--processes 0: must be at least 1"),
    ],
)
def test_numbers_that_make_no_sense(program: Callable[[Sequence[str]], int], words: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        program(words.split())
    assert str(error.value) == said


@pytest.mark.parametrize(("name", "peak"), [("A GPU", 1e10), ("Another", None)])
def test_the_fast_step_is_of_its_own_batch_size_and_beside_the_peak_of_a_known_gpu(
    name: str, peak: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "FAST", ("--channels_last",))
    monkeypatch.setattr(step, "PEAK_BF16", {"A GPU": 1e10})
    monkeypatch.setattr(step, "device_name", lambda device: name)
    args = argparse.Namespace(
        backbone="mobilenet_v2", crop_size=32, pictures=2, gpu_pictures=3, repeats=1, channels_last=True
    )
    before = torch.backends.cudnn.allow_tf32
    (fast,) = step.fast_rows(args, torch.device("cpu"))
    assert torch.backends.cudnn.allow_tf32 == before
    assert fast.name.startswith("step, bf16 channels_last compiled, 3 pictures, ")
    reached = re.search(r"pictures, ([\d.e+-]+) TFLOP/s, (.*)", fast.name)
    assert float(reached[1]) > 0
    if peak:
        share = float(reached[2].removesuffix("% of the peak")) / 100
        assert share == pytest.approx(float(reached[1]) * 1e12 / peak, rel=0.01, abs=1e-3)
    else:
        assert reached[2] == "the peak of Another is not known"


def test_two_processes_are_measured_against_one(tmp_path: Path) -> None:
    output = tmp_path / "processes.json"
    small = ["--backbone", "mobilenet_v2", "--crop_size", "64", "--repeats", "1", "--json", str(output)]
    assert main(["processes", *small]) == 0
    (row,) = json.loads(output.read_text())["rows"]
    assert row["ratio"] == pytest.approx(row["cost"] / row["reference_cost"])


def test_one_process_and_two_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, bool]] = []
    # The machine slows down more and more.
    costs = iter([1.0, 10.0, 2.0, 20.0, 4.0, 40.0])

    def seconds_of(args: argparse.Namespace, launcher: Sequence[str]) -> float:
        calls.append((args.repeats, bool(launcher)))
        return next(costs)

    monkeypatch.setattr(processes, "seconds_of", seconds_of)
    (row,) = processes.rows(argparse.Namespace(repeats=3), torch.device("cpu"))
    assert calls == [(1, False), (1, True)] * 3
    assert (row.reference_cost, row.cost) == (2.0, 20.0)


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("a warning\nerror: --backbone vgg: not known\n====", "--backbone vgg: not known"),
        ("Traceback (most recent call last):\nRuntimeError: broken", "RuntimeError: broken"),
        ("[rank1]: RuntimeError: broken\nChildFailedError:\n=====", "RuntimeError: broken"),
        ("No module named nothing\n", "No module named nothing"),
        ("", "exit code 1"),
    ],
)
def test_a_process_that_fails_is_quoted_with_the_command_that_shows_all(
    stderr: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failed(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", stderr)

    monkeypatch.setattr(processes.subprocess, "run", failed)
    args = argparse.Namespace(backbone="vgg", pictures=2, crop_size=64, repeats=1, channels_last=True)
    with pytest.raises(UserError) as error:
        processes.seconds_of(args, processes.TORCHRUN)
    assert str(error.value).startswith(f"{said}; to see the whole output run env OMP_NUM_THREADS=1 ")
    assert "-m torch.distributed.run --standalone" in str(error.value)
    assert str(error.value).endswith(
        "--backbone=vgg --pictures=2 --crop_size=64 --repeats=1 --channels_last --device=cpu"
    )


@pytest.mark.parametrize(
    ("what", "name", "target"),
    [
        ("isw", "isw: statistics pass per picture pair", 0.5),
        ("inference", "inference: sliding window, 48x96, 3 scales, flip", 1.15),
        ("validation", "validation: everything but the network (metric, transfer; decode excluded)", 0.03),
    ],
)
def test_evaluation_is_measured_against_the_network(
    what: str, name: str, target: float, tmp_path: Path
) -> None:
    output = tmp_path / "figures.json"
    small = "--backbone mobilenet_v2 --crop_size 48 --evaluation_size 48 96 --repeats 1 --amp bf16".split()
    assert main([what, *small, "--json", str(output)]) == 0
    (row,) = json.loads(output.read_text())["rows"]
    assert (row["name"], row["target"]) == (name, target)
    assert row["cost"] > 0
    assert row["reference_cost"] > 0
    if what == "inference":
        assert row["ratio"] > 1


def test_reliability_is_measured_against_the_network(tmp_path: Path) -> None:
    flags = "--backbone mobilenet_v2 --evaluation_size 48 96 --repeats 1 --pictures 3".split()
    figures = figures_of("reliability", tmp_path / "figures.json", *flags)
    assert list(figures) == [
        f"validation: {flag}, 3 pictures of 48x96" for flag in ("--reliability", "--calibrate")
    ]
    assert all(row["target"] == 0.1 and row["cost"] > 0 for row in figures.values())


def figures_of(what: str, output: Path, *flags: str) -> dict[str, dict]:
    assert main([what, *flags, "--json", str(output)]) == 0
    return {row["name"]: row for row in json.loads(output.read_text())["rows"]}


def test_samples_are_measured_against_the_decoding_of_their_picture(tmp_path: Path) -> None:
    figures = figures_of("data", tmp_path / "data.json", "--crop_size", "96", "--repeats", "1")
    targets = {name: row["target"] for name, row in figures.items()}
    assert targets["sample"] == 1.6
    assert targets["sample, photometric on the device"] == 1.2
    assert targets["sample, prepared"] == 0.6
    assert len({row["reference_cost"] for row in figures.values()}) == 1
    assert all(row["cost"] > 0 for row in figures.values())


def test_centroids_are_measured_against_the_decoding_of_their_label(tmp_path: Path) -> None:
    figures = figures_of("centroids", tmp_path / "centroids.json", "--crop_size", "96", "--repeats", "1")
    assert figures["centroids"]["target"] == 1.3


@pytest.mark.slow
def test_losses_are_measured_against_the_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "losses.json"
    small = ["--backbone", "mobilenet_v2", "--crop_size", "448", "--repeats", "1"]
    assert main(["losses", *small, "--json", str(output)]) == 0
    figures = json.loads(output.read_text())["rows"]
    names = [row["name"] for row in figures]
    assert names == [
        "BlindNet, covariance alignment",
        "BlindNet, CWCL",
        "BlindNet, SDCL",
        "BlindNet, all four",
        "DIIA, coarse layout",
    ]
    for row in figures:
        assert row["ratio"] == pytest.approx(row["cost"] / row["reference_cost"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)


@pytest.mark.slow
def test_curves_are_drawn(tmp_path: Path) -> None:
    output = tmp_path / "speed.png"
    small = "--backbone mobilenet_v2 --repeats 1 --batch_sizes 2 --crop_sizes 64 --workers 0 --processes 1"
    assert draw_curves([*small.split(), "--output", str(output)]) == 0
    with Image.open(output) as picture:
        assert picture.width > 1000
