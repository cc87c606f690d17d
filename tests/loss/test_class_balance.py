"""Image-weighted cross entropy, against a reference that goes pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from loss.segmentation import frequency_weights, image_weighted_cross_entropy

Batch = tuple[torch.Tensor, torch.Tensor]


def reference(logits: np.ndarray, label: np.ndarray, bound: float, batch_weighting: bool) -> list[float]:
    """Weighted mean of the negative log likelihood of every picture."""
    pictures = []
    for scores, truth in zip(logits, label, strict=True):
        counted = label if batch_weighting else truth
        counts = [(counted == name).sum() for name in range(len(scores))]
        total = weight_sum = 0.0
        for y, x in np.argwhere(truth != 255):
            name = truth[y, x]
            weight = 1 + bound * (1 - counts[name] / sum(counts))
            pixel = scores[:, y, x]
            total -= weight * (pixel[name] - np.log(np.exp(pixel).sum()))
            weight_sum += weight
        pictures.append(total / weight_sum)
    return pictures


@pytest.mark.parametrize("batch_weighting", [False, True])
@pytest.mark.parametrize("bound", [0.5, 1.0])
def test_equals_the_reference(batch: Batch, bound: float, batch_weighting: bool) -> None:
    pictures = reference(batch[0].detach().numpy(), batch[1].numpy(), bound, batch_weighting)
    mean = image_weighted_cross_entropy(*batch, bound, batch_weighting)
    assert mean.item() == pytest.approx(np.mean(pictures), rel=1e-12)
    published = image_weighted_cross_entropy(*batch, bound, batch_weighting, reduction="sum")
    assert published.item() == pytest.approx(np.sum(pictures), rel=1e-12)


def test_gradient(batch: Batch) -> None:
    assert torch.autograd.gradcheck(lambda x: image_weighted_cross_entropy(x, batch[1]), batch[0])


def test_nothing_labelled_costs_nothing_and_keeps_the_graph(void: Batch) -> None:
    loss = image_weighted_cross_entropy(*void)
    loss.backward()
    assert loss.item() == 0
    assert void[0].grad.abs().sum() == 0


def test_weights_of_classes() -> None:
    counts = torch.tensor([[3, 1, 0], [0, 0, 0]])
    torch.testing.assert_close(frequency_weights(counts, 2.0), torch.tensor([[1.5, 2.5, 1], [1, 1, 1]]))
    torch.testing.assert_close(
        frequency_weights(counts, 2.0, batch_weighting=True), torch.tensor([[1.5, 2.5, 1]] * 2)
    )
