"""The dual restitution loss: the worked value, and what it compares."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from loss.entropy import dual_restitution_loss, pixel_entropy


def of_entropy(target: float, classes: int = 8) -> Tensor:
    """Logits, classes, whose softmax has this entropy: one class leads by an amount found by bisection."""
    low, high = 0.0, 50.0
    for _ in range(80):
        lead = (low + high) / 2
        logits = F.one_hot(torch.tensor(0), classes).double() * lead
        low, high = (lead, high) if torch.special.entr(logits.softmax(0)).sum() > target else (low, lead)
    return logits


def maps(entropies: list[list[float]]) -> Tensor:
    """Logits pictures x classes x 1 x positions of these entropies, one list per picture."""
    pictures = [torch.stack([of_entropy(value) for value in picture], 1) for picture in entropies]
    return torch.stack(pictures).unsqueeze(2)


def random_maps() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    normalised, restituted, contaminated = 2 * torch.randn(
        3, 2, 4, 3, 5, generator=generator, dtype=torch.float64
    )
    return normalised.requires_grad_(), restituted.requires_grad_(), contaminated.requires_grad_()


def test_entropies_of_positions():
    logits = maps([[0.3, 1.1], [2.0, 0.7]])
    torch.testing.assert_close(
        pixel_entropy(logits), torch.tensor([[[0.3, 1.1]], [[2.0, 0.7]]], dtype=torch.float64)
    )
    assert pixel_entropy(torch.zeros(1, 5, 1, 1)).item() == pytest.approx(math.log(5))
    assert pixel_entropy(torch.tensor([200.0, 0.0]).view(1, 2, 1, 1)).item() == 0


def test_worked_value():
    loss = dual_restitution_loss(maps([[1.0]]), maps([[0.5]]), maps([[1.7]]))
    assert loss.item() == pytest.approx(0.8772630, abs=1e-7)


def test_means_over_pictures_and_positions_are_compared():
    normalised = maps([[0.4, 1.6], [1.2, 0.8]])
    restituted = maps([[0.2, 0.9], [0.3, 0.6]])
    contaminated = maps([[1.9, 1.5], [1.6, 1.8]])
    loss = dual_restitution_loss(normalised, restituted, contaminated)
    assert loss.item() == pytest.approx(0.8772630, abs=1e-7)


def test_equal_predictions_cost_twice_log_two():
    logits = random_maps()[0]
    assert dual_restitution_loss(logits, logits, logits).item() == pytest.approx(2 * math.log(2))


def test_gradient_against_finite_differences():
    assert torch.autograd.gradcheck(dual_restitution_loss, random_maps())


def test_the_three_features_are_pulled_apart():
    """A step downhill lowers the entropy with the useful residual, and raises it with the useless one."""
    every = random_maps()
    gradients = torch.autograd.grad(dual_restitution_loss(*every), every)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    before, after = (
        [pixel_entropy(logits).mean() for logits in step]
        for step in (every, [logits - 0.1 * slope for logits, slope in zip(every, gradients, strict=True)])
    )
    assert after[1] < before[1]
    assert after[2] > before[2]


def test_stays_in_float32_under_autocast():
    half = [logits.detach().bfloat16() for logits in random_maps()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = dual_restitution_loss(*half)
    assert result.dtype == torch.float32
    expected = dual_restitution_loss(*(logits.float() for logits in half))
    torch.testing.assert_close(result, expected, rtol=0, atol=0)
