"""The look of each domain: its light and colours, its streets and its cameras.

Arguments that belong together share a line: first the road, then the houses, then the trees. They are drawn
in the order in which they are written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from datasets.toycity.colours import (
    AUTUMN_LEAVES,
    CLEAR_LEAVES,
    DULL_LEAVES,
    SOBER,
    TOYLIKE,
    VIVID,
    Colour,
    palette,
    pick,
)
from datasets.toycity.looks import Lens, Light, Look, Place, dull, night, overcast, rainy, sunny


def _gtav(rng: np.random.Generator, index: int, size: tuple[int, int]) -> Look:
    light = sunny(rng)
    if index % 6 == 5:  # a low evening sun
        light = replace(
            light, sky_low=(250, 206, 150), haze=(240, 208, 168), cloud=(255, 232, 206), ambient=0.54
        )
    place = Place(
        lanes=(1, 2, 2), lane_width=3.5, asphalt=(92, 92, 98), marking=(238, 238, 232),
        centre_line=(236, 184, 40), pavement=(188, 180, 168), grass=(134, 158, 66),
        facades=palette("dec498 ce7e5c e8decc ac5842 c4b278 96a0b2 e0a88c"),
        walls=palette("d6cec0 b08068 c6ba96"), vehicles=VIVID, leaves=CLEAR_LEAVES,
        heights=(6.0, 24.0), pitched=0.12, palms=0.4,
    )  # fmt: skip
    lens = Lens(
        size=size, focal=rng.uniform(0.74, 0.86), eye=rng.uniform(1.35, 1.7), horizon=rng.uniform(0.44, 0.52),
        saturation=1.22, contrast=1.12, balance=(1.03, 1.0, 0.95), vignette=0.12,
    )  # fmt: skip
    return Look(light, place, lens)


def _cityscapes(rng: np.random.Generator, index: int, size: tuple[int, int]) -> Look:
    place = Place(
        lanes=(1, 1, 2), lane_width=3.2, asphalt=(98, 102, 102), marking=(206, 210, 208),
        centre_line=(206, 210, 208), pavement=(142, 142, 140), grass=(98, 112, 72),
        facades=palette("a89a84 b6b0a0 8c7464 9ea09e baa680 7e6c62"),
        walls=palette("84847e 786456 96948c"), vehicles=SOBER, leaves=DULL_LEAVES,
        heights=(9.0, 19.0), pitched=0.6, bare=0.15,
    )  # fmt: skip
    lens = Lens(
        size=size, focal=rng.uniform(1.0, 1.12), eye=1.25, horizon=rng.uniform(0.40, 0.45), hood=0.085,
        saturation=0.66, contrast=0.9, balance=(0.95, 1.02, 0.96), noise=2.0, blur=0.35,
    )  # fmt: skip
    return Look(overcast(rng), place, lens)


def _synthia(rng: np.random.Generator, index: int, size: tuple[int, int]) -> Look:
    light = replace(
        sunny(rng), sky_top=(92, 168, 250), sky_low=(150, 204, 250), clouds=0.22,
        haze=(176, 206, 236), haze_density=0.0015, ambient=0.74, sun_strength=0.4, shadow=0.3,
    )  # fmt: skip
    if index % 4 == 3:
        light = replace(
            light, sky_top=(122, 116, 178), sky_low=(248, 178, 140), haze=(208, 170, 170), ambient=0.62
        )
    place = Place(
        lanes=(1, 2, 2), lane_width=3.4, asphalt=(112, 116, 134), marking=(250, 250, 250),
        centre_line=(250, 250, 250), pavement=(214, 196, 176), grass=(92, 176, 74),
        facades=palette("ec9678 f6d682 96bede e8e8f0 c4a0d4 a0ceaa d26e64"),
        walls=palette("e2bea0 aaaac4"), vehicles=TOYLIKE,
        leaves=(palette("2c7a2c 6ec450"), palette("1e683c 5ab46e")), heights=(7.0, 22.0), pitched=0.45,
    )  # fmt: skip
    eye = float(rng.choice([0.9, 1.6, 2.6, 4.0, 6.0])) * rng.uniform(0.9, 1.1)
    lens = Lens(
        size=size, focal=rng.uniform(0.62, 0.9), eye=eye,
        horizon=float(np.clip(0.5 - 0.055 * eye + rng.uniform(-0.04, 0.04), 0.16, 0.52)),
        lateral=rng.uniform(-2.5, 4.5), shift=rng.uniform(-0.12, 0.12), roll=rng.uniform(-0.02, 0.02),
        saturation=1.1, contrast=1.0, offset=6.0, texture=0.22, outline=0.5,
    )  # fmt: skip
    return Look(light, place, lens)


def _bdd100k(rng: np.random.Generator, index: int, size: tuple[int, int]) -> Look:
    weather = ("day", "night", "rain", "day", "night", "dull")[index % 6]
    light = {"day": sunny, "night": night, "rain": rainy, "dull": dull}[weather](rng)
    if weather == "day":
        light = replace(
            light, sky_top=(120, 164, 214), sky_low=(214, 226, 236), shadow=0.42, haze_density=0.006
        )
    place = Place(
        lanes=(1, 2, 2), lane_width=3.6, asphalt=(106, 106, 106), marking=(218, 218, 214),
        centre_line=(214, 180, 84), pavement=(164, 160, 154), grass=(112, 124, 70),
        facades=palette("9e6c54 b8aa96 88827e c8beae 925c4e 78808a"),
        walls=palette("a09c94 887062"), vehicles=SOBER + VIVID[:3],
        leaves=(*CLEAR_LEAVES[1:], DULL_LEAVES[0]), heights=(6.0, 30.0), pitched=0.15, bare=0.2,
    )  # fmt: skip
    lens = Lens(
        size=size, focal=rng.uniform(0.86, 1.0), eye=rng.uniform(1.2, 1.5), horizon=rng.uniform(0.46, 0.56),
        hood=float(rng.choice([0.0, 0.06, 0.1])), saturation=0.85, contrast=0.95,
        balance=(1.0, 1.0, 1.0) if weather != "night" else (1.12, 0.98, 0.86),
        noise=6.0 if weather == "night" else 2.5, blur=0.9 if weather == "rain" else 0.5, vignette=0.2,
    )  # fmt: skip
    return Look(light, place, lens)


def _greyish(rng: np.random.Generator, low: float, high: float) -> Colour:
    level = rng.uniform(low, high)
    return level, 0.97 * level, level * rng.uniform(0.9, 1.0)


_MAPILLARY_SHAPES = ((1.0, 1.0), (1.1, 0.7), (1.3, 0.5), (0.9, 0.8), (1.2, 1.1), (1.4, 0.42))


def _mapillary(rng: np.random.Generator, index: int, size: tuple[int, int]) -> Look:
    tall, wide = _MAPILLARY_SHAPES[index % len(_MAPILLARY_SHAPES)]
    height, width = max(32, round(size[0] * tall)), max(32, round(size[1] * wide))
    weather = ("sunny", "dull", "sunny", "snow", "dull")[index % 5]
    light = {"sunny": sunny, "dull": dull, "snow": overcast}[weather](rng)
    light = replace(light, shadow=light.shadow * 0.85, haze_density=rng.uniform(0.003, 0.01))
    leaves = pick(rng, (CLEAR_LEAVES, AUTUMN_LEAVES, DULL_LEAVES))
    snow = weather == "snow"
    place = Place(
        lanes=(1, 1, 2), lane_width=rng.uniform(3.0, 3.6), asphalt=_greyish(rng, 78, 128),
        marking=(228, 228, 222), centre_line=pick(rng, ((228, 228, 222), (226, 186, 70))),
        pavement=_greyish(rng, 136, 196),
        grass=(226, 230, 236) if snow else pick(rng, ((120, 136, 70), (156, 142, 92))),
        facades=palette("c4a078 d8cebe a4604a 969aa0 d6b66e 788c96 ca826a"),
        walls=palette("b0a89a 967460 c4beb8"), vehicles=SOBER + VIVID, leaves=DULL_LEAVES if snow else leaves,
        heights=(5.0, 18.0), pitched=0.4, palms=0.1, bare=0.8 if snow else 0.1, snow=snow,
    )  # fmt: skip
    lens = Lens(
        size=(height, width), focal=rng.uniform(0.75, 1.05) * max(1.0, 0.8 * (height / width)),
        eye=rng.uniform(1.3, 2.3), horizon=rng.uniform(0.42, 0.56), lateral=rng.uniform(-0.6, 1.2),
        shift=rng.uniform(-0.06, 0.06), roll=rng.uniform(-0.035, 0.035),
        hood=float(rng.choice([0.0, 0.0, 0.05])),
        saturation=rng.uniform(0.75, 1.2), contrast=rng.uniform(0.85, 1.15),
        balance=tuple(float(v) for v in rng.uniform(0.92, 1.08, 3)), offset=rng.uniform(-8, 10),
        noise=rng.uniform(1.0, 7.0), blur=float(rng.choice([0.0, 0.4, 0.8])), vignette=rng.uniform(0.0, 0.3),
    )  # fmt: skip
    return Look(light, place, lens)


def _city(
    place: Place,
    weathers: tuple[Callable[[np.random.Generator], Light], ...],
    haze: Colour,
    haze_density: float,
    balance: Colour,
    rng: np.random.Generator,
    index: int,
    size: tuple[int, int],
) -> Look:
    """The look of a cross-city domain, whose pictures take ``weathers`` in turn.

    The camera is high and wide, and the same in all cities but for its white ``balance``.
    """
    light = replace(weathers[index % len(weathers)](rng), haze=haze, haze_density=haze_density)
    lens = Lens(
        size=size, focal=rng.uniform(0.56, 0.64), eye=rng.uniform(2.3, 2.6), horizon=rng.uniform(0.46, 0.52),
        lateral=rng.uniform(-0.6, 0.6), shift=rng.uniform(-0.05, 0.05),
        saturation=0.95, contrast=0.92, balance=balance, offset=4.0, noise=1.5, blur=0.5,
    )  # fmt: skip
    return Look(light, place, lens)


_ROME = Place(
    lanes=(1, 1, 2), lane_width=3.0, asphalt=(84, 82, 84), marking=(222, 220, 212),
    centre_line=(222, 220, 212), pavement=(136, 130, 122), grass=(126, 132, 70),
    facades=palette("d69a60 c67652 e2b882 ce8a6c dcc8a4 ba6a4e"), walls=palette("be9674 a88064"),
    vehicles=SOBER, leaves=CLEAR_LEAVES[:2], heights=(10.0, 20.0), pitched=0.5,
)  # fmt: skip
_RIO = Place(
    lanes=(1, 2, 2), lane_width=3.3, asphalt=(112, 108, 104), marking=(226, 222, 206),
    centre_line=(230, 188, 60), pavement=(196, 190, 182), grass=(86, 146, 58),
    facades=palette("ece8dc e8c46e 80b2be e29480 c6cec4 98be8e"), walls=palette("cec6b6 96a696"),
    vehicles=VIVID, leaves=(palette("144618 60b23e"), palette("1a5226 78be4c")),
    heights=(6.0, 30.0), pitched=0.1, palms=0.7,
)  # fmt: skip
_TOKYO = Place(
    lanes=(1, 1, 2), lane_width=2.9, asphalt=(122, 124, 128), marking=(240, 240, 238),
    centre_line=(240, 240, 238), pavement=(172, 174, 176), grass=(104, 126, 82),
    facades=palette("e2e2e0 c4c8ce aca49a d4cec2 969eaa eeeae2"), walls=palette("bcbcba a09c96"),
    vehicles=(*SOBER[2:4], *SOBER[:1], *VIVID[2:3]), leaves=(*CLEAR_LEAVES[2:], DULL_LEAVES[0]),
    heights=(7.0, 26.0), pitched=0.25,
)  # fmt: skip
_TAIPEI = Place(
    lanes=(2, 2, 1), lane_width=3.2, asphalt=(88, 92, 94), marking=(220, 222, 214),
    centre_line=(226, 186, 66), pavement=(150, 152, 146), grass=(92, 124, 74),
    facades=palette("9e988e 888c8a b6ac9c 787670 a8b0ac 968074"), walls=palette("8e8e88 787068"),
    vehicles=SOBER + VIVID[4:6], leaves=(palette("183e1e 589246"), DULL_LEAVES[1]),
    heights=(12.0, 30.0), pitched=0.05, palms=0.25,
)  # fmt: skip

_ZURICH = Place(
    lanes=(1, 1, 2), lane_width=3.1, asphalt=(100, 102, 104), marking=(222, 222, 216),
    centre_line=(222, 222, 216), pavement=(152, 150, 146), grass=(96, 118, 66),
    facades=palette("c6b494 b0a48e c4c0b4 96887a b89878 a8aca4 8e969c"),
    walls=palette("8e8a80 a09684 7c766c"), vehicles=SOBER, leaves=(*DULL_LEAVES, CLEAR_LEAVES[1]),
    heights=(8.0, 18.0), pitched=0.65, bare=0.2,
)  # fmt: skip


def _zurich(rng: np.random.Generator, index: int, size: tuple[int, int]) -> Look:
    """The clear day of a place that is also seen in other weathers, with a wider lens than Cityscapes'."""
    light = (overcast, sunny, overcast, dull)[index % 4](rng)
    light = replace(light, haze_density=0.5 * light.haze_density, shadow=0.9 * light.shadow)
    lens = Lens(
        size=size, focal=rng.uniform(0.78, 0.86), eye=rng.uniform(1.3, 1.5), horizon=rng.uniform(0.46, 0.53),
        lateral=rng.uniform(-0.3, 0.3), saturation=0.86, contrast=1.0, balance=(0.99, 1.0, 1.0),
        noise=1.6, blur=0.4, vignette=0.1,
    )  # fmt: skip
    return Look(light, _ZURICH, lens)


