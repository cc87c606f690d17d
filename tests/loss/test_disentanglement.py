"""Semantic disentanglement: which pixels are drawn, and what they cost."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from loss import contrast as module
from loss.contrast import Confusions, disentanglement, sample_confusions, take_pixels

VOID = 255


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def published() -> tuple[Tensor, Tensor, Tensor]:
    """Label and predictions of the original and the jittered view, 4 x 4, of the published values."""
    label = torch.tensor([[0, 0, 0, 0], [0, 0, 3, 3], [3, 3, 3, 3], [VOID, 5, 5, 0]])
    original = label.clone()
    original[3, 0], original[1, 1] = 0, 3
    jittered = original.clone()
    for (row, column), wrong in {
        (0, 0): 3,
        (0, 1): 3,
        (2, 0): 5,
        (3, 3): 7,
        (3, 0): 3,
        (1, 1): 0,
    }.items():
        jittered[row, column] = wrong
    return label[None], original[None], jittered[None]


def embedded(label: Tensor, vectors: dict[int, tuple[float, ...]]) -> Tensor:
    """Embeddings 1 x 3 x 4 x 4 that depend on the label alone."""
    flat = torch.tensor([vectors[name] for name in label.flatten().tolist()])
    return flat.T.reshape(1, 3, 4, 4)


@pytest.mark.parametrize("seed", [0, 1])
def test_published_values(published: tuple[Tensor, Tensor, Tensor], seed: int) -> None:
    label = published[0]
    query = embedded(label, {0: (1, 0, 0), 3: (0, 1, 0), 5: (0, 0.6, 0.8), VOID: (0, 0, 1)})
    key = embedded(label, {0: (0.8, 0.6, 0), 3: (0, 0.8, 0.6), 5: (0.6, 0, 0.8), VOID: (1, 0, 0)})
    confusions = sample_confusions(*published, 8, 2, seeded(seed))
    at_anchors = [take_pixels(x, confusions.anchors) for x in (query, key)]
    at_negatives = take_pixels(query, confusions.negatives)

    def cost(is_real: Tensor) -> float:
        return disentanglement(*at_anchors, at_negatives, confusions._replace(is_real=is_real), 0.5).item()

    assert cost(confusions.is_real) == pytest.approx(0.5095934, abs=1e-6)
    for anchor, expected in {0: 0.3391779, 1: 0.3391779, 8: 0.8504244}.items():
        assert cost(confusions.anchors == anchor) == pytest.approx(expected, abs=1e-6)


def test_anchors_lose_their_right_class_to_a_class_of_the_picture(
    published: tuple[Tensor, Tensor, Tensor],
) -> None:
    """Not the void pixel, not the one that was wrong before, not the one taken for an absent class."""
    confusions = sample_confusions(*published, 8, 2, seeded())
    pairs = torch.stack([confusions.anchors, confusions.rows], 1)[confusions.is_real]
    assert sorted(pairs.tolist()) == [[0, 3], [1, 3], [8, 5]]


@pytest.mark.parametrize("patch, anchors", [(2, 3), (3, 2), (6, 2), (7, 0), (17, 0)])
def test_the_wrong_class_needs_enough_pixels(
    published: tuple[Tensor, Tensor, Tensor], patch: int, anchors: int
) -> None:
    """Class 5 has 2 pixels and class 3 has 6."""
    assert sample_confusions(*published, 8, patch, seeded()).is_real.sum() == anchors


@pytest.fixture
def scene() -> tuple[Tensor, Tensor, Tensor]:
    """Two pictures of 4 classes and void; predictions mostly right, those of both views mostly the same."""
    generator = seeded(3)

    def disturbed(x: Tensor, share: float) -> Tensor:
        noise = torch.randint(0, 4, x.shape, generator=generator)
        return torch.where(torch.rand(x.shape, generator=generator) < share, noise, x)

    label = torch.randint(0, 4, (2, 9, 11), generator=generator)
    original = disturbed(label, 0.3)
    jittered = disturbed(original, 0.5)
    label[1, :4] = VOID
    return label, original, jittered


def confused(scene: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Bool B x H x W: all anchors, every class being frequent enough."""
    label, original, jittered = scene
    return (label == original) & (jittered != original)


