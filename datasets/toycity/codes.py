"""Paint codes, the values of the label raster: train ids, and finer kinds that some codings have."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from utils.scoring.classes import CITYSCAPES, IGNORE_LABEL

Code = IntEnum(
    "Code",
    "ROAD SIDEWALK BUILDING WALL FENCE POLE LIGHT SIGN VEGETATION TERRAIN SKY PERSON RIDER CAR TRUCK BUS "
    "TRAIN MOTORCYCLE BICYCLE LANE_MARKING CROSSWALK CURB MANHOLE UTILITY_POLE MOTORCYCLIST STATIC "
    "EGO_VEHICLE",
    start=0,
)
"""Paint codes. 0 to 18 are the train ids. The others are finer kinds, for codings that have them."""

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
CLASS_OF_CODE[: len(CITYSCAPES)] = np.arange(len(CITYSCAPES))
CLASS_OF_CODE[list(_FINER_CLASSES)] = list(_FINER_CLASSES.values())

ASPHALT = [Code.ROAD, Code.LANE_MARKING, Code.CROSSWALK, Code.MANHOLE]

IS_GROUND = np.zeros(INSTANCE_STEP, dtype=np.uint8)
"""Paint code -> 255 for what lies flat on the ground, else 0."""
IS_GROUND[[*ASPHALT, Code.SIDEWALK, Code.CURB, Code.TERRAIN]] = 255
