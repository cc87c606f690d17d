"""What train.py says at the end of a run of which a published score is known."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace

import pytest

import train
from datasets.toycity.generation import MANIFEST
from utils.run.run_folder import RunFolder


def test_published_scores_of_such_a_run_stand_beside_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(str(tmp_path), "0101", "isw")
    domains = {"cityscapes": {"miou": 0.35}, "gtav": {"miou": None}}
    args = argparse.Namespace(method="isw", dataset=["gtav"], relax_denom=0.0)
    network = {"backbone": "resnet50", "output_stride": 16, "wt_layer": [0, 0, 2, 2, 2, 0, 0]}
    run = SimpleNamespace(folder=folder, args=args, architecture=network)
    data = tmp_path / "gtav"
    data.mkdir()
    with folder:
        folder.open({})
        folder.results({"domains": domains, "folders": {"gtav": str(data)}})
        train.Run.show_published(run)
        assert "published, RobustNet ISW: cityscapes 36.58 (here 35.00)" in capsys.readouterr().out
        (data / MANIFEST).touch()
        train.Run.show_published(run)
    assert "published" not in capsys.readouterr().out
