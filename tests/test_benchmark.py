"""The benchmark runs and writes what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.benchmark.__main__ import main


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
        assert row["ratio"] == pytest.approx(row["seconds"] / row["reference_seconds"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
