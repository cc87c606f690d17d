"""Reliability: counted in whole numbers, and as other libraries compute it from all pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from host_waits import CPU, META, NoHostWaits, forbid_reading
from torch import Tensor

from utils.scoring import reliability
from utils.scoring.metrics import count_where
from utils.scoring.reliability import BINS, CELLS, Confidences, Reliability, first_cells

CLASSES = 5
WORST_ERROR = 2e-5
"""Of a score from the histogram of 130,000 pixels, against that of sorting them in float64. Nearly all of it
is from the random order of pixels in a cell, so that it falls with the number of pixels.
"""


def pictures(sharpness: float = 1.0, count: int = 3, ignored: float = 0.1) -> tuple[Tensor, Tensor, Tensor]:
    """Prediction, label and logits of pictures whose labels are drawn from the softmax of the logits, which
    are then multiplied by ``sharpness``; a share of the labels is ignored.
    """
    logits = 3 * torch.randn(count, CLASSES, 96, 128)
    logits[:, 0] += 9 * torch.rand(count, 96, 128)
    label = torch.distributions.Categorical(logits=logits.movedim(1, -1)).sample()
    label[torch.rand(label.shape) < ignored] = 255
    logits = logits * sharpness
    return logits.max(1).indices, label, logits


def measured(prediction: Tensor, label: Tensor, logits: Tensor, **how: object) -> Confidences:
    measure = Confidences(CLASSES, **how)
    measure.update(prediction, label, logits)
    return measure


def labelled(prediction: Tensor, label: Tensor, logits: Tensor) -> tuple[np.ndarray, Tensor, Tensor]:
    """Of the pixels that count: whether they are right, their probabilities in float64, their classes."""
    inside = label < CLASSES
    probabilities = logits.double().softmax(1).movedim(1, -1)[inside]
    return (prediction == label)[inside].numpy(), probabilities, label[inside]


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 4.0])
def test_scores_are_those_of_sorting_all_pixels(sharpness: float) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    given = pictures(sharpness, 12)
    measure = measured(*given)
    scores = measure.scores()
    right, probabilities, classes = labelled(*given)
    # Where probabilities are 1 in float64, those of the other classes still differ.
    confidence = -probabilities.sort(1).values[:, :-1].sum(1).log().numpy()
    false, true, _ = metrics.roc_curve(right, confidence, drop_intermediate=False)
    expected = {
        "auroc": metrics.roc_auc_score(right, confidence),
        "aupr_success": metrics.average_precision_score(right, confidence),
        "aupr_error": metrics.average_precision_score(~right, -confidence),
        "brier": metrics.brier_score_loss(classes.numpy(), probabilities.numpy(), scale_by_half=False),
    }
    for name, value in expected.items():
        assert getattr(scores, name) == pytest.approx(value, abs=WORST_ERROR), name
    # The threshold lies in a cell, so it is known up to the wrong pixels of this cell.
    of_one_cell = measure.totals["pixels"][0].max().item() / (~right).sum()
    assert scores.fpr95 == pytest.approx(false[np.searchsorted(true, 0.95)], abs=of_one_cell)
    assert of_one_cell < 2e-3


@pytest.mark.parametrize("sharpness", [1.0, 3.0])
def test_calibration_error_is_that_of_torchmetrics(sharpness: float) -> None:
    metrics = pytest.importorskip("torchmetrics.functional.classification")
    given = pictures(sharpness)
    _, probabilities, classes = labelled(*given)
    expected = metrics.multiclass_calibration_error(probabilities, classes, CLASSES, n_bins=BINS, norm="l1")
    # Their sums are of float32.
    assert measured(*given).scores().ece == pytest.approx(expected.item(), abs=5e-5)


def test_bins_are_those_of_guo() -> None:
    """Edges belong to the bin below, and each bin's confidence is the mean of its pixels."""
    given = pictures()
    scores = measured(*given).scores()
    right, probabilities, _ = labelled(*given)
    confidence = probabilities.max(1).values.float().numpy()
    bins = np.ceil(confidence * np.float32(BINS)).astype(int) - 1
    for number in range(BINS):
        inside = bins == number
        assert scores.pixels[number] == inside.sum()
        if inside.any():
            assert scores.accuracy[number] == pytest.approx(right[inside].mean())
            mean = confidence[inside].mean(dtype=np.float64)
            assert scores.confidence[number] == pytest.approx(mean, abs=reliability.UNIT)
    assert np.isnan(scores.accuracy[scores.pixels == 0]).all()


def test_no_edge_of_a_bin_is_near_an_edge_of_a_cell() -> None:
    """Else rounding could put the two sides of an edge into one cell."""
    inner = np.arange(1, BINS)
    distance = np.log(inner / (BINS - inner)) * reliability.CELLS_PER_LOGIT
    assert np.abs(distance - distance.round()).min() > 0.05
    assert (np.diff(first_cells()) > 1).all()


def test_a_calibrated_predictor_has_hardly_any_calibration_error() -> None:
    calibrated, sure = (measured(*pictures(sharpness, 8)).scores() for sharpness in (1.0, 4.0))
    assert calibrated.ece < 0.005
    assert sure.ece > 0.05


def test_confidences_that_float32_rounds_to_one_are_still_ranked() -> None:
    """Wrong pixels have odds of exp(-20), right ones of exp(-30); both confidences are 1 in float32."""
    logits = torch.zeros(1, 2, 2, 8)
    logits[:, 0, 0], logits[:, 0, 1] = 30, 20
    label = torch.tensor([0, 1]).view(1, 2, 1).expand(1, 2, 8)
    measure = Confidences(2)
    measure.update(logits.max(1).indices, label, logits)
    assert float(logits.softmax(1)[:, 0].min()) == 1
    scores = measure.scores()
    assert (scores.auroc, scores.fpr95) == (1, 0)


