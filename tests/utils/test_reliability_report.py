"""Reliability for people and programs: the table, the JSON, and the diagrams."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from utils.files import write_json
from utils.scoring.metrics import class_scores
from utils.scoring.reliability import BINS, Reliability, ReliabilityScores
from utils.scoring.reliability_diagram import BAR, HEIGHT, SURE, UNSURE, WIDTH, reliability_diagram
from utils.scoring.reliability_report import reliability_table, write_diagrams
from utils.scoring.scores import DomainScore, results


def reliability(*temperatures: float, right: float = 0.8, sureness: float = 4.0) -> ReliabilityScores:
    """Of a picture of two classes, left and right, of which a share is predicted right."""
    label = (torch.arange(40) >= 20).long().expand(1, 30, 40)
    prediction = torch.where(torch.rand(1, 30, 40) < right, label, 1 - label)
    logits = sureness * torch.nn.functional.one_hot(prediction, 2).movedim(-1, 1).float()
    measure = Reliability(2, temperatures=temperatures)
    measure.update(prediction, label, logits)
    return measure.scores()


def score(scores: ReliabilityScores | None, **groups: DomainScore) -> DomainScore:
    return DomainScore(class_scores(np.diag([5, 5])), 3, groups=groups, reliability=scores)


def test_domains_and_groups_have_rows_before_and_after_calibration() -> None:
    groups = {name: score(reliability(1.0, 3.0)) for name in ("fog", "night")}
    table = reliability_table(
        {"gtav": score(reliability(1.0, 3.0)), "acdc": score(reliability(1.0, 3.0), **groups)}
    )
    header, _, *lines = table.splitlines()
    names = ["gtav", "acdc (fog)", "acdc (night)", "acdc (all together)"]
    assert [line.partition("  ")[0] for line in lines] == [
        title for name in names for title in (name, f"{name}, calibrated")
    ]
    for column in ("ECE", "AUROC", "FPR95", "AUPR-error", "Brier", "boundary IoU", "boundary F"):
        assert column in header
    before, after = (line.rsplit("  ")[-1].split() for line in lines[:2])
    assert len(lines[0].split()) == 8
    assert len(lines[1].split()) == 7
    assert before != after


def test_what_was_not_measured_has_no_row_and_no_file(tmp_path: Path) -> None:
    assert len(reliability_table({"gtav": score(None)}).splitlines()) == 2
    write_diagrams(tmp_path / "scores.json", {"gtav": score(None)})
    assert list(tmp_path.iterdir()) == []


def test_results_hold_every_number_of_domains_and_groups(tmp_path: Path) -> None:
    scores = reliability(1.0, 3.0)
    content = results({"acdc": score(scores, fog=score(scores))}, ("a", "b"), "full", "best.pth")
    write_json(tmp_path / "scores.json", content, "free space")
    domain = json.loads((tmp_path / "scores.json").read_text())["domains"]["acdc"]
    found = domain["reliability"]
    assert domain["conditions"]["fog"]["reliability"] == found
    assert found["ece"] == pytest.approx(scores.confidences[0].ece)
    assert found["calibrated"]["temperature"] == 3
    assert found["boundary_iou"] == pytest.approx(np.mean(list(found["boundary_iou_of_classes"].values())))
    assert [each["up_to"] for each in found["bins"]] == [number / BINS for number in range(1, BINS + 1)]
    assert sum(each["pixels"] for each in found["bins"]) == 1200
    assert found["bins"][0]["accuracy"] is None
    assert "reliability" not in results({"a": score(None)}, ("a", "b"), "full", "x")["domains"]["a"]


def test_a_diagram_has_a_panel_for_each_temperature() -> None:
    one, two = (reliability_diagram("gtav", reliability(*t).confidences) for t in ((1.0,), (1.0, 2.0)))
    assert (one.size, two.size) == ((WIDTH, HEIGHT), (2 * WIDTH, HEIGHT))
    assert np.array_equal(np.array(two)[:, :WIDTH], np.array(one))


@pytest.mark.parametrize(("right", "shown"), [(0.5, SURE), (1.0, UNSURE)])
def test_a_gap_has_the_colour_of_its_direction(right: float, shown: tuple[int, int, int]) -> None:
    picture = np.array(reliability_diagram("gtav", reliability(1.0, right=right, sureness=2.0).confidences))

    def area(colour: tuple[int, int, int]) -> int:
        return (picture == colour).all(-1).sum()

    # The legend shows all three.
    (hidden,) = {SURE, UNSURE} - {shown}
    assert area(shown) > 2 * area(hidden)
    assert area(BAR) > 2 * area(hidden)


def test_pictures_are_named_after_the_output_and_the_number_of_the_checkpoint(tmp_path: Path) -> None:
    scores = {"gtav": score(reliability(1.0)), "kitti": score(reliability(1.0))}
    write_diagrams(tmp_path / "scores.json", scores)
    write_diagrams(tmp_path / "scores.json", {"gtav": scores["gtav"]}, number=2)
    names = ["scores_2_gtav_reliability.png", "scores_gtav_reliability.png", "scores_kitti_reliability.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    with Image.open(tmp_path / names[0]) as picture:
        assert picture.size == (WIDTH, HEIGHT)


def test_a_domain_without_pixels_is_drawn_empty() -> None:
    measure = Reliability(2)
    scores = measure.scores()
    assert reliability_diagram("gtav", scores.confidences).size == (WIDTH, HEIGHT)
    table = reliability_table({"gtav": score(scores)})
    assert table.splitlines()[-1].split() == ["gtav", *["-"] * 7]