def test_negatives_are_different_pixels_of_their_picture_and_class(
    scene: tuple[Tensor, Tensor, Tensor],
) -> None:
    negatives = sample_confusions(*scene, 4, 6, seeded()).negatives
    assert negatives.shape == (2, 4, 6)
    assert torch.equal(scene[0].flatten()[negatives], torch.arange(4).view(1, 4, 1).expand(2, 4, 6))
    assert torch.equal(negatives // 99, torch.arange(2).view(2, 1, 1).expand(2, 4, 6))
    assert (negatives.sort(2).values.diff() > 0).all()


def test_negatives_are_equally_likely() -> None:
    """3 of 12 pixels: 500 +- 19 times in 2000 pictures."""
    label = torch.tensor([[0, 1, 1, 1, 1, 0], [1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 255, 0]]).repeat(2000, 1, 1)
    prediction = torch.zeros_like(label)
    negatives = sample_confusions(label, prediction, prediction, 2, 3, seeded()).negatives[:, 1]
    times = torch.bincount(negatives.flatten() % 18, minlength=18)
    assert torch.equal(times > 0, label[0].flatten() == 1)
    assert ((times[times > 0] - 500).abs() < 5 * 19.4).all()


def test_few_anchors_are_all_kept(scene: tuple[Tensor, Tensor, Tensor]) -> None:
    confusions = sample_confusions(*scene, 4, 6, seeded())
    found = confusions.anchors[confusions.is_real].sort().values
    assert torch.equal(found, confused(scene).flatten().nonzero().flatten())
    picture, wrong = confusions.rows // 4, confusions.rows % 4
    assert torch.equal(picture, confusions.anchors // 99)
    assert torch.equal(wrong, scene[2].flatten()[confusions.anchors])


def test_of_many_anchors_some_are_kept(
    scene: tuple[Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is the batch's: one picture may have more than its share."""
    is_anchor = confused(scene)
    monkeypatch.setattr(module, "ANCHORS_PER_PICTURE", int(is_anchor.sum()) // 2 - 1)
    confusions = sample_confusions(*scene, 4, 6, seeded())
    assert confusions.is_real.all()
    assert is_anchor.flatten()[confusions.anchors].all()
    assert len(set(confusions.anchors.tolist())) == 2 * (int(is_anchor.sum()) // 2 - 1)


def test_anchors_are_equally_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    """4000 of 12000 pixels, 6 alike in 2000 pictures: 667 +- 21 times each."""
    monkeypatch.setattr(module, "ANCHORS_PER_PICTURE", 2)
    label = torch.tensor([[0, 0, 0, 0, 0, 0, 1, 1]]).repeat(2000, 1, 1)
    anchors = sample_confusions(label, label, torch.ones_like(label), 2, 1, seeded()).anchors
    times = torch.bincount(anchors % 8, minlength=8)
    assert times[6:].tolist() == [0, 0]
    assert ((times[:6] - 2000 / 3).abs() < 5 * 21.1).all()


def test_the_generator_decides(scene: tuple[Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANCHORS_PER_PICTURE", 5)
    first, second, other = (sample_confusions(*scene, 4, 6, seeded(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert set(first.anchors.tolist()) != set(other.anchors.tolist())
    assert not torch.equal(first.negatives, other.negatives)


def embeddings(confusions: Confusions, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys of the anchors, queries of the negatives, with 5 channels."""
    anchors, generator = len(confusions.anchors), seeded()
    drawn = (
        torch.randn(n, 5, dtype=torch.float64, generator=generator)
        for n in (anchors, anchors, confusions.negatives.numel())
    )
    return tuple(torch.nn.functional.normalize(x, dim=1).to(dtype).requires_grad_() for x in drawn)


def cost_by_hand(
    parts: tuple[Tensor, Tensor, Tensor], confusions: Confusions, jittered: Tensor, temperature: float
) -> float:
    """Anchor by anchor, its negatives found by its picture and wrong class."""
    costs = []
    query, key, negatives = parts
    negatives = negatives.view(*confusions.negatives.shape, 5)
    for slot in confusions.is_real.nonzero().flatten().tolist():
        anchor = int(confusions.anchors[slot])
        against = negatives[anchor // 99, jittered.flatten()[anchor]]
        products = torch.cat([key[slot : slot + 1], against]) @ query[slot]
        positive, *others = (math.exp(product / temperature) for product in products.tolist())
        costs.append(-math.log(positive / (positive + sum(others))))
    return sum(costs) / len(costs)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
@pytest.mark.parametrize("limit", [10, 1000])
def test_cost_anchor_by_anchor(
    scene: tuple[Tensor, Tensor, Tensor], temperature: float, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANCHORS_PER_PICTURE", limit)
    confusions = sample_confusions(*scene, 4, 6, seeded())
    parts = embeddings(confusions)
    loss = disentanglement(*parts, confusions, temperature)
    expected = cost_by_hand(parts, confusions, scene[2], temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_gradient_reaches_queries_and_negatives_alone_and_is_right(
    scene: tuple[Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANCHORS_PER_PICTURE", 6)
    confusions = sample_confusions(*scene, 4, 3, seeded())
    query, key, negative = embeddings(confusions)
    disentanglement(query, key, negative, confusions, 0.5).backward()
    assert key.grad is None
    assert torch.autograd.gradcheck(
        lambda q, n: disentanglement(q, key, n, confusions, 0.5), (query, negative)
    )


def test_no_anchor_costs_nothing_and_keeps_the_graph() -> None:
    label = torch.full((2, 4, 4), VOID)
    prediction = torch.zeros_like(label)
    confusions = sample_confusions(label, prediction, prediction + 1, 4, 2, seeded())
    parts = embeddings(confusions)
    loss = disentanglement(*parts, confusions, 0.07)
    loss.backward()
    assert loss.item() == 0
    assert parts[0].grad.abs().sum() == parts[2].grad.abs().sum() == 0


def test_half_precision_is_compared_in_float32(scene: tuple[Tensor, Tensor, Tensor]) -> None:
    confusions = sample_confusions(*scene, 4, 6, seeded())
    parts = embeddings(confusions, dtype=torch.bfloat16)
    expected = disentanglement(*(x.float() for x in parts), confusions, 0.07)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = disentanglement(*parts, confusions, 0.07)
    torch.testing.assert_close(result, expected, rtol=0, atol=0)