def test_a_temperature_divides_logits() -> None:
    prediction, label, logits = pictures()
    divided = measured(prediction, label, logits, temperature=4.0)
    expected = measured(prediction, label, logits / 4)
    for name, total in divided.totals.items():
        assert torch.equal(total, expected.totals[name])


def test_probabilities_count_like_their_logits() -> None:
    prediction, label, logits = pictures()
    of_logits = measured(prediction, label, logits).scores()
    of_probabilities = measured(prediction, label, logits.softmax(1), probabilities=True).scores()
    for name in ("ece", "auroc", "brier"):
        assert getattr(of_probabilities, name) == pytest.approx(getattr(of_logits, name), abs=1e-5)


def test_two_shares_count_like_all_pictures() -> None:
    prediction, label, logits = pictures()
    whole, first, second = (Reliability(CLASSES, temperatures=(1.0, 2.0)) for _ in range(3))
    whole.update(prediction, label, logits)
    first.update(prediction[:1], label[:1], logits[:1])
    second.update(prediction[1:], label[1:], logits[1:])
    both = first + second
    pairs = zip((*both.confidences, both.boundaries), (*whole.confidences, whole.boundaries), strict=True)
    for of_both, of_whole in pairs:
        for name, total in of_both.totals.items():
            assert total.dtype == torch.int64
            assert torch.equal(total, of_whole.totals[name])


def test_the_height_of_strips_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    given = pictures()
    whole = measured(*given)
    monkeypatch.setitem(reliability.STRIP_VALUES, "cpu", 1)
    for name, total in measured(*given).totals.items():
        assert torch.equal(total, whole.totals[name])


@pytest.mark.parametrize("device", [CPU, META], ids=str)
def test_nothing_waits_for_the_device(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [each.to(device) for each in pictures()]
    expected = Reliability(CLASSES, temperatures=(1.0, 2.0), merge={1: 2})
    if device == CPU:
        expected.update(*given)
    measure = Reliability(CLASSES, device, temperatures=(1.0, 2.0), merge={1: 2})
    monkeypatch.setattr(Tensor, "is_cpu", property(lambda tensor: False))
    forbid_reading(monkeypatch)
    with NoHostWaits(device):
        measure.update(*given)
    monkeypatch.undo()
    assert measure.boundaries.totals["bands"].device == device
    if device == CPU:
        # What counts on a GPU gives the same numbers as what counts on a CPU.
        for name, total in measure.confidences[1].totals.items():
            assert torch.equal(total, expected.confidences[1].totals[name])
        assert torch.equal(measure.boundaries.totals["bands"], expected.boundaries.totals["bands"])


def test_values_are_summed_where_they_count() -> None:
    cells, counted = torch.tensor([0, 2, 2, 1]), torch.tensor([True, True, True, False])
    assert count_where(cells, counted, 4).tolist() == [1, 0, 2, 0]
    assert count_where(cells, counted, 4, torch.tensor([5, 6, 7, 8])).tolist() == [5, 0, 13, 0]


def test_nothing_is_known_of_pictures_without_labels() -> None:
    prediction, label, logits = pictures(ignored=1.1)
    measure = Reliability(CLASSES)
    measure.update(prediction, label, logits)
    scores = measure.scores()
    (confidence,) = scores.confidences
    values = [getattr(confidence, name) for name in ("ece", "auroc", "aupr_error", "fpr95", "brier")]
    assert np.isnan(
        [*values, confidence.aupr_success, scores.boundary.mean_iou, scores.boundary.mean_f]
    ).all()
    assert confidence.pixels.sum() == 0


def test_a_network_that_is_always_right_has_no_errors_to_find() -> None:
    prediction, _, logits = pictures()
    scores = measured(prediction, prediction, logits).scores()
    assert np.isnan([scores.auroc, scores.fpr95, scores.aupr_error]).all()
    assert scores.aupr_success == 1
    assert scores.ece > 0


def test_logits_that_are_not_finite_are_the_least_sure() -> None:
    prediction, label, logits = pictures(ignored=0)
    logits[:] = torch.nan
    scores = measured(prediction, label, logits).scores()
    assert scores.pixels[BINS // CLASSES - 1] == label.numel()
    assert scores.brier == pytest.approx(1 - 1 / CLASSES, abs=reliability.UNIT)


def test_classes_that_count_as_one_are_right_for_each_other() -> None:
    logits = torch.zeros(1, 3, 1, 6)
    logits[:, 1] = 2
    prediction, label = logits.max(1).indices, torch.tensor([[[0, 1, 2, 255, 2, 1]]])
    apart, together = (Reliability(3, merge=merge) for merge in (None, {1: 2}))
    for measure in (apart, together):
        measure.update(prediction, label, logits)
    accuracies = [np.nanmax(each.scores().confidences[0].accuracy) for each in (apart, together)]
    assert accuracies == pytest.approx([2 / 5, 4 / 5])
    # The border between 1 and 2 is none, and 0's neighbour is then in the band of 2.
    assert together.boundaries.totals["bands"].sum(1).tolist() == [1, 0, 1, 0]
    assert len(apart.confidences[0].totals["pixels"][0]) == CELLS


def test_confidence_needs_logits() -> None:
    prediction, label, _ = pictures()
    with pytest.raises(ValueError, match="without logits"):
        Confidences(CLASSES).update(prediction, label)
