"""Anomaly scores and what is counted of them, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from host_waits import CPU, META, NoHostWaits
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from torch import Tensor

from utils.scoring.anomaly import (
    BINS,
    AnomalyCounts,
    Detection,
    anomaly_results,
    anomaly_scores,
    anomaly_table,
    bins_of,
    detection,
)

SHARE_OF_A_BIN = 2**-11


def random_batch(pictures: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits of 19 classes, B x 19 x H x W, whose doubt tells some of the anomalies, and labels B x H x W."""
    random = torch.Generator().manual_seed(seed)
    label = torch.rand(pictures, 96, 128, generator=random)
    label = torch.where(label < 0.9, 0, torch.where(label < 0.95, 1, 255))
    logits = 2 * torch.randn(pictures, 19, 96, 128, generator=random)
    sure = torch.where(label == 1, 1.0, 12.0)[:, None] * torch.rand(pictures, 1, 96, 128, generator=random)
    logits[:, 3:4] += sure
    return logits, label


def counted(logits: Tensor, label: Tensor, probabilities: bool = False) -> AnomalyCounts:
    counts = AnomalyCounts(probabilities=probabilities)
    counts.update(logits.max(1).indices, label, logits)
    return counts


def of_sklearn(score: np.ndarray, anomalous: np.ndarray) -> Detection:
    false, true, _ = roc_curve(anomalous, score, drop_intermediate=False)
    ap, auroc = average_precision_score(anomalous, score), roc_auc_score(anomalous, score)
    return Detection(ap, auroc, false[true >= 0.95].min())


def numbers(found: Detection) -> list[float]:
    return [found.ap, found.auroc, found.fpr95]


def test_scores_are_what_they_are_called() -> None:
    logits = torch.tensor([[2.0, 0.0], [1.0, 0.0], [-3.0, 0.0]]).reshape(3, 1, 2)
    scores = anomaly_scores(logits)
    first = np.exp([2.0, 1.0, -3.0]) / np.exp([2.0, 1.0, -3.0]).sum()
    assert scores["max_softmax"].flatten().tolist() == pytest.approx([1 - first[0], 2 / 3])
    assert scores["max_logit"].flatten().tolist() == [-2, 0]
    assert scores["entropy"].flatten().tolist() == pytest.approx([-(first * np.log(first)).sum(), np.log(3)])
    assert {each.dtype for each in scores.values()} == {torch.float32}


def test_probabilities_have_no_largest_logit() -> None:
    logits, _ = random_batch(1)
    of_logits, of_softmax = anomaly_scores(logits[0]), anomaly_scores(logits[0].softmax(0), True)
    assert of_softmax.keys() == {"max_softmax", "entropy"}
    for name, score in of_softmax.items():
        assert torch.equal(score, of_logits[name])


def test_bins_have_the_order_of_the_scores_and_are_narrow() -> None:
    random = torch.randn(20_000) * torch.logspace(-30, 30, 20_000)
    scores = torch.cat([random, torch.tensor([0.0, torch.inf, -torch.inf])]).sort().values
    bins = bins_of(scores)
    assert bins.min() >= 0 and bins.max() < BINS
    assert (bins.diff() >= 0).all()
    same = bins.diff() == 0
    assert (scores.diff().abs()[same] <= SHARE_OF_A_BIN * scores[1:].abs()[same]).all()
    assert bins_of(torch.tensor([-0.0])) == bins_of(torch.tensor([0.0]))


@pytest.mark.parametrize("seed", range(3))
def test_numbers_are_those_of_scikit_learn(seed: int) -> None:
    logits, label = random_batch(seed=seed)
    score, counts = counted(logits, label).score(), (label != 255).numpy()
    anomalous = label.numpy()[counts] == 1
    assert (score.pictures, score.anomalous_pixels) == (3, anomalous.sum())
    assert score.known_pixels == (~anomalous).sum()
    assert set(score.detections) == {"max_softmax", "max_logit", "entropy"}
    for name, found in score.detections.items():
        exact = torch.stack([anomaly_scores(each)[name] for each in logits])[counts]
        # Equal up to the bins, and the bins cost little.
        assert numbers(found) == pytest.approx(numbers(of_sklearn(bins_of(exact), anomalous)), abs=1e-12)
        assert numbers(found) == pytest.approx(numbers(of_sklearn(exact, anomalous)), abs=3e-4)
        assert 0.1 < found.ap < 0.9 and 0.6 < found.auroc < 0.99 and 0.1 < found.fpr95 < 0.9


def test_ignored_pixels_change_nothing() -> None:
    logits, label = random_batch()
    before = counted(logits, label).score()
    logits = torch.where((label == 255)[:, None], 100 * torch.rand_like(logits), logits)
    assert counted(logits, torch.where(label == 255, 7, label)).score() == before


def test_shares_add_up_to_the_whole() -> None:
    logits, label = random_batch(4)
    shares = [counted(logits[first::3], label[first::3]) for first in range(3)]
    assert (shares[0] + shares[1] + shares[2]).score() == counted(logits, label).score()


def test_a_threshold_that_finds_exactly_95_percent_is_enough() -> None:
    known, anomalous = np.array([80, 15, 5]), np.array([1, 1, 18])
    assert detection(known, anomalous).fpr95 == 0.2
    assert detection(known, np.array([0, 1, 19])).fpr95 == 0.05


def test_a_perfect_score_and_a_useless_one() -> None:
    assert detection(np.array([5, 0]), np.array([0, 3])) == Detection(1, 1, 0)
    assert detection(np.array([5]), np.array([3])) == Detection(3 / 8, 0.5, 1)


def test_without_anomalies_there_are_no_numbers() -> None:
    logits, label = random_batch(1)
    score = counted(logits, 0 * label).score()
    assert anomaly_results({"street": score})["anomaly"]["street"]["entropy"] == {
        "ap": None,
        "auroc": None,
        "fpr95": None,
    }
    assert anomaly_table({"street": score}).splitlines()[2].split() == "street (max softmax) - - - 1".split()


def test_answers_that_are_no_numbers_are_counted_apart() -> None:
    logits, label = random_batch(1)
    label[0, 0, :3] = torch.tensor([0, 1, 255])
    logits[0, :, 0, :3] = torch.nan
    counts = counted(logits, label)
    assert counts.undefined == 2 * 3
    assert counts.score().known_pixels == (label == 0).sum() - 1


@pytest.mark.parametrize("device", [CPU, META], ids=str)
def test_counting_waits_for_no_device(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, label = (each.to(device) for each in random_batch(2))
    counts = AnomalyCounts(device)
    with monkeypatch.context() as patch, NoHostWaits(device):
        patch.setattr(Tensor, "is_cpu", property(lambda tensor: False))
        counts.update(label, label, logits)
    if device == CPU:
        assert counts.score() == counted(logits, label).score()
