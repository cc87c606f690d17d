"""The looks of the four cross-city domains: one panorama camera in the streets of four cities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from datasets.toycity.looks import Colour, Lens, Light, Look, Place, dull, overcast, rainy, sunny
from datasets.toycity.palettes import CLEAR_LEAVES, DULL_LEAVES, SOBER, VIVID


@dataclass(frozen=True)
class City:
    """One city: its streets, the weathers that its pictures take in turn, its haze and its white balance."""

    place: Place
    weathers: tuple[Callable[[np.random.Generator], Light], ...]
    haze: Colour
    haze_density: float
    balance: Colour


CITIES: dict[str, City] = {
    "rome": City(
        Place(
            lanes=(1, 1, 2),
            lane_width=3.0,
            asphalt=(84, 82, 84),
            marking=(222, 220, 212),
            centre_line=(222, 220, 212),
            pavement=(136, 130, 122),
            grass=(126, 132, 70),
            facades=(
                (214, 154, 96), (198, 118, 82), (226, 184, 130), (206, 138, 108), (220, 200, 164),
                (186, 106, 78),
            ),
            walls=((190, 150, 116), (168, 128, 100)),
            vehicles=SOBER,
            leaves=CLEAR_LEAVES[:2],
            heights=(10.0, 20.0),
            pitched=0.5,
        ),
        (sunny, sunny, overcast),
        haze=(222, 212, 194),
        haze_density=0.004,
        balance=(1.05, 1.0, 0.92),
    ),
    "rio": City(
        Place(
            lanes=(1, 2, 2),
            lane_width=3.3,
            asphalt=(112, 108, 104),
            marking=(226, 222, 206),
            centre_line=(230, 188, 60),
            pavement=(196, 190, 182),
            grass=(86, 146, 58),
            facades=(
                (236, 232, 220), (232, 196, 110), (128, 178, 190), (226, 148, 128), (198, 206, 196),
                (152, 190, 142),
            ),
            walls=((206, 198, 182), (150, 166, 150)),
            vehicles=VIVID,
            leaves=(((20, 70, 24), (96, 178, 62)), ((26, 82, 38), (120, 190, 76))),
            heights=(6.0, 30.0),
            pitched=0.1,
            palms=0.7,
        ),
        (sunny, sunny, dull),
        haze=(196, 216, 226),
        haze_density=0.006,
        balance=(0.98, 1.03, 1.0),
    ),
    "tokyo": City(
        Place(
            lanes=(1, 1, 2),
            lane_width=2.9,
            asphalt=(122, 124, 128),
            marking=(240, 240, 238),
            centre_line=(240, 240, 238),
            pavement=(172, 174, 176),
            grass=(104, 126, 82),
            facades=(
                (226, 226, 224), (196, 200, 206), (172, 164, 154), (212, 206, 194), (150, 158, 170),
                (238, 234, 226),
            ),
            walls=((188, 188, 186), (160, 156, 150)),
            vehicles=(*SOBER[2:4], *SOBER[:1], *VIVID[2:3]),
            leaves=(*CLEAR_LEAVES[2:], DULL_LEAVES[0]),
            heights=(7.0, 26.0),
            pitched=0.25,
        ),
        (overcast, sunny, overcast),
        haze=(214, 220, 228),
        haze_density=0.005,
        balance=(0.97, 1.0, 1.05),
    ),
    "taipei": City(
        Place(
            lanes=(2, 2, 1),
            lane_width=3.2,
            asphalt=(88, 92, 94),
            marking=(220, 222, 214),
            centre_line=(226, 186, 66),
            pavement=(150, 152, 146),
            grass=(92, 124, 74),
            facades=(
                (158, 152, 142), (136, 140, 138), (182, 172, 156), (120, 118, 112), (168, 176, 172),
                (150, 128, 116),
            ),
            walls=((142, 142, 136), (120, 112, 104)),
            vehicles=SOBER + VIVID[4:6],
            leaves=(((24, 62, 30), (88, 146, 70)), DULL_LEAVES[1]),
            heights=(12.0, 30.0),
            pitched=0.05,
            palms=0.25,
        ),
        (dull, overcast, rainy),
        haze=(190, 198, 194),
        haze_density=0.009,
        balance=(0.97, 1.03, 0.97),
    ),
}  # fmt: skip


def city_look(city: City, rng: np.random.Generator, index: int, size: tuple[int, int]) -> Look:
    """The look of picture ``index`` of a city. The camera is high and wide, and the same in all cities."""
    light = city.weathers[index % len(city.weathers)](rng)
    light = replace(light, haze=city.haze, haze_density=city.haze_density)
    lens = Lens(
        size=size,
        focal=float(rng.uniform(0.56, 0.64)),
        eye=float(rng.uniform(2.3, 2.6)),
        horizon=float(rng.uniform(0.46, 0.52)),
        lateral=float(rng.uniform(-0.6, 0.6)),
        shift=float(rng.uniform(-0.05, 0.05)),
        saturation=0.95,
        contrast=0.92,
        balance=city.balance,
        offset=4.0,
        noise=1.5,
        blur=0.5,
    )
    return Look(light, city.place, lens)
