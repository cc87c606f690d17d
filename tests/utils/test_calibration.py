"""Temperature scaling: the known temperature is found, by any number of processes."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
import torch
from host_waits import CPU, META, NoHostWaits, forbid_reading
from torch import Tensor

from utils.scoring import calibration
from utils.scoring.calibration import (
    COLDEST,
    HOTTEST,
    PIXELS_PER_PICTURE,
    fit_temperature,
    loss_and_slopes,
    sample_logits,
    sampled_places,
)

CLASSES = 4


def calibrated_sample(temperature: float, count: int = 20_000) -> tuple[Tensor, Tensor]:
    """Logits that are ``temperature`` times too large, and labels drawn from what they should be."""
    logits = 2 * torch.randn(count, CLASSES)
    label = torch.distributions.Categorical(logits=logits).sample()
    label[::7] = 255
    return logits * temperature, label


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_of_scaled_logits_is_found(temperature: float) -> None:
    fitted = fit_temperature([calibrated_sample(temperature)], CPU)
    assert fitted.temperature == pytest.approx(temperature, rel=0.03)
    assert fitted.pixels == 20_000 - len(range(0, 20_000, 7))
    assert fitted.loss <= fitted.loss_before
    assert not fitted.is_at_end


def test_the_loss_is_least_there() -> None:
    logits, label = calibrated_sample(2.5)
    fitted = fit_temperature([(logits, label)], CPU)

    def loss(temperature: float) -> float:
        return torch.nn.functional.cross_entropy(
            logits.double() / temperature, label, ignore_index=255
        ).item()

    assert fitted.loss == pytest.approx(loss(fitted.temperature), abs=1e-6)
    assert fitted.loss_before == pytest.approx(loss(1.0), abs=1e-6)
    assert min(loss(fitted.temperature * factor) for factor in (0.999, 1.001)) > loss(fitted.temperature)


def test_slopes_are_those_of_the_loss() -> None:
    sample, step = [calibrated_sample(1.5)], 1e-3
    _, below, slope_below, _ = loss_and_slopes(sample, 0.7 - step, CPU)
    _, _, slope, curvature = loss_and_slopes(sample, 0.7, CPU)
    _, above, slope_above, _ = loss_and_slopes(sample, 0.7 + step, CPU)
    assert slope == pytest.approx((above - below) / (2 * step), rel=1e-3)
    assert curvature == pytest.approx((slope_above - slope_below) / (2 * step), rel=1e-3)


@pytest.mark.parametrize(("truth", "limit"), [("right", COLDEST), ("wrong", HOTTEST)])
def test_a_temperature_stays_in_its_range(truth: str, limit: float) -> None:
    """The likelihood of a network that is always right, or always wrong, has no greatest value."""
    logits, _ = calibrated_sample(1.0, 1000)
    label = logits.max(1).indices if truth == "right" else logits.min(1).indices
    fitted = fit_temperature([(logits, label)], CPU)
    assert fitted.temperature == pytest.approx(limit, rel=1e-6)
    assert fitted.is_at_end


def test_shares_of_processes_give_the_same_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, label = calibrated_sample(2.0)
    whole = fit_temperature([(logits, label)], CPU)
    assert fit_temperature([(logits[:7], label[:7]), (logits[7:], label[7:])], CPU) == whole
    others = [(logits[100:], label[100:])]

    def summed_with_another_process(sums: Tensor) -> Tensor:
        return sums + theirs.pop(0)

    # The other process computes at the same temperatures, of which it is told in advance here.
    seen: list[float] = []
    of_pixels = calibration.loss_and_slopes
    monkeypatch.setattr(
        calibration,
        "loss_and_slopes",
        lambda sample, inverse, device: seen.append(inverse) or of_pixels(sample, inverse, device),
    )
    fit_temperature([(logits, label)], CPU)
    theirs = []
    monkeypatch.setattr(calibration, "all_reduce_sum", lambda sums: theirs.append(sums.clone()) or sums)
    for inverse in seen:
        of_pixels(others, inverse, CPU)
    monkeypatch.setattr(calibration, "all_reduce_sum", summed_with_another_process)
    assert fit_temperature([(logits[:100], label[:100])], CPU) == whole


def test_pixels_that_are_ignored_or_not_finite_do_not_count() -> None:
    logits, label = calibrated_sample(2.0)
    spoilt = logits.clone()
    spoilt[1], label[1] = torch.nan, 2
    spoilt[2], label[2] = torch.inf, 255
    keep = torch.ones(len(label), dtype=torch.bool)
    keep[[1, 2]] = False
    assert fit_temperature([(spoilt, label)], CPU) == fit_temperature([(logits[keep], label[keep])], CPU)
    nothing = fit_temperature([(logits, torch.full_like(label, 255))], CPU)
    assert nothing.pixels == 0
    assert math.isnan(nothing.temperature)


def batches(names: Iterable[str]) -> list[dict[str, object]]:
    label = (torch.arange(60 * 70) % 3).view(1, 60, 70).byte()
    return [
        {"image": torch.zeros(1, 3, 60, 70, dtype=torch.uint8), "label": label, "name": [n]} for n in names
    ]


def answer(pictures: Tensor) -> Tensor:
    """Logits that say where a pixel is."""
    size = pictures.shape[0] * pictures.shape[2] * pictures.shape[3]
    places = torch.arange(size, device=pictures.device).view(pictures.shape[0], 1, *pictures.shape[2:])
    return torch.cat([places, -places, 0 * places], 1).float()


def test_a_picture_gives_the_same_pixels_in_any_batch_and_process() -> None:
    first, second = sample_logits(answer, batches(["a", "b"]), CPU)
    assert first[0].shape == (PIXELS_PER_PICTURE, 3)
    assert torch.equal(first[1], first[0][:, 0].long() % 3)
    (alone,) = sample_logits(answer, batches(["b"]), CPU)
    assert torch.equal(alone[0], second[0])
    assert not torch.equal(first[0], second[0])
    places = sampled_places(["a"], 2**21)
    assert (places.min() < 2**12, places.max() > 2**21 - 2**12) == (True, True)


def test_averages_of_probabilities_count_as_their_logarithms() -> None:
    ((logits, label),) = sample_logits(
        lambda pictures: answer(pictures).div(1e4).softmax(1), batches("a"), CPU, probabilities=True
    )
    expected, _ = sample_logits(lambda pictures: answer(pictures) / 1e4, batches("a"), CPU)[0]
    assert torch.allclose(logits.softmax(1), expected.softmax(1), atol=1e-6)
    assert len(label) == PIXELS_PER_PICTURE
    ((sure, _),) = sample_logits(
        lambda pictures: (answer(pictures) > 0).float(), batches("a"), CPU, probabilities=True
    )
    assert sure.isfinite().all()


@pytest.mark.parametrize("device", [CPU, META], ids=str)
def test_drawing_does_not_wait_for_the_device(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    loader, places = batches("aa"), torch.from_numpy(sampled_places("a", 60 * 70))
    # A tensor of the host's numbers waits for no device.
    monkeypatch.setattr(torch, "from_numpy", lambda numbers: places)
    forbid_reading(monkeypatch)
    with NoHostWaits(device):
        sample = sample_logits(answer, loader, device)
    monkeypatch.undo()
    assert [logits.device for logits, _ in sample] == [device] * 2
