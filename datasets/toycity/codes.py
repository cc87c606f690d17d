"""Paint codes, the values of the label raster: train ids, and finer kinds that some codings have."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from utils.scoring.classes import IGNORE_LABEL, NUM_CLASSES


class Code(IntEnum):
    """Paint codes. 0 to 18 are the train ids. The others are finer kinds, for codings that have them."""

    ROAD = 0
    SIDEWALK = 1
    BUILDING = 2
    WALL = 3
    FENCE = 4
    POLE = 5
    LIGHT = 6
    SIGN = 7
    VEGETATION = 8
    TERRAIN = 9
    SKY = 10
    PERSON = 11
    RIDER = 12
    CAR = 13
    TRUCK = 14
    BUS = 15
    TRAIN = 16
    MOTORCYCLE = 17
    BICYCLE = 18
    LANE_MARKING = 19
    CROSSWALK = 20
    CURB = 21
    MANHOLE = 22
    UTILITY_POLE = 23
    MOTORCYCLIST = 24
    STATIC = 25
    EGO_VEHICLE = 26


_FINER_CLASSES = {
    Code.LANE_MARKING: Code.ROAD,
    Code.CROSSWALK: Code.ROAD,
    Code.MANHOLE: Code.ROAD,
    Code.CURB: Code.SIDEWALK,
    Code.UTILITY_POLE: Code.POLE,
    Code.MOTORCYCLIST: Code.RIDER,
}

# A value of the raster is instance * INSTANCE_STEP + code, so that filling a shape writes both at once.
INSTANCE_STEP = 64

CLASS_OF_CODE = np.full(INSTANCE_STEP, IGNORE_LABEL, dtype=np.uint8)
"""Paint code -> train id, uint8 (INSTANCE_STEP,); static things and the camera's car are ignored."""
CLASS_OF_CODE[:NUM_CLASSES] = np.arange(NUM_CLASSES)
CLASS_OF_CODE[list(_FINER_CLASSES)] = list(_FINER_CLASSES.values())

GROUND_CODES = (
    Code.ROAD,
    Code.SIDEWALK,
    Code.TERRAIN,
    Code.LANE_MARKING,
    Code.CROSSWALK,
    Code.CURB,
    Code.MANHOLE,
)

IS_GROUND = np.zeros(INSTANCE_STEP, dtype=np.uint8)
IS_GROUND[list(GROUND_CODES)] = 255
