"""The look of each domain: its light and colours, its streets and its cameras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from datasets.toycity.cities import CITIES, city_look
from datasets.toycity.looks import Colour, Lens, Look, Place, dull, night, overcast, rainy, sunny
from datasets.toycity.palettes import AUTUMN_LEAVES, CLEAR_LEAVES, DULL_LEAVES, SOBER, TOYLIKE, VIVID


def _gtav(rng: np.random.Generator, index: int, size: tuple[int, int]) -> Look:
    light = sunny(rng)
    if index % 6 == 5:  # a low evening sun
        light = replace(
            light, sky_low=(250, 206, 150), haze=(240, 208, 168), cloud=(255, 232, 206), ambient=0.54
        )
    place = Place(
        lanes=(1, 2, 2),
        lane_width=3.5,
        asphalt=(92, 92, 98),
        marking=(238, 238, 232),
        centre_line=(236, 184, 40),
        pavement=(188, 180, 168),
        grass=(134, 158, 66),
        facades=(
            (222, 196, 152), (206, 126, 92), (232, 222, 204), (172, 88, 66), (196, 178, 120), (150, 160, 178),
            (224, 168, 140),
        ),
        walls=((214, 206, 192), (176, 128, 104), (198, 186, 150)),
        vehicles=VIVID,
        leaves=CLEAR_LEAVES,
        heights=(6.0, 24.0),
        pitched=0.12,
        palms=0.4,
    )  # fmt: skip
    lens = Lens(
        size=size,
        focal=float(rng.uniform(0.74, 0.86)),
        eye=float(rng.uniform(1.35, 1.7)),
        horizon=float(rng.uniform(0.44, 0.52)),
        saturation=1.22,
        contrast=1.12,
        balance=(1.03, 1.0, 0.95),
        vignette=0.12,
    )
    return Look(light, place, lens)


def _cityscapes(rng: np.random.Generator, index: int, size: tuple[int, int]) -> Look:
    place = Place(
        lanes=(1, 1, 2),
        lane_width=3.2,
        asphalt=(98, 102, 102),
        marking=(206, 210, 208),
        centre_line=(206, 210, 208),
        pavement=(142, 142, 140),
        grass=(98, 112, 72),
        facades=(
            (168, 154, 132), (182, 176, 160), (140, 116, 100), (158, 160, 158), (186, 166, 128),
            (126, 108, 98),
        ),
        walls=((132, 132, 126), (120, 100, 86), (150, 148, 140)),
        vehicles=SOBER,
        leaves=DULL_LEAVES,
        heights=(9.0, 19.0),
        pitched=0.6,
        bare=0.15,
    )  # fmt: skip
    lens = Lens(
        size=size,
        focal=float(rng.uniform(1.0, 1.12)),
        eye=1.25,
        horizon=float(rng.uniform(0.40, 0.45)),
        hood=0.085,
        saturation=0.66,
        contrast=0.9,
        balance=(0.95, 1.02, 0.96),
        noise=2.0,
        blur=0.35,
    )
    return Look(overcast(rng), place, lens)


def _synthia(rng: np.random.Generator, index: int, size: tuple[int, int]) -> Look:
    light = replace(
        sunny(rng),
        sky_top=(92, 168, 250),
        sky_low=(150, 204, 250),
        clouds=0.22,
        haze=(176, 206, 236),
        haze_density=0.0015,
        ambient=0.74,
        sun_strength=0.4,
        shadow=0.3,
    )
    if index % 4 == 3:
        light = replace(
            light, sky_top=(122, 116, 178), sky_low=(248, 178, 140), haze=(208, 170, 170), ambient=0.62
        )
    place = Place(
        lanes=(1, 2, 2),
        lane_width=3.4,
        asphalt=(112, 116, 134),
        marking=(250, 250, 250),
        centre_line=(250, 250, 250),
        pavement=(214, 196, 176),
        grass=(92, 176, 74),
        facades=(
            (236, 150, 120), (246, 214, 130), (150, 190, 222), (232, 232, 240), (196, 160, 212),
            (160, 206, 170), (210, 110, 100),
        ),
        walls=((226, 190, 160), (170, 170, 196)),
        vehicles=TOYLIKE,
        leaves=(((44, 122, 44), (110, 196, 80)), ((30, 104, 60), (90, 180, 110))),
        heights=(7.0, 22.0),
        pitched=0.45,
    )  # fmt: skip
    eye = float(rng.choice([0.9, 1.6, 2.6, 4.0, 6.0])) * float(rng.uniform(0.9, 1.1))
    lens = Lens(
        size=size,
        focal=float(rng.uniform(0.62, 0.9)),
        eye=eye,
        horizon=float(np.clip(0.5 - 0.055 * eye + rng.uniform(-0.04, 0.04), 0.16, 0.52)),
        lateral=float(rng.uniform(-2.5, 4.5)),
        shift=float(rng.uniform(-0.12, 0.12)),
        roll=float(rng.uniform(-0.02, 0.02)),
        saturation=1.1,
        contrast=1.0,
        offset=6.0,
        texture=0.22,
        outline=0.5,
    )
    return Look(light, place, lens)


def _bdd100k(rng: np.random.Generator, index: int, size: tuple[int, int]) -> Look:
    weather = ("day", "night", "rain", "day", "night", "dull")[index % 6]
    light = {"day": sunny, "night": night, "rain": rainy, "dull": dull}[weather](rng)
    if weather == "day":
        light = replace(
            light, sky_top=(120, 164, 214), sky_low=(214, 226, 236), shadow=0.42, haze_density=0.006
        )
    place = Place(
        lanes=(1, 2, 2),
        lane_width=3.6,
        asphalt=(106, 106, 106),
        marking=(218, 218, 214),
        centre_line=(214, 180, 84),
        pavement=(164, 160, 154),
        grass=(112, 124, 70),
        facades=(
            (158, 108, 84), (184, 170, 150), (136, 130, 126), (200, 190, 174), (146, 92, 78), (120, 128, 138),
        ),
        walls=((160, 156, 148), (136, 112, 98)),
        vehicles=SOBER + VIVID[:3],
        leaves=(*CLEAR_LEAVES[1:], DULL_LEAVES[0]),
        heights=(6.0, 30.0),
        pitched=0.15,
        bare=0.2,
    )  # fmt: skip
    lens = Lens(
        size=size,
        focal=float(rng.uniform(0.86, 1.0)),
        eye=float(rng.uniform(1.2, 1.5)),
        horizon=float(rng.uniform(0.46, 0.56)),
        hood=float(rng.choice([0.0, 0.06, 0.1])),
        saturation=0.85,
        contrast=0.95,
        balance=(1.0, 1.0, 1.0) if weather != "night" else (1.12, 0.98, 0.86),
        noise=6.0 if weather == "night" else 2.5,
        blur=0.9 if weather == "rain" else 0.5,
        vignette=0.2,
    )
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
    light = replace(light, shadow=light.shadow * 0.85, haze_density=float(rng.uniform(0.003, 0.01)))
    leaves = (CLEAR_LEAVES, AUTUMN_LEAVES, DULL_LEAVES)[int(rng.integers(3))]
    snow = weather == "snow"
    place = Place(
        lanes=(1, 1, 2),
        lane_width=float(rng.uniform(3.0, 3.6)),
        asphalt=_greyish(rng, 78, 128),
        marking=(228, 228, 222),
        centre_line=((228, 228, 222), (226, 186, 70))[int(rng.integers(2))],
        pavement=_greyish(rng, 136, 196),
        grass=(226, 230, 236) if snow else ((120, 136, 70), (156, 142, 92))[int(rng.integers(2))],
        facades=(
            (196, 160, 120), (216, 206, 190), (164, 96, 74), (150, 154, 160), (214, 182, 110),
            (120, 140, 150), (202, 130, 106),
        ),
        walls=((176, 168, 154), (150, 116, 96), (196, 190, 184)),
        vehicles=SOBER + VIVID,
        leaves=DULL_LEAVES if snow else leaves,
        heights=(5.0, 18.0),
        pitched=0.4,
        palms=0.1,
        bare=0.8 if snow else 0.1,
        snow=snow,
    )  # fmt: skip
    upright = height / width
    lens = Lens(
        size=(height, width),
        focal=float(rng.uniform(0.75, 1.05)) * max(1.0, 0.8 * upright),
        eye=float(rng.uniform(1.3, 2.3)),
        horizon=float(rng.uniform(0.42, 0.56)),
        lateral=float(rng.uniform(-0.6, 1.2)),
        shift=float(rng.uniform(-0.06, 0.06)),
        roll=float(rng.uniform(-0.035, 0.035)),
        hood=float(rng.choice([0.0, 0.0, 0.05])),
        saturation=float(rng.uniform(0.75, 1.2)),
        contrast=float(rng.uniform(0.85, 1.15)),
        balance=tuple(float(v) for v in rng.uniform(0.92, 1.08, 3)),
        offset=float(rng.uniform(-8, 10)),
        noise=float(rng.uniform(1.0, 7.0)),
        blur=float(rng.choice([0.0, 0.4, 0.8])),
        vignette=float(rng.uniform(0.0, 0.3)),
    )
    return Look(light, place, lens)


_MAKERS: dict[str, Callable[[np.random.Generator, int, tuple[int, int]], Look]] = {
    "gtav": _gtav,
    "cityscapes": _cityscapes,
    "synthia": _synthia,
    "bdd100k": _bdd100k,
    "mapillary": _mapillary,
}

DOMAINS: tuple[str, ...] = tuple(_MAKERS)
"""The domains that are made by default."""

_MAKERS |= {f"nthu_{name}": partial(city_look, city) for name, city in CITIES.items()}

ALL_DOMAINS: tuple[str, ...] = tuple(_MAKERS)
"""These and the domains that are made only on demand. The place of a domain here is part of its seed."""


def draw_look(domain: str, rng: np.random.Generator, index: int, size: tuple[int, int]) -> Look:
    """The look of picture ``index`` of a domain. ``size`` is (height, width); only mapillary varies it."""
    return _MAKERS[domain](rng, index, size)
