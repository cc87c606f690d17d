"""The benchmark runs and writes what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from scripts.benchmark.__main__ import main
from scripts.benchmark.curves import main as draw_curves


def test_the_step_and_what_it_holds_are_measured(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output = tmp_path / "step.json"
    small = ["--backbone", "mobilenet_v2", "--crop_size", "64", "--repeats", "1", "--json", str(output)]
    assert main(["step", *small]) == 0
    figures = {row["name"]: row for row in json.loads(output.read_text())["rows"]}
    assert list(figures) == ["step, baseline", "step, ISW with masks", "memory held for the backward"]
    # What a step holds does not depend on the machine's load.
    assert figures["memory held for the backward"]["ratio"] <= 1.1
    assert "1.1" in capsys.readouterr().out


def test_two_processes_are_measured_against_one(tmp_path: Path) -> None:
    output = tmp_path / "processes.json"
    small = ["--backbone", "mobilenet_v2", "--crop_size", "64", "--repeats", "1", "--json", str(output)]
    assert main(["processes", *small]) == 0
    (row,) = json.loads(output.read_text())["rows"]
    assert row["ratio"] == pytest.approx(row["cost"] / row["reference_cost"])


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
