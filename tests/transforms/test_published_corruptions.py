"""Common corruptions against the package ``imagecorruptions`` (Michaelis et al., 2019), where it is there.

It has no part in the project. ``pip install --no-deps imagecorruptions`` installs it for this test.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import filters
from test_corruptions import scene

from transforms.corruptions import CORRUPTIONS, SEVERITIES

Corrupt = Callable[..., np.ndarray]

EQUAL = ("pixelate", "jpeg_compression")
WITHIN_A_LEVEL = (
    *("gaussian_noise", "defocus_blur", "motion_blur", "zoom_blur", "fog", "brightness", "contrast"),
    "elastic_transform",
)
# Few single draws fall on the other side of a limit in float32.
NEARLY = ("shot_noise", "glass_blur", "snow")
# With this side, all enlargements of snow fit: the package smears also what is beyond the picture.
SIDE = 180
# Impulses are drawn by scikit-image with a generator of its own, and frost is photographed there.
ALIKE = {"impulse_noise": 0.05, "frost": 0.25}
"""Name -> how much the mean strength may differ."""


class SameDraws:
    """The calls of a numpy Generator, answered by the old generator that the package uses."""

    def __init__(self, seed: int) -> None:
        self.old = np.random.RandomState(seed)
        self.uniform, self.poisson = self.old.uniform, self.old.poisson

    def standard_normal(self, size: tuple[int, ...], dtype: type) -> np.ndarray:
        return self.old.standard_normal(size).astype(dtype)

    def random(self, size: tuple[int, ...], dtype: type) -> np.ndarray:
        return self.old.random_sample(size).astype(dtype)

    def integers(
        self, low: int, high: int | None = None, size: tuple[int, ...] | None = None, dtype: type = int
    ) -> Any:
        return self.old.randint(low, high, size)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Corrupt:
    """The function of the package. It is of 2020, and gets back what its libraries have lost since."""
    if importlib.util.find_spec("imagecorruptions") is None:
        pytest.skip("needs the package imagecorruptions")
    folder = Path(importlib.util.find_spec("imagecorruptions").origin).parent
    resources = types.ModuleType("pkg_resources")
    resources.resource_filename = lambda package, file: str(folder / file)
    monkeypatch.setitem(sys.modules, "pkg_resources", resources)
    monkeypatch.setattr(np, "float_", np.float64, raising=False)
    module = importlib.import_module("imagecorruptions.corruptions")

    def gaussian(image: np.ndarray, sigma: Any, multichannel: bool = False, **more: Any) -> np.ndarray:
        return filters.gaussian(image, sigma, channel_axis=-1 if multichannel else None, **more)

    monkeypatch.setattr(module, "gaussian", gaussian)
    return importlib.import_module("imagecorruptions").corrupt


def differences(published: Corrupt, name: str, severity: int, size: tuple[int, int] = (64, 96)) -> np.ndarray:
    """Ours less theirs, in grey levels, with the same draws."""
    picture = scene(*size)
    np.random.seed(severity)  # noqa: NPY002
    theirs = published(picture, severity=severity, corruption_name=name)
    return CORRUPTIONS[name](picture, severity, SameDraws(severity)).astype(int) - theirs


@pytest.mark.parametrize("name", EQUAL)
def test_equal(published: Corrupt, name: str) -> None:
    for severity in SEVERITIES:
        assert not differences(published, name, severity).any()


@pytest.mark.parametrize("name", WITHIN_A_LEVEL)
def test_equal_within_a_grey_level(published: Corrupt, name: str) -> None:
    for severity in SEVERITIES:
        difference = np.abs(differences(published, name, severity))
        assert difference.max() <= 1
        assert difference.mean() < 0.1


@pytest.mark.parametrize("name", NEARLY)
def test_nearly_equal(published: Corrupt, name: str) -> None:
    size = (SIDE, SIDE) if name == "snow" else (64, 96)
    for severity in SEVERITIES:
        difference = np.abs(differences(published, name, severity, size))
        assert (difference <= 1).mean() > 0.999
        assert difference.mean() < 0.1


@pytest.mark.parametrize(("name", "tolerance"), ALIKE.items())
def test_as_strong(published: Corrupt, name: str, tolerance: float) -> None:
    picture = scene(64, 96).astype(int)
    for severity in SEVERITIES:
        strengths = []
        for seed in range(20):
            np.random.seed(seed)  # noqa: NPY002
            theirs = published(picture.astype(np.uint8), severity=severity, corruption_name=name)
            ours = CORRUPTIONS[name](picture.astype(np.uint8), severity, SameDraws(seed))
            strengths.append([np.abs(each - picture).mean() for each in (ours, theirs)])
        ours, theirs = np.mean(strengths, axis=0)
        assert ours == pytest.approx(theirs, rel=tolerance)
