"""Boundary label relaxation, against a reference that goes pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.segmentation import find_boundaries

from loss.boundary_relaxation import boundary, relaxed_cross_entropy, relaxed_planes

Batch = tuple[torch.Tensor, torch.Tensor]
CLASSES = 5


def multi_hot(label: np.ndarray, strict: tuple[int, ...]) -> np.ndarray:
    """Published targets of one picture: the classes within one pixel, outside the picture void."""
    height, width = label.shape
    target = np.zeros((CLASSES + 1, height, width))
    for y in range(height):
        for x in range(width):
            near = [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
            for v, u in [(y, x)] if label[y, x] in strict else near:
                inside = 0 <= v < height and 0 <= u < width and label[v, u] != 255
                target[label[v, u] if inside else CLASSES, y, x] = 1
    return target


def doubled_at_boundaries(label: np.ndarray) -> np.ndarray:
    """Published targets of one picture after relaxation has ended: one-hot, twos at boundaries."""
    own = np.where(label == 255, CLASSES, label)
    target = np.stack([own == name for name in range(CLASSES + 1)]).astype(float)
    return target * (1 + find_boundaries(own, mode="thick"))


def reference(
    logits: np.ndarray, targets: list[np.ndarray], relax: bool, bound: float, together: bool
) -> float:
    """The loss from its published formula, on published targets."""
    pictures = []
    for scores, target in zip(logits, targets, strict=True):
        counts = sum(t.sum(axis=(1, 2)) for t in (targets if together else [target]))
        share = counts / counts.sum()
        weights = np.where(counts > 0, 1 + bound * (1 - share), 1)[:-1]
        planes = target[:-1]
        pixels = np.argwhere(planes.sum(axis=0) > 0)
        total = 0.0
        for y, x in pixels:
            t = planes[:, y, x]
            b = t.sum() if relax else 1 / t.sum()
            t = np.minimum(t, 1)
            p = np.exp(scores[:, y, x]) / np.exp(scores[:, y, x]).sum()
            q = np.log(np.maximum(p, t * (t * p).sum()))
            total += -1 / b * (t * weights * q).sum()
        pictures.append(total / (len(pixels) + 1))
    return float(np.mean(pictures))


@pytest.mark.parametrize("strict", [(), (1, 2)])
def test_planes_equal_the_reference(batch: Batch, strict: tuple[int, ...]) -> None:
    label = torch.where(batch[1] == 255, CLASSES, batch[1])
    expected = np.stack([multi_hot(picture.numpy(), strict) for picture in batch[1]])
    np.testing.assert_array_equal(relaxed_planes(label, CLASSES, strict).numpy(), expected)


def test_boundary_is_thick(batch: Batch) -> None:
    expected = np.stack([find_boundaries(picture.numpy(), mode="thick") for picture in batch[1]])
    np.testing.assert_array_equal(boundary(batch[1]).numpy(), expected)


@pytest.mark.parametrize("batch_weighting", [False, True])
@pytest.mark.parametrize("bound", [0.5, 1.0])
@pytest.mark.parametrize(("relax", "strict"), [(True, ()), (True, (0, 3)), (False, (0, 3))])
def test_equals_the_reference(
    batch: Batch, relax: bool, strict: tuple[int, ...], bound: float, batch_weighting: bool
) -> None:
    targets = [
        multi_hot(picture, strict) if relax else doubled_at_boundaries(picture)
        for picture in batch[1].numpy()
    ]
    expected = reference(batch[0].detach().numpy(), targets, relax, bound, batch_weighting)
    loss = relaxed_cross_entropy(*batch, relax, strict, bound, batch_weighting)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("relax", [True, False])
def test_gradient(batch: Batch, relax: bool) -> None:
    assert torch.autograd.gradcheck(lambda x: relaxed_cross_entropy(x, batch[1], relax), batch[0])


@pytest.mark.parametrize("relax", [True, False])
def test_nothing_labelled_costs_nothing_and_keeps_the_graph(void: Batch, relax: bool) -> None:
    loss = relaxed_cross_entropy(*void, relax)
    loss.backward()
    assert loss.item() == 0
    assert void[0].grad.abs().sum() == 0


@pytest.mark.parametrize("relax", [True, False])
def test_certain_and_wrong_is_finite(relax: bool) -> None:
    logits = torch.tensor([-1e4, 1e4], dtype=torch.float32)[:, None, None].expand(2, 3, 3)[None].clone()
    logits.requires_grad_()
    loss = relaxed_cross_entropy(logits, torch.zeros(1, 3, 3, dtype=torch.long), relax)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