Maker = Callable[[np.random.Generator, int, tuple[int, int]], Look]
"""Draws the look of picture ``index``. ``size`` is (height, width); only mapillary varies it."""

_DEFAULT: dict[str, Maker] = {
    "gtav": _gtav,
    "cityscapes": _cityscapes,
    "synthia": _synthia,
    "bdd100k": _bdd100k,
    "mapillary": _mapillary,
}
# Streets, weathers, haze and its density, white balance
_CITIES = {
    "rome": (_ROME, (sunny, sunny, overcast), (222, 212, 194), 0.004, (1.05, 1.0, 0.92)),
    "rio": (_RIO, (sunny, sunny, dull), (196, 216, 226), 0.006, (0.98, 1.03, 1.0)),
    "tokyo": (_TOKYO, (overcast, sunny, overcast), (214, 220, 228), 0.005, (0.97, 1.0, 1.05)),
    "taipei": (_TAIPEI, (dull, overcast, rainy), (190, 198, 194), 0.009, (0.97, 1.03, 0.97)),
}
LOOKS = _DEFAULT | {f"nthu_{name}": partial(_city, *city) for name, city in _CITIES.items()}
LOOKS |= {"acdc": _zurich, "dark_zurich": _zurich}

DOMAINS: tuple[str, ...] = tuple(_DEFAULT)
"""The domains that are made by default."""

ALL_DOMAINS: tuple[str, ...] = tuple(LOOKS)
"""These and the domains that are made only on demand. The place of a domain here is part of its seed."""
