"""Losses of unlabelled pictures: worked values, and a reference that goes pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from loss.adaptation import (
    entropy,
    guidance,
    hard_pseudo_label,
    image_weighted_entropy,
    image_weighted_max_square,
    image_weights,
    max_square,
)

Loss = Callable[[Tensor], Tensor]

SOFT_LOSSES: dict[str, Loss] = {
    "maxsquare": max_square,
    "IW_maxsquare": lambda logits: image_weighted_max_square(logits, 0.2),
    "entropy": entropy,
    "IW_entropy": lambda logits: image_weighted_entropy(logits, 0.2),
}
ALL_LOSSES: dict[str, Loss] = {
    **SOFT_LOSSES,
    "hard": lambda logits: hard_pseudo_label(logits, 0.6),
    "guidance": lambda logits: guidance(logits.flip(0), logits, 0.6),
}


def random_logits(pictures: int = 3, classes: int = 3) -> Tensor:
    """By default as many classes as pictures, where weights on the wrong axis broadcast without an error."""
    generator = torch.Generator().manual_seed(0)
    bias = torch.tensor([2.0, 0.5, 0.0, 0.0, 0.0])[:classes].view(1, -1, 1, 1)
    logits = torch.randn(pictures, classes, 4, 6, generator=generator, dtype=torch.float64)
    return (2 * logits + bias).requires_grad_()


def worked_example() -> Tensor:
    """Two pixels, (0.9, 0.1) and (0.2, 0.8)."""
    return torch.tensor([[0.9, 0.2], [0.1, 0.8]], dtype=torch.float64).log().view(1, 2, 1, 2)


def square(p: float) -> float:
    return -p * p


def information(p: float) -> float:
    return -p * math.log(p)


def reference(logits: Tensor, cost: Callable[[float], float], ratio: float | None) -> float:
    """Sum over pixels and classes of cost(p) times the pixel's weight, mean over pictures, by the classes."""
    probability = logits.detach().softmax(1).numpy()
    pictures, classes, height, width = probability.shape
    total = 0.0
    for picture in probability:
        predicted = picture.argmax(0)
        for y, x in np.ndindex(height, width):
            weight = 1 / (height * width)
            if ratio is not None:
                same = int((predicted == predicted[y, x]).sum())
                weight = 1 / max(same**ratio * (height * width) ** (1 - ratio), 1)
            total += weight * sum(cost(p) for p in picture[:, y, x])
    return total / (pictures * classes)


def test_worked_values():
    logits = worked_example()
    assert image_weights(logits, 0.2).tolist() == [[[pytest.approx(0.574349, abs=1e-6)] * 2]]
    assert image_weighted_max_square(logits, 0.2).item() == pytest.approx(-0.430762, abs=1e-6)
    assert max_square(logits).item() == pytest.approx(-0.1875, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 13, 19])
def test_values_of_undecided_and_certain_pixels(classes: int):
    undecided = torch.zeros(2, classes, 3, 3)
    certain = 1000 * F.one_hot(torch.zeros(2, 3, 3, dtype=torch.long), classes).permute(0, 3, 1, 2).float()
    assert max_square(undecided).item() == pytest.approx(-1 / (2 * classes**2))
    assert max_square(certain).item() == pytest.approx(-1 / (2 * classes))
    assert entropy(undecided).item() == pytest.approx(math.log(classes) / classes)
    assert entropy(certain).item() == 0


@pytest.mark.parametrize("ratio", [0.0, 0.2, 1.0, 2.0])
@pytest.mark.parametrize("pictures, classes", [(1, 5), (2, 5), (3, 3)])
def test_soft_losses_equal_the_reference(pictures: int, classes: int, ratio: float):
    logits = random_logits(pictures, classes)
    assert max_square(logits).item() == pytest.approx(reference(logits, square, None) / 2)
    assert entropy(logits).item() == pytest.approx(reference(logits, information, None))
    assert image_weighted_max_square(logits, ratio).item() == pytest.approx(reference(logits, square, ratio))
    assert image_weighted_entropy(logits, ratio).item() == pytest.approx(
        reference(logits, information, ratio)
    )


def test_weights_by_hand():
    """Three pixels of one class and one of another; a picture of one class alone."""
    prediction = torch.tensor([[[0, 0], [0, 1]], [[2, 2], [2, 2]]])
    logits = F.one_hot(prediction, 3).permute(0, 3, 1, 2).float()
    third = 1 / 3
    assert image_weights(logits, 1.0).flatten().tolist() == pytest.approx([third] * 3 + [1] + [0.25] * 4)
    assert image_weights(logits, 0.0).flatten().tolist() == pytest.approx([0.25] * 8)
    mixed = image_weights(logits, 0.5)[0].flatten().tolist()
    assert mixed == pytest.approx([12**-0.5] * 3 + [0.5])


