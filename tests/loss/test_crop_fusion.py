"""Crops on their canvas and back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from loss.self_supervision import from_canvas, fuse, most_certain, refine

SIZE = 32
WHOLE = (1.0, 1.0, 0.0, 0.0)


def places(*crops: tuple[float, float, float, float]) -> tuple[Tensor, Tensor]:
    """Maps 1 x T x 2 x 3 of crops (sign, scale, x, y): -1 = mirrored, side and centre as shares of the
    canvas.
    """
    forth = [[[f / s, 0, -f * x / s], [0, 1 / s, -y / s]] for f, s, x, y in crops]
    back = [[[f * s, 0, x], [0, s, y]] for f, s, x, y in crops]
    return torch.tensor([forth]), torch.tensor([back])


def ramp() -> Tensor:
    """Two classes whose probabilities change evenly across the canvas, 1 x 2 x H x W."""
    y, x = torch.meshgrid(torch.linspace(0, 1, SIZE), torch.linspace(0, 1, SIZE), indexing="ij")
    first = 0.1 + 0.5 * x + 0.3 * y
    return torch.stack([first, 1 - first])[None]


def random_maps(crops: int, classes: int = 5) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(1, crops, classes, SIZE, SIZE, generator=rng).softmax(2)


@pytest.mark.parametrize(
    "crop", [WHOLE, (-1, 1, 0, 0), (1, 0.5, 0, 0), (-1, 0.5, 0.5, -0.25), (1, 0.7, 0.1, 0.2), (-1, 1.5, 0, 0)]
)
def test_there_and_back_a_gradient_stays_in_place(crop: tuple[float, float, float, float]) -> None:
    forth, back = places(crop)
    part = from_canvas(ramp(), back)
    on_canvas = fuse(part, forth, "mean")
    covered = on_canvas.sum(1) > 0
    covered &= F.max_pool2d((~covered).float(), 5, 1, 2) == 0
    covered[:, :2] = covered[:, -2:] = covered[..., :2] = covered[..., -2:] = False
    assert covered.sum() > 60
    off = (on_canvas - ramp()).abs().amax(1)[covered]
    assert off.max() < 1e-5


def test_a_crop_is_what_cutting_it_out_gives() -> None:
    canvas = random_maps(1)[0]
    _, back = places((1, 0.5, -0.5, 0.5), (-1, 0.5, -0.5, 0.5))
    plain, mirrored = from_canvas(canvas, back)[0]
    cut = F.interpolate(canvas[:, :, 16:, :16], scale_factor=2, mode="bilinear", align_corners=False)[0]
    inner = (slice(None), slice(1, -1), slice(1, -1))
    torch.testing.assert_close(plain[inner], cut[inner], rtol=0, atol=1e-5)
    torch.testing.assert_close(mirrored, plain.flip(2), rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.0])
def test_predictions_of_a_crop_on_the_canvas_stay_probabilities(scale: float) -> None:
    forth, back = places(WHOLE, (1, scale, 1 - scale, scale - 1))
    refined = refine(random_maps(2), forth, back, "mean")
    torch.testing.assert_close(refined.sum(2), torch.ones(1, 2, SIZE, SIZE))


def test_fusion_is_the_mean_over_the_crops_that_cover_a_place() -> None:
    maps = torch.tensor([[0.9, 0.1], [0.3, 0.7]])[None, :, :, None, None].expand(1, 2, 2, SIZE, SIZE)
    canvas = fuse(maps, places(WHOLE, (-1, 0.5, 0, 0))[0], "mean")[0, 0]
    assert torch.allclose(canvas[10:22, 10:22], torch.tensor(0.6))
    assert torch.allclose(canvas[:7], torch.tensor(0.9))
    assert torch.allclose(canvas[:, 25:], torch.tensor(0.9))


def test_padded_pixels_do_not_dilute_the_others() -> None:
    maps = random_maps(2)
    maps[:, 1, :, : SIZE // 2] = 0
    canvas = fuse(maps, places(WHOLE, WHOLE)[0], "mean")[0]
    torch.testing.assert_close(canvas[:, : SIZE // 2], maps[0, 0, :, : SIZE // 2])
    torch.testing.assert_close(canvas[:, SIZE // 2 :], maps[0, :, :, SIZE // 2 :].mean(0))


def test_a_crop_that_is_larger_than_the_canvas_has_nothing_beyond_it() -> None:
    forth, back = places((1, 2, 0, 0))
    part = from_canvas(ramp(), back)[0, 0].sum(0)
    assert torch.allclose(part[8:24, 8:24], torch.tensor(1.0))
    assert part.sum() == pytest.approx(16 * 16)
    assert torch.allclose(fuse(part.expand(1, 1, 1, -1, -1), forth, "mean"), torch.tensor(1.0))


def test_the_most_certain_crop_wins_where_it_is() -> None:
    maps = torch.tensor([[0.6, 0.4], [0.05, 0.95]])[None, :, :, None, None].expand(1, 2, 2, SIZE, SIZE)
    canvas = fuse(maps, places(WHOLE, (1, 0.5, 0, 0))[0], "min_entropy")[0, 0]
    assert torch.allclose(canvas[10:22, 10:22], torch.tensor(0.05))
    assert torch.allclose(canvas[:7], torch.tensor(0.6))
    placed = random_maps(3)
    best = (placed * placed.log()).sum(2).argmax(1)[0]
    chosen = most_certain(placed)[0]
    for number in range(3):
        assert torch.equal(chosen[:, best == number], placed[0, number][:, best == number])


def test_without_fusion_every_crop_keeps_its_own() -> None:
    maps = random_maps(3)
    assert torch.equal(refine(maps, *places(*[WHOLE] * 3), "none", slice(1, 3)), maps[:, 1:])


def test_some_of_the_crops() -> None:
    maps, (forth, back) = random_maps(3), places(WHOLE, (-1, 0.6, 0.1, 0), (1, 0.5, -0.2, 0.3))
    both = refine(maps, forth, back, "mean")
    assert torch.equal(refine(maps, forth, back, "mean", slice(1, 2)), both[:, 1:2])


def test_groups_do_not_mix() -> None:
    forth, back = places(WHOLE, (-1, 0.6, 0.1, 0))
    maps = random_maps(4).view(2, 2, 5, SIZE, SIZE)
    both = refine(maps, forth.expand(2, -1, -1, -1), back.expand(2, -1, -1, -1), "mean")
    torch.testing.assert_close(both[1:], refine(maps[1:], forth, back, "mean"), rtol=0, atol=0)


def test_places_are_exact_under_autocast() -> None:
    forth, back = places(WHOLE, (-1, 0.61, 0.1, 0.03))
    expected = refine(random_maps(2), forth, back, "mean")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(refine(random_maps(2), forth, back, "mean"), expected)
        assert refine(random_maps(2).bfloat16(), forth, back, "mean").dtype == torch.float32
