import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from utils.files import write_json
from utils.scoring.metrics import class_scores
from utils.scoring.scores import (
    DomainScore,
    class_table,
    corruption_table,
    domain_table,
    percent,
    results,
    subset_means,
)

NAMES = ("road", "sky", "train")


def score() -> DomainScore:
    scores = class_scores(np.array([[6, 4, 0], [2, 8, 0], [0, 0, 0]]))
    return DomainScore(scores, pictures=5, subset_miou=subset_means(scores, {1: [0]}))


def test_absent_class_is_a_dash() -> None:
    lines = class_table(score(), NAMES).splitlines()
    assert lines[2].split() == ["road", "50.00", "75.00", "60.00"]
    assert lines[4].split() == ["train", "-", "-", "-"]
    assert lines[-1].split()[:2] == ["mean", "53.57"]


def test_smaller_class_sets_are_printed_beside() -> None:
    table = domain_table({"synthia": score()})
    assert "synthia (1 classes)" in table
    assert table.splitlines()[-1].split()[-1] == "50.00"


def test_results_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    content = results({"gtav": score()}, NAMES, "full", "best.pth", selection="best source val")
    write_json(path, content, "free space")
    content = json.loads(path.read_text())
    assert content["protocol"] == "full"
    assert content["checkpoint"] == "best.pth"
    assert content["commit"]
    domain = content["domains"]["gtav"]
    assert domain["images"] == 5
    assert domain["iou"]["train"] is None
    assert abs(domain["iou"]["road"] - 0.5) < 1e-12
    assert abs(domain["miou"] - (6 / 12 + 8 / 14) / 2) < 1e-12


def test_groups_have_rows_of_their_own_beside_all_together_and_their_mean() -> None:
    right, wrong = class_scores(np.diag([9, 1])), class_scores(np.array([[0, 1], [9, 0]]))
    groups = {"fog": DomainScore(right, 2), "night": DomainScore(wrong, 3)}
    whole = DomainScore(class_scores(np.array([[9, 1], [9, 1]])), 5, groups=groups)
    rows = [line.rsplit(maxsplit=3) for line in domain_table({"acdc": whole}).splitlines()[2:]]
    assert [row[0] for row in rows[:2]] == ["acdc (fog)", "acdc (night)"]
    assert domain_table({"acdc": whole}).splitlines()[4].split() == "acdc (mean of conditions) 50.00".split()
    assert rows[3] == ["acdc (all together)", percent(whole.miou), "50.00", "5"]
    content = results({"acdc": whole}, ("a", "b"), "full", "best.pth")["domains"]["acdc"]
    assert content["mean_of_conditions"] == 0.5
    assert content["conditions"]["fog"]["miou"] == 1
    assert content["conditions"]["night"]["images"] == 3


def under_corruptions() -> DomainScore:
    """Two corruptions at two severities; at one of them no class is present."""
    return replace(score(), corruptions={"fog": {1: 0.5, 2: 0.25}, "snow": {1: 0.3, 2: float("nan")}})


def test_means_of_corruptions_are_over_severities_and_then_over_corruptions() -> None:
    assert under_corruptions().means_of_corruptions == {"fog": 0.375, "snow": 0.3}
    assert under_corruptions().mean_of_corruptions == pytest.approx(0.3375)
    rows = [line.split() for line in corruption_table(under_corruptions()).splitlines()]
    assert rows[0] == ["corruption", "1", "2", "mean"]
    assert rows[2:4] == [["fog", "50.00", "25.00", "37.50"], ["snow", "30.00", "-", "30.00"]]
    assert rows[4] == ["mean", "of", "2", "40.00", "25.00", "33.75"]
    assert rows[5] == ["clean", percent(score().miou)]


def test_results_hold_corruptions_only_if_there_are_some() -> None:
    domains = {"a": score(), "b": under_corruptions()}
    content = results(domains, NAMES, "full", "best.pth")["domains"]
    assert "corruptions" not in content["a"]
    of_fog = {"1": 0.5, "2": 0.25, "mean": 0.375}
    of_snow = {"1": 0.3, "2": None, "mean": 0.3}
    assert content["b"]["corruptions"] == {"fog": of_fog, "snow": of_snow, "mean": pytest.approx(0.3375)}
