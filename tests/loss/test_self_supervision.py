"""Class prior, thresholds, pseudo labels and their loss."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from loss.self_supervision import (
    PseudoLabels,
    focal_confidence_loss,
    pseudo_labels,
    thresholds,
    updated_prior,
)

BETA = 1e-3
FIRST, LATER = torch.tensor(True), torch.tensor(False)


def random_probability(pictures: int = 2, classes: int = 5) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return (2 * torch.randn(pictures, classes, 6, 7, generator=rng)).softmax(1)


def random_case(pictures: int) -> tuple[Tensor, PseudoLabels, Tensor]:
    rng = torch.Generator().manual_seed(1)
    logits = torch.randn(pictures, 5, 6, 7, generator=rng, requires_grad=True)
    prior = torch.tensor([0.3, 0.0, 0.5, 0.1, 0.1])
    return logits, pseudo_labels(random_probability(pictures), prior, 0.75, BETA, 0.5), prior


def test_the_first_batch_takes_the_place_of_the_prior_of_its_classes() -> None:
    prior, share = torch.full((3,), BETA), torch.tensor([0.6, 0.4, 0.0])
    first = updated_prior(prior, share, 0.99, FIRST)
    torch.testing.assert_close(first, torch.tensor([0.6, 0.4, 0.99 * BETA]))
    later = updated_prior(first, torch.tensor([0.1, 0.9, 0.0]), 0.99, LATER)
    torch.testing.assert_close(later, torch.tensor([0.595, 0.405, 0.99**2 * BETA]))


def test_worked_threshold() -> None:
    peak, prior = torch.tensor([[0.9, 0.2]]), torch.tensor([BETA, 0.5])
    rare, common = thresholds(peak, prior, 0.75, BETA)[0].tolist()
    assert rare == pytest.approx(0.4267, abs=5e-5)
    assert common == pytest.approx(0.15)
    assert thresholds(peak, prior, 0.75, BETA, lower=0.2)[0].tolist() == pytest.approx([rare, 0.2])
    assert thresholds(peak, prior, 0.75, BETA, discount=False)[0].tolist() == pytest.approx([0.675, 0.15])


@pytest.mark.parametrize("settings", [{}, {"lower": 0.6}, {"discount": False}])
def test_labels_equal_the_definition(settings: dict[str, object]) -> None:
    probability, prior = random_probability(), torch.tensor([5e-4, 0.3, BETA, 0.2, 0.1])
    label, confidence = pseudo_labels(probability, prior, 0.9, BETA, **settings)
    assert (label == 255).any() and (label < 255).any()
    for number, (picture, classes) in enumerate(zip(probability, probability.argmax(1), strict=True)):
        for y, x in ((y, x) for y in range(6) for x in range(7)):
            best = int(classes[y, x])
            peak = max(float(p) for p in picture[best][classes == best])
            least = 0.9 * peak
            if settings.get("discount", True):
                least *= 1 - math.exp(-float(prior[best]) / BETA)
            certain = float(picture[best, y, x])
            assert confidence[number, y, x] == certain
            assert label[number, y, x] == (best if certain > max(least, settings.get("lower", 0)) else 255)


def test_what_has_no_prediction_has_no_label() -> None:
    probability = random_probability()
    probability[0, :, :3] = 0
    label, confidence = pseudo_labels(probability, torch.full((5,), 0.2), 0.0, BETA)
    assert (label[0, :3] == 255).all() and (confidence[0, :3] == 0).all()
    assert (label[0, 3:] < 255).all() and (label[1] < 255).all()


def test_a_rare_class_costs_more() -> None:
    logits = torch.zeros(1, 2, 1, 1)
    labels = PseudoLabels(torch.zeros(1, 1, 1, dtype=torch.long), torch.full((1, 1, 1), 0.5))
    cost = float(focal_confidence_loss(logits, labels, torch.tensor([0.3, 0.7]), 3))
    assert cost == pytest.approx(0.343 * 0.5 * math.log(2), rel=1e-6)


def test_both_forms_of_the_confidence() -> None:
    logits, labels, prior = random_case(3)
    assert (labels.label == 255).any()
    cost = F.cross_entropy(logits, labels.label, (1 - prior) ** 3, ignore_index=255, reduction="none")
    outer = cost[None] * labels.confidence[:, None]
    per_image, batch_mean, none = (
        focal_confidence_loss(logits, labels, prior, 3, mode) for mode in ("per_image", "batch_mean", "none")
    )
    torch.testing.assert_close(per_image, (cost * labels.confidence).sum() / cost.numel())
    torch.testing.assert_close(batch_mean, outer.mean())
    torch.testing.assert_close(none, cost.mean())
    assert not torch.isclose(per_image, batch_mean, rtol=1e-3)


def test_of_one_picture_both_forms_are_the_same() -> None:
    logits, labels, prior = random_case(1)
    torch.testing.assert_close(
        focal_confidence_loss(logits, labels, prior, 3, "per_image"),
        focal_confidence_loss(logits, labels, prior, 3, "batch_mean"),
    )


def test_nothing_labelled_costs_nothing_and_keeps_the_graph() -> None:
    logits, labels, prior = random_case(2)
    empty = PseudoLabels(torch.full_like(labels.label, 255), labels.confidence)
    loss = focal_confidence_loss(logits, empty, prior, 3)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_loss_stays_in_float32_under_autocast() -> None:
    logits, labels, prior = random_case(2)
    half = logits.detach().bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = focal_confidence_loss(half, labels, prior, 3)
    assert result.dtype == torch.float32
    assert torch.equal(result, focal_confidence_loss(half.float(), labels, prior, 3))


def test_the_teacher_gets_no_gradient() -> None:
    probability = random_probability().requires_grad_()
    assert not pseudo_labels(probability, torch.full((5,), 0.2), 0.75, BETA).confidence.requires_grad
