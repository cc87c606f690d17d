"""Class-wise contrast: which pixels are drawn, and what they cost."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from loss.contrast import FILLS, NEGATIVES, PixelBlocks, class_contrast, sample_class_pixels, take_pixels
from utils.errors import UserError

PICTURES = 2000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pixels_of(counts: dict[int, int], width: int = 10) -> Tensor:
    """A label 1 x H x ``width`` with that many pixels of each class, shuffled."""
    label = torch.cat([torch.full((count,), name) for name, count in counts.items()])
    return label[torch.randperm(len(label), generator=seeded(5))].view(1, -1, width)


def class_of(label: Tensor, blocks: PixelBlocks) -> Tensor:
    """The labels of the sampled pixels, B x M x V."""
    return label.flatten()[blocks.pixels]


@pytest.fixture
def published() -> tuple[Tensor, Tensor, Tensor]:
    """Label, query and key maps of the published values: 4 rows of 0 0 3 3."""
    label = torch.tensor([0, 0, 3, 3]).repeat(1, 4, 1)
    is_first = (label == 0).unsqueeze(1)
    query, key = (
        torch.where(is_first, torch.tensor(first).view(1, 2, 1, 1), torch.tensor(second).view(1, 2, 1, 1))
        for first, second in (((1.0, 0.0), (0.6, 0.8)), ((0.8, 0.6), (0.0, 1.0)))
    )
    return label, query, key


@pytest.mark.parametrize("negatives, expected", [("all", 2.0556755), ("other_class", 1.2325515)])
@pytest.mark.parametrize("predicted", [0, 3, 7])
def test_published_values(
    published: tuple[Tensor, Tensor, Tensor], negatives: str, expected: float, predicted: int
) -> None:
    label, query, key = published
    blocks = sample_class_pixels(label, torch.full_like(label, predicted), 19, 2, 4, seeded())
    query, key = (take_pixels(x, blocks.pixels).view(1, 2, 4, 2) for x in (query, key))
    loss = class_contrast(query, key, blocks.is_active, 0.5, negatives)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "hard, easy, views, wanted",
    [
        (5, 5, 4, 2),
        (2, 3, 4, 2),
        (1, 9, 4, 1),
        (9, 1, 4, 3),
        (0, 9, 4, 0),
        (9, 0, 4, 4),
        (3, 3, 5, 2),
        (2, 8, 5, 2),
        (8, 2, 5, 3),
    ],
)
def test_half_of_a_block_is_hard_where_there_are_enough(hard: int, easy: int, views: int, wanted: int):
    label = pixels_of({6: hard + easy, 255: 30 - hard - easy})
    prediction = torch.full_like(label, 6)
    wrong = (label == 6).flatten().nonzero()[:hard]
    prediction.view(-1)[wrong] = 2
    block = sample_class_pixels(label, prediction, 19, 1, views, seeded()).pixels[0, 0]
    assert (prediction.flatten()[block] != 6).tolist() == [True] * wanted + [False] * (views - wanted)
    assert (label.flatten()[block] == 6).all()
    assert len(set(block.tolist())) == views


def test_blocks_are_the_first_classes_with_more_than_enough_pixels() -> None:
    label = torch.cat([pixels_of({3: 6, 7: 5, 9: 8, 12: 30, 18: 6, 255: 5}), pixels_of({0: 50, 255: 10})])
    prediction = torch.randint(0, 19, label.shape, generator=seeded())
    blocks = sample_class_pixels(label, prediction, 19, 3, 5, seeded())
    # Class 7 has 5 pixels and no more, class 18 comes fourth.
    assert blocks.classes.tolist() == [[3, 9, 12], [0, -1, -1]]
    named = blocks.classes >= 0
    drawn = class_of(label, blocks)[named]
    assert torch.equal(drawn, blocks.classes[named].unsqueeze(1).expand_as(drawn))
    assert blocks.is_active


def test_more_blocks_than_there_are_classes() -> None:
    label = torch.full((1, 4, 5), 2)
    blocks = sample_class_pixels(label, label, 3, 5, 1, seeded())
    assert blocks.classes.tolist() == [[2, -1, -1, -1, -1]]


def test_every_pixel_of_a_kind_is_equally_likely() -> None:
    """5 of 10 hard and 5 of 30 easy pixels: 1000 +- 22 and 333 +- 17 times in 2000 pictures."""
    label = pixels_of({1: 40, 255: 20}).repeat(PICTURES, 1, 1)
    wrong = (label[0] == 1).flatten().nonzero().flatten()[:10]
    prediction = torch.ones_like(label)
    prediction.flatten(1)[:, wrong] = 0
    blocks = sample_class_pixels(label, prediction, 19, 1, 10, seeded())
    times = torch.bincount(blocks.pixels.flatten() % 60, minlength=60).view(6, 10)
    hard = (prediction[0] == 0) & (label[0] == 1)
    easy = (prediction[0] == 1) & (label[0] == 1)
    assert times[label[0] == 255].sum() == 0
    assert ((times[hard] - PICTURES / 2).abs() < 5 * 22.4).all()
    assert ((times[easy] - PICTURES / 6).abs() < 5 * 16.7).all()


@pytest.mark.parametrize("fill", FILLS)
def test_missing_classes_are_filled(fill: str) -> None:
    """2 of 4 blocks of 5 are filled. Of all 40 pixels a filled one was drawn before with p = 1/4."""
    label = pixels_of({1: 8, 2: 8, 255: 24}).repeat(PICTURES, 1, 1)
    blocks = sample_class_pixels(label, label, 19, 4, 5, seeded(), fill)
    assert blocks.classes[0].tolist() == [1, 2, -1, -1]
    used, filled = blocks.pixels[:, :2].flatten(1), blocks.pixels[:, 2:].flatten(1)
    assert (filled.sort(1).values.diff() > 0).all()
    again = (filled.unsqueeze(2) == used.unsqueeze(1)).any(2).float().mean().item()
    assert again == (0 if fill == "unused" else pytest.approx(0.25, abs=0.02))
    void = (label.flatten()[filled] == 255).float().mean().item()
    assert void == pytest.approx(24 / 30 if fill == "unused" else 24 / 40, abs=0.02)


def test_filling_may_use_up_all_pixels() -> None:
    label = pixels_of({1: 6, 2: 6, 255: 8})
    blocks = sample_class_pixels(label, label, 19, 4, 5, seeded())
    assert blocks.pixels.flatten().sort().values.tolist() == list(range(20))


def test_a_picture_without_classes_is_filled_beside_another() -> None:
    label = torch.cat([torch.full((1, 4, 10), 255), pixels_of({1: 40})])
    blocks = sample_class_pixels(label, label, 19, 2, 5, seeded())
    assert blocks.classes.tolist() == [[-1, -1], [1, -1]]
    assert blocks.is_active
    first = set(blocks.pixels[0].flatten().tolist())
    assert len(first) == 10
    assert max(first) < 40


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_no_class_at_all_costs_nothing_and_keeps_the_graph(negatives: str) -> None:
    label = torch.full((2, 4, 4), 255)
    blocks = sample_class_pixels(label, label, 19, 2, 4, seeded(), "any")
    query = torch.randn(2, 2, 4, 3, requires_grad=True)
    loss = class_contrast(query, torch.randn(2, 2, 4, 3), blocks.is_active, 0.07, negatives)
    loss.backward()
    assert loss.item() == 0
    assert not blocks.is_active
    assert query.grad.abs().sum() == 0


def test_the_generator_decides() -> None:
    label = torch.randint(0, 3, (2, 12, 12), generator=seeded())
    prediction = torch.randint(0, 3, (2, 12, 12), generator=seeded(1))
    first, second, other = (
        sample_class_pixels(label, prediction, 19, 4, 6, seeded(seed)).pixels for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_a_grid_too_small_is_refused() -> None:
    label = torch.zeros(1, 16, 16, dtype=torch.long)
    with pytest.raises(UserError, match="--contrast_max_classes 15 x --contrast_max_views 50: .* 16 x 16 "):
        sample_class_pixels(label, label, 19, 15, 50, seeded())


def embeddings(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """2 pictures x 3 blocks x 4 pixels x 5 channels."""
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=seeded(seed))
    return torch.nn.functional.normalize(x, dim=3).to(dtype).requires_grad_()


def cost_by_hand(query: Tensor, key: Tensor, temperature: float, negatives: str) -> float:
    """Pixel by pixel."""
    total = 0.0
    for q, k in zip(query.flatten(1, 2).tolist(), key.flatten(1, 2).tolist(), strict=True):
        for a in range(12):
            exponentials = [
                math.exp(sum(x * y for x, y in zip(q[a], n, strict=True)) / temperature) for n in k
            ]
            others = [n for n in range(12) if negatives == "all" or n // 4 != a // 4]
            denominator = exponentials[a] + sum(exponentials[n] for n in others)
            total -= math.log(exponentials[a] / denominator)
    return total / 24


@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_cost_pixel_by_pixel(negatives: str, temperature: float) -> None:
    query, key = embeddings(0), embeddings(1)
    loss = class_contrast(query, key, torch.tensor(True), temperature, negatives)
    assert loss.item() == pytest.approx(cost_by_hand(query, key, temperature, negatives), rel=1e-9)


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_gradient_is_the_querys_alone_and_right(negatives: str) -> None:
    query, key = embeddings(0), embeddings(1)

    def loss(q: Tensor) -> Tensor:
        return class_contrast(q, key, torch.tensor(True), 0.5, negatives)

    loss(query).backward()
    assert key.grad is None
    assert torch.autograd.gradcheck(loss, (query,))


def test_one_block_has_no_pixel_of_another_class() -> None:
    query = embeddings(0)[:, :1].detach().requires_grad_()
    loss = class_contrast(query, embeddings(1)[:, :1], torch.tensor(True), 0.07, "other_class")
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert query.grad.abs().max() < 1e-12


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_half_precision_is_compared_in_float32(negatives: str) -> None:
    query, key = embeddings(0, torch.bfloat16), embeddings(1, torch.bfloat16)
    expected = class_contrast(query.float(), key.float(), torch.tensor(True), 0.07, negatives)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = class_contrast(query, key, torch.tensor(True), 0.07, negatives)
    torch.testing.assert_close(result, expected, rtol=0, atol=0)
