"""The 19 train ids, and how every data set's own label values become train ids.

A train id is the class number a network predicts (0..18, the order of Cityscapes); 255 marks pixels that
neither train nor score. Each data set stores its own values ("native ids"); a :class:`LabelCoding` turns them
into train ids with one table look-up, and refuses values its coding does not have instead of guessing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property

import cv2
import numpy as np

from utils.errors import UserError

IGNORE_LABEL = 255
NUM_CLASSES = 19
UNKNOWN = 254
"""Table entry of a native value that a coding does not have; never found in a decoded label."""

TRAIN_ID_NAMES: tuple[str, ...] = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)

LABEL_COLOURS = np.array(
    [
        *[(0, 0, 0)] * 5,  # unlabeled, ego vehicle, rectification border, out of roi, static
        *[(111, 74, 0), (81, 0, 81)],  # dynamic, ground
        *[(128, 64, 128), (244, 35, 232)],  # road, sidewalk
        *[(250, 170, 160), (230, 150, 140)],  # parking, rail track
        *[(70, 70, 70), (102, 102, 156), (190, 153, 153)],  # building, wall, fence
        *[(180, 165, 180), (150, 100, 100), (150, 120, 90)],  # guard rail, bridge, tunnel
        *[(153, 153, 153), (153, 153, 153), (250, 170, 30), (220, 220, 0)],  # pole, polegroup, light, sign
        *[(107, 142, 35), (152, 251, 152), (70, 130, 180)],  # vegetation, terrain, sky
        *[(220, 20, 60), (255, 0, 0)],  # person, rider
        *[(0, 0, 142), (0, 0, 70), (0, 60, 100)],  # car, truck, bus
        *[(0, 0, 90), (0, 0, 110), (0, 80, 100)],  # caravan, trailer, train
        *[(0, 0, 230), (119, 11, 32), (0, 0, 142)],  # motorcycle, bicycle, licence plate
    ],
    dtype=np.uint8,
)
"""Official Cityscapes colours by label id, uint8 (35, 3) RGB; entry 34 is the licence plate (label id -1)."""

LABEL_ID_OF_TRAIN_ID = np.zeros(256, dtype=np.uint8)
"""Cityscapes label id of every train id, as benchmark servers expect it; ignore (255) becomes 0."""
LABEL_ID_OF_TRAIN_ID[:NUM_CLASSES] = [7, 8, *range(11, 14), 17, *range(19, 29), 31, 32, 33]

PALETTE = LABEL_COLOURS[LABEL_ID_OF_TRAIN_ID[:NUM_CLASSES]]
"""Colour of each train id, uint8 (19, 3) RGB."""


class LabelValueError(UserError):
    """A label value that its coding does not have; whoever knows the file adds its name."""


@dataclass(frozen=True)
class LabelCoding:
    """One data set's native label values.

    ``classes[t]`` lists the native ids of train id ``t``, the one to write first; ``ignored`` the native ids
    without a class, likewise. ``bits`` is the depth of the files' channels and ``coloured`` says whether RGB
    files in the official colours (:data:`LABEL_COLOURS`) are understood too.
    """

    name: str
    classes: Mapping[int, tuple[int, ...]] = field(hash=False)
    ignored: tuple[int, ...]
    bits: int = 8
    coloured: bool = False
    table: np.ndarray = field(init=False, repr=False, compare=False)
    """Train id of every native id, uint8 (256,), ``UNKNOWN`` where the coding has none."""
    native_ids: np.ndarray = field(init=False, repr=False, compare=False)
    """Native id to write for every train id, uint8 (256,); classes the coding lacks become an ignored id."""

    def __post_init__(self) -> None:
        table = np.full(256, UNKNOWN, dtype=np.uint8)
        native_ids = np.full(256, self.ignored[0], dtype=np.uint8)
        table[list(self.ignored)] = IGNORE_LABEL
        for train_id, values in self.classes.items():
            table[list(values)] = train_id
            native_ids[train_id] = values[0]
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "native_ids", native_ids)

    def decode(self, raw: np.ndarray) -> np.ndarray:
        """Train ids, uint8 H x W, of native ids (integers, H x W) or, if ``coloured``, uint8 RGB, H x W x 3.

        Raises :class:`LabelValueError` naming the first value outside the coding and its place. In signed
        types -1 stands for 255 (Cityscapes' licence plate).
        """
        if raw.ndim == 3:
            return self._decode_colours(raw)
        narrow = raw.astype(np.uint8, copy=False)
        train_ids = cv2.LUT(np.ascontiguousarray(narrow), self.table)
        unknown = train_ids == UNKNOWN
        if raw.dtype != np.uint8:
            unknown |= (narrow != raw) & ~((narrow == 255) & (raw == -1))
        self._refuse(unknown, raw)
        return train_ids

    def _decode_colours(self, raw: np.ndarray) -> np.ndarray:
        if not self.coloured:
            raise LabelValueError(f"a colour picture where the {self.name} coding has one number per pixel")
        # Runs of one colour along the rows are a hundred times fewer than pixels.
        colours = cv2.cvtColor(np.ascontiguousarray(raw), cv2.COLOR_RGB2BGRA).view("<u4").reshape(-1)
        begins = np.empty(colours.shape, dtype=bool)
        begins[:1] = True
        np.not_equal(colours[1:], colours[:-1], out=begins[1:])
        starts = np.flatnonzero(begins)
        of_run = colour_table()[colours[starts] & 0xFFFFFF]
        train_ids = np.repeat(of_run, np.diff(starts, append=colours.size)).reshape(raw.shape[:2])
        if (of_run == UNKNOWN).any():
            self._refuse(train_ids == UNKNOWN, raw)
        return train_ids

    def _refuse(self, unknown: np.ndarray, raw: np.ndarray) -> None:
        if not unknown.any():
            return
        y, x = np.unravel_index(int(unknown.argmax()), unknown.shape)
        value = tuple(raw[y, x].tolist()) if raw.ndim == 3 else int(raw[y, x])
        raise LabelValueError(f"label value {value} at ({x}, {y}) is not in the {self.name} coding")


@cache
def colour_table() -> np.ndarray:
    """Train id of every 24-bit colour (red << 16 | green << 8 | blue), uint8 (2 ** 24,).

    Officially a licence plate has the colour of a car and a pole group that of a pole, so colours cannot tell
    them apart: such pixels become car and pole, where ids would ignore them (as in published results).
    """
    table = np.full(1 << 24, UNKNOWN, dtype=np.uint8)
    # Some archives colour "static" (20, 20, 20); it has no class, like the official black.
    ignored = np.vstack([LABEL_COLOURS, [(20, 20, 20)]])
    table[_colour_key(ignored)] = IGNORE_LABEL
    table[_colour_key(PALETTE)] = np.arange(NUM_CLASSES)
    return table


def _colour_key(colours: np.ndarray) -> np.ndarray:
    return colours.astype(np.intp) @ np.array([1 << 16, 1 << 8, 1])


def palette_coding(palette: np.ndarray) -> LabelCoding | None:
    """The coding of a palette picture by the colours of its palette, uint8 (n, 3).

    ``None`` when the scored classes stand at their label ids, i.e. the indices are label ids as they are.
    """
    scored = LABEL_ID_OF_TRAIN_ID[:NUM_CLASSES]
    if len(palette) > scored.max() and np.array_equal(palette[scored], PALETTE):
        return None
    train_ids = colour_table()[_colour_key(palette)]
    indices = {int(t): tuple(np.flatnonzero(train_ids == t).tolist()) for t in np.unique(train_ids)}
    indices.pop(UNKNOWN, None)
    ignored = indices.pop(IGNORE_LABEL, ())
    return LabelCoding("palette of this picture", indices, ignored or (255,))


_LABEL_IDS = {train_id: (int(LABEL_ID_OF_TRAIN_ID[train_id]),) for train_id in range(NUM_CLASSES)}
_IGNORED_LABEL_IDS = tuple(value for value in range(34) if (value,) not in _LABEL_IDS.values())

CITYSCAPES_IDS = LabelCoding("cityscapes", _LABEL_IDS, (*_IGNORED_LABEL_IDS, 255))
GTAV = LabelCoding("gtav", _LABEL_IDS, (*_IGNORED_LABEL_IDS, 34, 255), coloured=True)
TRAIN_IDS = LabelCoding("train id", {t: (t,) for t in range(NUM_CLASSES)}, (IGNORE_LABEL,))
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
MAPILLARY = LabelCoding(
    "mapillary",
    _MAPILLARY_CLASSES,
    # 65, unlabelled, comes first: it is the one to write.
    tuple(value for value in reversed(range(66)) if value not in _MAPILLARY_SCORED),
)
CAMVID = LabelCoding(
    "camvid",
    # Native 10, bicyclist, covers rider and bicycle: read as bicycle, scored with riders merged into it.
    {10: (0,), 2: (1,), 5: (2,), 0: (3,), 1: (4,), 8: (5,), 7: (6,), 4: (7,), 13: (8,), 11: (9,), 18: (10,)},
    (11,),
)


@dataclass(frozen=True)
class ClassSet:
    """Train ids that a mean is taken over, or that a network tells apart.

    Class ``k`` of a network that has just these classes is ``train_ids[k]``. ``merge`` maps a train id to the
    one it is scored as, in truth and prediction alike.
    """

    name: str
    train_ids: tuple[int, ...]
    merge: Mapping[int, int] = field(default_factory=dict, hash=False)

    @cached_property
    def class_of_train_id(self) -> np.ndarray:
        """The network's class of every train id, uint8 (256,); ``IGNORE_LABEL`` where it has none."""
        table = np.full(256, IGNORE_LABEL, dtype=np.uint8)
        table[list(self.train_ids)] = np.arange(len(self.train_ids))
        return table

    @cached_property
    def train_id_of_class(self) -> np.ndarray:
        """The train id of every class of the network, uint8 (256,); ``IGNORE_LABEL`` beyond the last."""
        table = np.full(256, IGNORE_LABEL, dtype=np.uint8)
        table[: len(self.train_ids)] = self.train_ids
        return table

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class."""
        return tuple(TRAIN_ID_NAMES[train_id] for train_id in self.train_ids)

    @property
    def palette(self) -> np.ndarray:
        """Colour of each class, uint8 (classes, 3) RGB."""
        return PALETTE[list(self.train_ids)]

    def classes_of(self, other: ClassSet) -> list[int]:
        """The network's classes whose train ids are in ``other``."""
        return [number for number, train_id in enumerate(self.train_ids) if train_id in other.train_ids]

    def merged_classes(self, other: ClassSet) -> dict[int, int]:
        """``other.merge`` in the network's classes, where it has both."""
        return {
            self.train_ids.index(source): self.train_ids.index(target)
            for source, target in other.merge.items()
            if source in self.train_ids and target in self.train_ids
        }


CITYSCAPES_19 = ClassSet("19 classes", tuple(range(NUM_CLASSES)))
SYNTHIA_16 = ClassSet("16 classes", tuple(t for t in range(NUM_CLASSES) if t not in (9, 14, 16)))
SYNTHIA_13 = ClassSet("13 classes", tuple(t for t in SYNTHIA_16.train_ids if t not in (3, 4, 5)))
CAMVID_11 = ClassSet("11 classes", tuple(sorted(CAMVID.classes)), merge={12: 18})

NETWORK_CLASS_SETS = {len(each.train_ids): each for each in (CITYSCAPES_19, SYNTHIA_16, SYNTHIA_13)}
"""The classes of a network, by their number, most first."""


def class_set_of(num_classes: int) -> ClassSet:
    """The classes of a network with ``num_classes`` outputs; :class:`UserError` listing the known numbers."""
    if num_classes not in NETWORK_CLASS_SETS:
        known = ", ".join(map(str, NETWORK_CLASS_SETS))
        raise UserError(f"a network of {num_classes} classes: nothing says which they are; known are {known}")
    return NETWORK_CLASS_SETS[num_classes]