@pytest.mark.parametrize("name", SOFT_LOSSES)
def test_a_batch_costs_the_mean_of_its_pictures(name: str):
    logits = random_logits()
    alone = torch.stack([SOFT_LOSSES[name](picture[None]) for picture in logits])
    torch.testing.assert_close(SOFT_LOSSES[name](logits), alone.mean())


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_gradient_against_finite_differences(name: str):
    assert torch.autograd.gradcheck(ALL_LOSSES[name], (random_logits(),))


@pytest.mark.parametrize("name", SOFT_LOSSES)
def test_a_step_downhill_makes_predictions_sharper(name: str):
    logits = random_logits()
    (gradient,) = torch.autograd.grad(SOFT_LOSSES[name](logits), logits)
    before, after = logits.softmax(1), (logits - 10 * gradient).softmax(1)
    assert after.amax(1).mean() > before.amax(1).mean()


def test_pseudo_labels_count_only_above_the_threshold():
    """A threshold of 0.85 leaves the example's first pixel, whose cost is -log 0.9; 0.5 is not above 0.5."""
    logits = worked_example().float()
    assert hard_pseudo_label(logits, 0.85).item() == pytest.approx(-math.log(0.9), rel=1e-6)
    both = -(math.log(0.9) + math.log(0.8)) / 2
    assert hard_pseudo_label(logits, 0.5).item() == pytest.approx(both, rel=1e-6)
    assert hard_pseudo_label(torch.zeros(1, 2, 3, 3), 0.5).item() == 0


def test_the_threshold_is_met_in_float32():
    """The probability is 0.9504, which 16 bits round to 0.9492."""
    logits = torch.tensor([2.953125, 0.0], dtype=torch.bfloat16).view(1, 2, 1, 1)
    assert hard_pseudo_label(logits, 0.95).item() == pytest.approx(0.05083, abs=1e-4)
    assert guidance(logits, logits, 0.95).item() == pytest.approx(0.05083, abs=1e-4)


def test_guidance_takes_the_label_of_the_mean_where_either_output_is_certain():
    main = torch.tensor([[0.95, 0.05], [0.45, 0.55], [0.6, 0.4], [0.3, 0.7]])
    auxiliary = torch.tensor([[0.3, 0.7], [0.92, 0.08], [0.55, 0.45], [0.01, 0.99]])
    logits = [outputs.log().t().reshape(1, 2, 2, 2) for outputs in (main, auxiliary)]
    expected = -(math.log(0.3) + math.log(0.92) + math.log(0.99)) / 3
    assert guidance(*logits, 0.9).item() == pytest.approx(expected, rel=1e-5)


def test_guidance_teaches_the_auxiliary_output_alone():
    main, auxiliary = random_logits(), random_logits().detach().flip(0).requires_grad_()
    label = ((main.softmax(1) + auxiliary.softmax(1)) / 2).argmax(1)
    loss = guidance(main, auxiliary, 0.0)
    torch.testing.assert_close(loss, F.cross_entropy(auxiliary, label))
    loss.backward()
    assert main.grad is None
    assert auxiliary.grad.abs().sum() > 0


def test_guidance_brings_a_smaller_auxiliary_output_to_the_size_of_the_main_one():
    main, small = random_logits(), random_logits()[..., ::2, ::2].detach().requires_grad_()
    upsampled = F.interpolate(small, (4, 6), mode="bilinear", align_corners=True)
    loss = guidance(main, small, 0.7)
    torch.testing.assert_close(loss, guidance(main, upsampled, 0.7), rtol=0, atol=0)
    loss.backward()
    assert small.grad.shape == small.shape
    assert small.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["hard", "guidance"])
def test_no_certain_pixel_costs_nothing_and_keeps_the_graph(name: str):
    logits = torch.zeros(2, 5, 3, 4, requires_grad=True)
    loss = ALL_LOSSES[name](logits)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_losses_stay_in_float32_under_autocast(name: str):
    half = random_logits(2, 5).detach().bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = ALL_LOSSES[name](half)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, ALL_LOSSES[name](half.float()), rtol=0, atol=0)


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_extreme_logits_have_finite_costs_and_gradients(name: str):
    logits = torch.tensor([1e4, -1e4, 0.0]).view(1, 3, 1, 1).repeat(2, 1, 2, 2).requires_grad_()
    loss = ALL_LOSSES[name](logits)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
