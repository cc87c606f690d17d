"""Which weights are chosen, by which rule."""

from __future__ import annotations

import numpy as np
import pytest

from utils.scoring.metrics import class_scores
from utils.scoring.scores import DomainScore
from utils.scoring.selection import Selection


def score(miou: float) -> DomainScore:
    """A two-class score whose mIoU is ``miou``."""
    share = round(1000 * miou)
    matrix = np.array([[share, 1000 - share], [0, 0]])
    return DomainScore(class_scores(matrix, (0,), {}, False), 1)


def considered(selection: Selection, *rounds: dict[str, float]) -> list[list[str]]:
    return [
        selection.consider({name: score(miou) for name, miou in mious.items()}, 10 * number)
        for number, mious in enumerate(rounds, start=1)
    ]


def test_source_rule_looks_at_the_mean_of_the_sources_alone() -> None:
    selection = Selection("source", ["gtav", "synthia"], ["cityscapes"])
    assert selection.evaluated == ["gtav", "synthia"]
    rounds = [{"gtav": 0.2, "synthia": 0.4}, {"gtav": 0.5, "synthia": 0.0}, {"gtav": 0.3, "synthia": 0.5}]
    assert considered(selection, *rounds) == [["best"], [], ["best"]]
    assert selection.weights_of("cityscapes") == "best"
    assert selection.iteration("cityscapes", last=30) == 30
    assert selection.known("gtav").miou == pytest.approx(0.3)
    assert selection.known("cityscapes") is None


def test_oracle_keeps_the_best_of_every_unseen_domain_and_says_so() -> None:
    selection = Selection("oracle", ["gtav"], ["cityscapes", "gtav"])
    rounds = [{"gtav": 0.2, "cityscapes": 0.3}, {"gtav": 0.3, "cityscapes": 0.1}]
    assert considered(selection, *rounds) == [["best", "best_cityscapes"], ["best"]]
    assert selection.weights_of("cityscapes") == "best_cityscapes"
    assert selection.known("cityscapes").miou == pytest.approx(0.3)
    assert (selection.iteration("cityscapes", 20), selection.iteration("gtav", 20)) == (10, 20)
    assert "oracle" in selection.rule_of("best_cityscapes")
    assert "oracle" in selection.line("cityscapes", score(0.3), 10)
    assert selection.rule_of(selection.weights_of("gtav")) == "best source val"
    assert "oracle" not in selection.line("gtav", score(0.3), 10)


def test_last_rule_takes_the_last_whatever_it_scores() -> None:
    selection = Selection("last", ["gtav"], [])
    considered(selection, {"gtav": 0.4}, {"gtav": 0.1})
    assert selection.known("gtav").miou == pytest.approx(0.1)
    assert selection.iteration("gtav", last=20) == 20
    assert selection.rule_of(selection.weights_of("gtav")) == "last iteration"


def test_a_resumed_run_goes_on_with_the_weights_that_are_there() -> None:
    before = {"best": {"miou": 0.5, "iteration": 10}, "best_cityscapes": {"miou": 0.9, "iteration": 10}}
    selection = Selection("oracle", ["gtav"], ["cityscapes"])
    selection.resume(before, saved=["best"])
    assert considered(selection, {"gtav": 0.4, "cityscapes": 0.1}) == [["best_cityscapes"]]
    assert selection.iteration("gtav", 20) == 10
