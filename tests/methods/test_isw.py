"""ISW's schedule, masks and loss, on pictures that need no data set."""

from __future__ import annotations

import pytest
import torch
from examples import batch
from host_waits import CPU, META, NoHostWaits, autocast_on_meta, forbid_reading
from programs import arguments

from loss.whitening import covariance, upper_triangle
from methods import Progress
from methods.isw import InstanceSelectiveWhitening
from network import create_network
from utils.errors import UserError

CODES = (0, 0, 2, 2, 2, 0, 0)


def isw(*flags: str, wt_layer: tuple[int, ...] = CODES) -> InstanceSelectiveWhitening:
    torch.manual_seed(0)
    return InstanceSelectiveWhitening(create_network("mobilenet_v2", wt_layer=wt_layer), arguments(*flags))


class Pictures:
    """Statistics loaders: some pictures, and as jittered views the same with other colours."""

    def __init__(self, count: int = 2) -> None:
        self.images = torch.randint(0, 256, (count, 3, 32, 32), generator=torch.Generator().manual_seed(1))
        self.rounds: list[int] = []

    def covariance_pairs(self, trial: int):
        self.rounds.append(trial)
        images = self.images.to(torch.uint8)
        jittered = (self.images.flip(1) * 0.5 + 10 * trial).to(torch.uint8)
        yield [{"image": a[None], "image_jittered": b[None]} for a, b in zip(images, jittered, strict=True)]


def finished(epoch: int) -> Progress:
    return Progress(iteration=epoch + 1, max_iteration=100, epoch=epoch)


@pytest.mark.parametrize(
    ("flags", "built"),
    [(["--cov_stat_epoch", "2"], [2]), (["--cov_stat_epoch", "1", "--dynamic"], [1, 3, 5])],
)
def test_masks_are_built_after_the_published_epochs(flags: list[str], built: list[int]) -> None:
    method, pictures, epochs = isw(*flags, "--trials", "2"), Pictures(), []
    for epoch in range(7):
        before = len(pictures.rounds)
        method.after_epoch(finished(epoch), pictures)
        if len(pictures.rounds) > before:
            epochs.append(epoch)
            assert pictures.rounds[before:] == [0, 1]
    assert epochs == built


def test_the_loss_starts_after_the_mask_epoch() -> None:
    method = isw("--cov_stat_epoch", "1", "--trials", "1")
    method.after_epoch(finished(1), Pictures())
    during, after = (method(batch(), "source", Progress(0, 100, epoch))["whitening"] for epoch in (1, 2))
    assert during == 0
    assert after > 0
    assert after.requires_grad


def test_more_trials_intersect_the_masks() -> None:
    sizes = []
    for trials in ("1", "3"):
        method = isw("--trials", trials)
        method.build_masks(Pictures())
        sizes.append([method.mask(site) for site in (2, 3, 4)])
    for one, three in zip(*sizes, strict=True):
        assert (three <= one).all()
        assert three.sum() > 0


def test_loss_is_the_mean_masked_covariance() -> None:
    method = isw("--wt_reg_weight", "0.6", "--trials", "1", wt_layer=(0, 0, 2, 0, 0, 0, 0))
    method.build_masks(Pictures())
    method.eval()
    features = {"site2": torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(3))}
    mask = method.mask(2)
    expected = (covariance(features["site2"]).abs() * mask).sum((1, 2)).div(mask.sum()).mean()
    assert torch.isclose(method.whitening(features, Progress(0, 1, 99)), expected)


def test_iw_and_irw_need_no_masks_and_differ_by_the_margin() -> None:
    codes = (0, 0, 1, 1, 1, 0, 0)
    plain, relaxed = (isw("--relax_denom", denominator, wt_layer=codes) for denominator in ("0", "32"))
    assert torch.equal(plain.mask(2), upper_triangle(16))
    first, second = (m(batch(), "source", Progress(0, 100, 0))["whitening"] for m in (plain, relaxed))
    assert first > second > 0
    pictures = Pictures()
    plain.after_epoch(finished(5), pictures)
    assert pictures.rounds == []


def test_iw_and_isw_sites_mix() -> None:
    method = isw("--trials", "1", wt_layer=(0, 0, 1, 2, 0, 0, 0))
    method.build_masks(Pictures())
    assert torch.equal(method.mask(2), upper_triangle(16))
    assert 0 < method.mask(3).sum() < upper_triangle(32).sum()


def test_relaxed_selection_leaves_its_share_alone() -> None:
    method = isw("--relax_denom", "4", "--trials", "1", wt_layer=(0, 0, 2, 0, 0, 0, 0))
    method.build_masks(Pictures())
    assert method.mask(2).sum() == 120 - 30


def test_masks_travel_with_the_state() -> None:
    method, other = isw("--trials", "1"), isw("--trials", "1")
    method.build_masks(Pictures())
    other.load_state_dict(method.state_dict())
    assert torch.equal(other.mask(3), method.mask(3))


def test_building_masks_leaves_the_network_as_it_was() -> None:
    method = isw("--trials", "1").train()
    before = {name: value.clone() for name, value in method.network.state_dict().items()}
    method.build_masks(Pictures())
    assert method.training
    assert all(torch.equal(value, before[name]) for name, value in method.network.state_dict().items())


@pytest.mark.parametrize(
    ("flags", "codes", "message"),
    [
        ([], (0, 0, 4, 0, 0, 0, 0), "--method isw"),
        (["--clusters", "1"], CODES, "--clusters 1"),
        (["--trials", "0"], CODES, "--trials 0"),
    ],
)
def test_settings_that_train_no_isw_are_refused(flags, codes, message) -> None:
    with pytest.raises(UserError, match=message):
        isw(*flags, wt_layer=codes)


@pytest.mark.parametrize("device", [CPU, META], ids=str)
def test_the_statistics_do_not_wait_for_the_device(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loader's pictures are copied as they are, in its pinned memory: on the host nothing is computed."""
    method, (pairs,) = isw().to(device).eval(), Pictures(3).covariance_pairs(0)
    forbid_reading(monkeypatch)
    autocast_on_meta(monkeypatch)
    with NoHostWaits(device, float64=True):
        variances = method.mean_pair_variance(pairs, [2])
    assert variances[2].device == device
