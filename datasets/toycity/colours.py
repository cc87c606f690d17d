"""Colours (RGB, 0 to 255), what is done with them, and the palettes that several domains share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from PIL import ImageColor

Colour = tuple[float, float, float]
Option = TypeVar("Option")


def palette(codes: str) -> tuple[Colour, ...]:
    """The colours with these hexadecimal codes: ``"ff0000 ffffff"`` is red and white."""
    return tuple(ImageColor.getrgb(f"#{code}") for code in codes.split())


def mixed(a: Sequence[float], b: Sequence[float], share: float) -> Colour:
    """The colour between ``a`` (share 0) and ``b`` (share 1)."""
    return tuple(x * (1 - share) + y * share for x, y in zip(a, b, strict=True))


def pick(rng: np.random.Generator, options: Sequence[Option]) -> Option:
    """One of the ``options``, such as a colour of a palette."""
    return options[int(rng.integers(len(options)))]


# Vehicles
VIVID = palette("c41e22 183ca8 ebebee 1c1e22 eeb214 aaaeb4 107a60")
SOBER = palette("222428 5c6064 969a9e ced0d2 263456 681e22 3c423e")
TOYLIKE = palette("f03c3c 3c6ef0 fafafa 3c4050 fad23c 5ac878")

# Leaves, as (dark, bright) pairs
CLEAR_LEAVES = (palette("163a0e 70a030"), palette("1e4216 5e8a34"), palette("103216 528c3c"))
DULL_LEAVES = (palette("1c2818 56663e"), palette("222a1a 626842"))
AUTUMN_LEAVES = (palette("5c280c d68228"), palette("6a4a0e deb23c"), palette("3c3e14 968c3a"))
