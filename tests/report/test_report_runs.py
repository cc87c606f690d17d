"""Which runs are one row, and what of their folders counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_runs import domain_results, reliability, write_experiment, write_run

from scripts.report.runs import find_runs, grouped
from utils.errors import UserError


def names(*folders: Path) -> dict[str, list[int | None]]:
    """Row -> its seeds."""
    return {group.name: [run.seed for run in group.runs] for group in grouped(find_runs(folders)[0])}


def test_runs_that_differ_in_their_seed_are_one_row(tmp_path: Path) -> None:
    write_experiment(tmp_path, {"baseline": 0, "isw": 5}, seeds=(1, 2))
    write_run(tmp_path / "other" / "ibn_7", 7, {"gtav": 1.0}, exp="ibn_7")
    write_run(tmp_path / "resnet50", 0, {"gtav": 1.0})
    assert names(tmp_path) == {"baseline": [1, 2], "isw": [1, 2], "ibn": [7], "resnet50": [0]}


def test_other_settings_make_another_row(tmp_path: Path) -> None:
    for seed, rate in ((1, 0.1), (2, 0.1), (3, 0.2)):
        write_run(tmp_path / f"isw-seed{seed}", seed, {"gtav": 50.0}, lr=rate, data_root=f"/data{seed}")
    assert names(tmp_path) == {"isw (lr 0.1)": [1, 2], "isw (lr 0.2)": [3]}


def test_one_seed_twice_is_named(tmp_path: Path) -> None:
    for place in ("a", "b"):
        write_run(tmp_path / place / "isw-seed1", 1, {"gtav": 50.0})
    with pytest.raises(UserError, match="isw-seed1: isw has seed 1 twice"):
        names(tmp_path)


def test_a_run_without_scores_is_left_out_and_named(tmp_path: Path) -> None:
    write_run(tmp_path / "isw-seed1", 1, {"gtav": 50.0})
    (write_run(tmp_path / "isw-seed2", 2, {"gtav": 50.0}) / "results.json").unlink()
    runs, unfinished = find_runs([tmp_path])
    assert [run.name for run in runs] == ["isw-seed1"]
    assert unfinished == [tmp_path / "isw-seed2"]


@pytest.mark.parametrize("content", [None, "{", "[]", '{"domains": {}}', '{"domains": {"gtav": 3}}'])
def test_a_folder_without_results_is_named(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(UserError, match=r"holds no results\.json of train\.py"):
        find_runs([tmp_path])


def test_results_of_valid_complete_those_of_the_same_weights(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "isw-seed1", 1, {"gtav": 50.0, "cityscapes": 30.0})
    scored = {"cityscapes": domain_results(0.99, reliability=reliability(0.1)), "acdc": domain_results(0.2)}
    content = {"checkpoint": "best.pth", "protocol": "robustnet", "split": "val", "domains": scored}
    (folder / "more.json").write_text(json.dumps([content]))
    (folder / "test.json").write_text(
        json.dumps({**content, "split": "test", "domains": {"kitti": scored["acdc"]}})
    )
    other = {**content, "checkpoint": "last.pth", "domains": {"synthia": scored["acdc"]}}
    (folder / "other.json").write_text(json.dumps(other))
    (run,) = find_runs([folder])[0]
    assert run.scores == pytest.approx({"gtav": 50.0, "cityscapes": 30.0, "acdc": 20.0})
    assert run.domains["cityscapes"]["reliability"]["ece"] == 0.1


def test_time_and_hardware_are_those_of_all_sessions(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "isw-seed1", 1, {"gtav": 50.0})
    (session,) = json.loads((folder / "sessions.json").read_text())
    on_cpu = {**session, "accelerated": False, "device": "2 CPU threads", "processes": 1, "seconds": 600}
    (folder / "sessions.json").write_text(json.dumps([session, session, on_cpu]))
    (run,) = find_runs([folder])[0]
    assert (run.seconds, run.gpu_hours) == (4200, 4.0)
    assert run.hardware == "4 x GPU X; 1 x 2 CPU threads, CPU Y"
