"""How every data set stores its labels, and how these values become train ids.

Each data set stores values of its own ("native ids"), and some have published colours. A value that the
coding does not have is refused; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np

from utils.errors import UserError
from utils.scoring.classes import (
    IGNORE_LABEL,
    LABEL_COLOURS,
    LABEL_ID_OF_TRAIN_ID,
    NUM_CLASSES,
    PALETTE,
)

UNKNOWN = 254
"""The table entry of a value that a coding does not have. A decoded label never holds it."""

Colour = tuple[int, int, int]
"""Red, green and blue, each 0 to 255."""


class LabelValueError(UserError):
    """A label holds a value that its coding does not have. The caller that knows the file adds its name."""


@dataclass(frozen=True)
class LabelCoding:
    """One data set's native label values.

    ``classes[t]`` lists the native ids of train id ``t``, and ``ignored`` the native ids without a class. In
    both, the first id is the one that is written. ``bits`` is the depth of the files' channels. ``palette``
    holds the published colour of every native id, from 0 on; it is empty if there are none.
    ``ignored_colours`` are further colours without a class.
    """

    name: str
    classes: Mapping[int, tuple[int, ...]] = field(hash=False)
    ignored: tuple[int, ...]
    bits: int = 8
    palette: tuple[Colour, ...] = ()
    ignored_colours: tuple[Colour, ...] = ()
    table: np.ndarray = field(init=False, repr=False, compare=False)
    """Native id -> train id, uint8 (256,); ``UNKNOWN`` for values that the coding does not have."""
    native_ids: np.ndarray = field(init=False, repr=False, compare=False)
    """Train id -> native id to write, uint8 (256,); a class that the coding lacks gets an ignored id."""
    colours: Mapping[Colour, int] = field(init=False, repr=False, compare=False)
    """Colour -> train id, ``IGNORE_LABEL`` for colours without a class. If several native ids share a
    colour, the one with a class counts.
    """

    def __post_init__(self) -> None:
        table = np.full(256, UNKNOWN, dtype=np.uint8)
        native_ids = np.full(256, self.ignored[0], dtype=np.uint8)
        table[list(self.ignored)] = IGNORE_LABEL
        for train_id, values in self.classes.items():
            table[list(values)] = train_id
            native_ids[train_id] = values[0]
        colours = dict.fromkeys([*self.ignored_colours, *self.palette], IGNORE_LABEL)
        of_palette = zip(self.palette, table.tolist(), strict=False)
        colours |= {colour: train_id for colour, train_id in of_palette if train_id < NUM_CLASSES}
        # Fields of a frozen class cannot be assigned.
        vars(self).update(table=table, native_ids=native_ids, colours=colours)

    def decode(self, raw: np.ndarray, first_row: int | None = None) -> np.ndarray:
        """Train ids, uint8 H x W, from native ids (integers, H x W) or from colours (uint8 RGB, H x W x 3).

        If ``raw`` is only a part of a picture, ``first_row`` is the row of the picture where it begins. In
        signed types, -1 means 255 (Cityscapes' licence plate). Raises :class:`LabelValueError` with the first
        value outside the coding and its place. It is also raised if all colours of a whole picture are grey
        and would mean other classes as values. (A part of a picture may rightly be all black.)
        """
        if raw.ndim == 3:
            return self._decode_colours(raw, first_row)
        narrow = raw.astype(np.uint8, copy=False)
        train_ids = cv2.LUT(np.ascontiguousarray(narrow), self.table)
        unknown = train_ids == UNKNOWN
        if raw.dtype != np.uint8:
            unknown |= (narrow != raw) & ~((narrow == 255) & (raw == -1))
        self._refuse(unknown, raw)
        return train_ids

    def decode_palette(self, indices: np.ndarray, palette: Sequence[Colour]) -> np.ndarray:
        """Train ids, uint8 H x W, of a palette picture's ``indices``, uint8 H x W.

        The colours count, not the indices, because programs that make files smaller keep the colours and
        change the indices. So an index is a native id only if the palette is the coding's own. Otherwise,
        either all used colours are grey and their level is the native id, or all of them are in ``colours``.
        Raises :class:`LabelValueError` with the first colour that the coding does not have, or if the
        palette can be read in two ways.
        """
        train_ids = cv2.LUT(indices, self._own_palette(palette))
        if not (train_ids == UNKNOWN).any():
            return train_ids
        tables = np.full((2, 256), UNKNOWN, dtype=np.uint8)
        for index, colour in enumerate(palette):
            if len(set(colour)) == 1:
                tables[0, index] = self.table[colour[0]]
            tables[1, index] = self.colours.get(colour, UNKNOWN)
        by_value, by_colour = (cv2.LUT(indices, table) for table in tables)
        readings = [each for each in (by_value, by_colour) if not (each == UNKNOWN).any()]
        if not readings:
            unknown = (by_colour if self.colours else by_value) == UNKNOWN
            y, x = np.unravel_index(int(unknown.argmax()), unknown.shape)
            index = int(indices[y, x])
            if index >= len(palette):
                raise LabelValueError(f"its palette has {len(palette)} colours, but index {index} is used")
            raise LabelValueError(
                f"palette colour {palette[index]} at ({x}, {y}) is not in the {self.name} coding; if the "
                "indices are the label values, save them as a grey picture"
            )
        # All used colours are black or grey. The unused colours tell which kind of palette it is.
        if len(readings) == 2 and set(palette) <= self.colours.keys() and (by_value != by_colour).any():
            raise LabelValueError(
                f"its palette can be read as grey values and as colours of the {self.name} coding, which "
                "give different classes; save the label values as a grey picture"
            )
        return readings[0]

    def _own_palette(self, palette: Sequence[Colour]) -> np.ndarray:
        """Index -> train id, uint8 (256,); ``UNKNOWN`` where the colour is not that of this native id."""
        matching = np.zeros(256, dtype=bool)
        same = [own == colour for own, colour in zip(self.palette, palette, strict=False)]
        matching[: len(same)] = same
        coloured = [index for index in np.flatnonzero(matching).tolist() if len(set(palette[index])) > 1]
        # If one class has its own colour, this is the coding's palette. Then an ignored id may have any
        # colour that is not the colour of a class.
        if (self.table[coloured] < NUM_CLASSES).any():
            of_class = [self.colours.get(colour, IGNORE_LABEL) < NUM_CLASSES for colour in palette]
            matching[: len(palette)] |= (self.table[: len(palette)] == IGNORE_LABEL) & ~np.array(of_class)
        return np.where(matching, self.table, UNKNOWN).astype(np.uint8)

    def _decode_colours(self, raw: np.ndarray, first_row: int | None) -> np.ndarray:
        if not self.colours or raw.shape[2] != 3:
            raise LabelValueError(
                f"a colour picture of {raw.shape[2]} channels where the {self.name} coding has one number "
                "per pixel"
            )
        # Look up runs of equal pixels instead of single pixels: there are about a hundred times fewer.
        colours = cv2.cvtColor(np.ascontiguousarray(raw), cv2.COLOR_RGB2BGRA).view("<u4").reshape(-1)
        begins = np.empty(colours.shape, dtype=bool)
        begins[:1] = True
        np.not_equal(colours[1:], colours[:-1], out=begins[1:])
        starts = np.flatnonzero(begins)
        found = colours[starts] & 0xFFFFFF
        of_run = colour_table(self)[found]
        if first_row is None:
            self._refuse_grey(found, of_run)
        train_ids = np.repeat(of_run, np.diff(starts, append=colours.size)).reshape(raw.shape[:2])
        if (of_run == UNKNOWN).any():
            self._refuse(train_ids == UNKNOWN, raw, first_row or 0)
        return train_ids

    def _refuse_grey(self, found: np.ndarray, train_ids: np.ndarray) -> None:
        """Refuse colours ``found`` (24 bits each) that are all grey and mean something else as values."""
        values = found & 0xFF
        if not (found == values * 0x010101).all():
            return
        by_value = self.table[values]
        known = not (by_value == UNKNOWN).any() and not (train_ids == UNKNOWN).any()
        if known and (by_value != train_ids).any():
            raise LabelValueError(
                f"its greys can be read as values and as colours of the {self.name} coding, which "
                "give different classes; save the label values as a grey picture"
            )

    def _refuse(self, unknown: np.ndarray, raw: np.ndarray, first_row: int = 0) -> None:
        """Raise the error for the first place in ``unknown``, if any is true."""
        if unknown.any():
            y, x = np.unravel_index(int(unknown.argmax()), unknown.shape)
            value = tuple(raw[y, x].tolist()) if raw.ndim == 3 else int(raw[y, x])
            place = f"({x}, {y + first_row})"
            raise LabelValueError(f"label value {value} at {place} is not in the {self.name} coding")


@cache
def colour_table(coding: LabelCoding) -> np.ndarray:
    """Train id of every 24-bit colour (red << 16 | green << 8 | blue), uint8 (2 ** 24,)."""
    # This large table is no attribute of the coding, because codings are sent to other processes.
    table = np.full(1 << 24, UNKNOWN, dtype=np.uint8)
    for (red, green, blue), train_id in coding.colours.items():
        table[red << 16 | green << 8 | blue] = train_id
    return table


# Officially, a licence plate has the same colour as a car, and a pole group the same as a pole. Read from
# colours, such pixels become car and pole; read from ids, they are ignored (as in published results).
_LABEL_PALETTE = tuple(map(tuple, LABEL_COLOURS.tolist()))
_TRAIN_ID_PALETTE = tuple(map(tuple, PALETTE.tolist()))
# The colour of "static" in some archives.
_STATIC = (20, 20, 20)
_LABEL_IDS = {train_id: (int(LABEL_ID_OF_TRAIN_ID[train_id]),) for train_id in range(NUM_CLASSES)}
_IGNORED_LABEL_IDS = tuple(value for value in range(34) if (value,) not in _LABEL_IDS.values())

CITYSCAPES_IDS = LabelCoding(
    "cityscapes", _LABEL_IDS, (*_IGNORED_LABEL_IDS, 255), 8, _LABEL_PALETTE[:34], (_STATIC,)
)
GTAV = LabelCoding("gtav", _LABEL_IDS, (*_IGNORED_LABEL_IDS, 34, 255), 8, _LABEL_PALETTE, (_STATIC,))
TRAIN_IDS = LabelCoding(
    "train id",
    {t: (t,) for t in range(NUM_CLASSES)},
    (IGNORE_LABEL,),
    8,
    _TRAIN_ID_PALETTE,
    (*dict.fromkeys(colour for colour in _LABEL_PALETTE if colour not in _TRAIN_ID_PALETTE), _STATIC),
)
SYNTHIA = LabelCoding(
    "synthia",
    {
        **{10: (1,), 2: (2,), 0: (3,), 1: (4,), 4: (5,), 8: (6,), 5: (7,), 13: (8,), 7: (9,), 11: (10,)},
        **{18: (11,), 17: (12,), 6: (15,), 9: (16,), 12: (17,), 14: (18,), 15: (19,), 16: (20,), 3: (21,)},
    },
    (0, 13, 14, 22),  # void, parking slot, road work, lane marking
    bits=16,
)
_MAPILLARY_CLASSES = {
    0: (13, 24, 41),  # road, general lane marking, manhole
    1: (15, 2),  # sidewalk, curb
    **{2: (17,), 3: (6,), 4: (3,)},
    5: (45, 47),  # pole, utility pole
    **{6: (48,), 7: (50,), 8: (30,), 9: (29,), 10: (27,), 11: (19,)},
    12: (20, 21, 22),  # bicyclist, motorcyclist, other rider
    **{13: (55,), 14: (61,), 15: (54,), 16: (58,), 17: (57,), 18: (52,)},
}
_MAPILLARY_SCORED = {value for values in _MAPILLARY_CLASSES.values() for value in values}
_MAPILLARY_PALETTE = (
    *[(165, 42, 42), (0, 192, 0), (196, 196, 196), (190, 153, 153), (180, 165, 180), (90, 120, 150)],
    *[(102, 102, 156), (128, 64, 255), (140, 140, 200), (170, 170, 170), (250, 170, 160), (96, 96, 96)],
    *[(230, 150, 140), (128, 64, 128), (110, 110, 110), (244, 35, 232), (150, 100, 100), (70, 70, 70)],
    *[(150, 120, 90), (220, 20, 60), (255, 0, 0), (255, 0, 100), (255, 0, 200), (200, 128, 128)],
    *[(255, 255, 255), (64, 170, 64), (230, 160, 50), (70, 130, 180), (190, 255, 255), (152, 251, 152)],
    *[(107, 142, 35), (0, 170, 30), (255, 255, 128), (250, 0, 30), (100, 140, 180), (220, 220, 220)],
    *[(220, 128, 128), (222, 40, 40), (100, 170, 30), (40, 40, 40), (33, 33, 33), (100, 128, 160)],
    *[(142, 0, 0), (70, 100, 150), (210, 170, 100), (153, 153, 153), (128, 128, 128), (0, 0, 80)],
    *[(250, 170, 30), (192, 192, 192), (220, 220, 0), (140, 140, 20), (119, 11, 32), (150, 0, 255)],
    *[(0, 60, 100), (0, 0, 142), (0, 0, 90), (0, 0, 230), (0, 80, 100), (128, 64, 64)],
    *[(0, 0, 110), (0, 0, 70), (0, 0, 192), (32, 32, 32), (120, 10, 10), (0, 0, 0)],
)
MAPILLARY = LabelCoding(
    "mapillary",
    _MAPILLARY_CLASSES,
    # 65 (unlabelled) comes first because it is the id that is written.
    tuple(value for value in reversed(range(66)) if value not in _MAPILLARY_SCORED),
    8,
    _MAPILLARY_PALETTE,
)
# "class_id" in BDD100K's first release holds all 41 classes of its label table, from 0 (unlabelled) to 40.
BDD100K_IDS = LabelCoding(
    "bdd100k id",
    {
        **{0: (7,), 1: (8,), 2: (10,), 3: (15,), 4: (11,), 5: (20,), 6: (25,), 7: (26,), 8: (29,), 9: (28,)},
        **{10: (30,), 11: (31,), 12: (32,), 13: (35,), 14: (40,), 15: (34,), 16: (39,), 17: (37,), 18: (33,)},
    },
    (*range(7), 9, *range(12, 15), *range(16, 20), *range(21, 25), 27, 36, 38, 255),
)
CAMVID = LabelCoding(
    "camvid",
    # Native id 10, bicyclist, covers rider and bicycle. It is read as bicycle; scores merge rider into it.
    {10: (0,), 2: (1,), 5: (2,), 0: (3,), 1: (4,), 8: (5,), 7: (6,), 4: (7,), 13: (8,), 11: (9,), 18: (10,)},
    (11,),
)
# CamVid as Cambridge ships it: 32 classes by colour, numbered here in the order of their names. CamVid itself
# does not group them. The grouping into the 11 classes of SegNet (Badrinarayanan et al., 2017) is that of
# MathWorks' published example ("Semantic Segmentation Using Deep Learning", camvidPixelLabelIDs).
CAMVID_32 = LabelCoding(
    "camvid 32",
    {
        10: (21,),  # Sky
        2: (4, 1, 3, 28, 31),  # Building, Archway, Bridge, Tunnel, Wall
        5: (8, 23),  # Column_Pole, TrafficCone
        0: (17, 10, 11),  # Road, LaneMkgsDriv, LaneMkgsNonDriv
        1: (19, 15, 18),  # Sidewalk, ParkingBlock, RoadShoulder
        8: (26, 29),  # Tree, VegetationMisc
        7: (20, 12, 24),  # SignSymbol, Misc_Text, TrafficLight
        4: (9,),  # Fence
        13: (5, 22, 27, 25, 14),  # Car, SUVPickupTruck, Truck_Bus, Train, OtherMoving
        11: (16, 7, 6, 0),  # Pedestrian, Child, CartLuggagePram, Animal
        18: (2, 13),  # Bicyclist, MotorcycleScooter
    },
    (30,),
    8,
    (
        *[(64, 128, 64), (192, 0, 128), (0, 128, 192), (0, 128, 64), (128, 0, 0), (64, 0, 128)],
        *[(64, 0, 192), (192, 128, 64), (192, 192, 128), (64, 64, 128), (128, 0, 192), (192, 0, 64)],
        *[(128, 128, 64), (192, 0, 192), (128, 64, 64), (64, 192, 128), (64, 64, 0), (128, 64, 128)],
        *[(128, 128, 192), (0, 0, 192), (192, 128, 128), (128, 128, 128), (64, 128, 192), (0, 0, 64)],
        *[(0, 64, 64), (192, 64, 128), (128, 128, 0), (192, 128, 192), (64, 0, 64), (192, 192, 0)],
        *[(0, 0, 0), (64, 192, 0)],
    ),
)
