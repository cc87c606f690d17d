"""Lists of classes with names and colours, and the sets of classes that networks predict and scores use.

A train id is the number of a class in its list, from 0 on; without further words it is one of the 19 classes
of Cityscapes. 255 marks pixels that neither train nor score. :mod:`datasets.definitions.codings` turns a data
set's own label values into train ids.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.ignore_label import IGNORE_LABEL

Colour = tuple[int, int, int]
"""Red, green and blue, each 0 to 255."""


@dataclass(frozen=True)
class ClassList:
    """All classes that labels of one kind can have. The train id of a class is its place in ``names``."""

    name: str
    names: tuple[str, ...]
    colours: tuple[Colour, ...]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def palette(self) -> np.ndarray:
        """The colour of each class, uint8 (classes, 3) RGB."""
        return np.array(self.colours, dtype=np.uint8)

    @cached_property
    def whole(self) -> ClassSet:
        """All classes of the list."""
        name = f"{len(self)} classes" if self is CITYSCAPES else f"the {len(self)} classes of {self.name}"
        return ClassSet(name, tuple(range(len(self))), of=self)

    @property
    def in_words(self) -> str:
        """The list's name and its first classes, for messages."""
        more = ", ..." if len(self) > 3 else ""
        return f"{self.name} ({', '.join(self.names[:3])}{more})"


def spread_colours(count: int) -> tuple[Colour, ...]:
    """``count`` colours that differ from one another, for classes whose colours nobody chose."""
    # Steps of the golden ratio spread hues evenly, however many there are.
    hues = [(0.6180339887 * number % 1.0, 0.9 - 0.35 * (number % 3 == 1)) for number in range(count)]
    rgb = (colorsys.hsv_to_rgb(hue, 0.55 + 0.45 * (n % 2), value) for n, (hue, value) in enumerate(hues))
    return tuple((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in rgb)


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
"""The official Cityscapes colour of each label id, uint8 (35, 3) RGB; entry 34 is the licence plate (-1)."""

CITYSCAPES_LABEL_IDS = (7, 8, *range(11, 14), 17, *range(19, 29), *range(31, 34))
"""The label id of each of the 19 classes of Cityscapes."""

CITYSCAPES = ClassList(
    "cityscapes",
    tuple(
        (
            "road, sidewalk, building, wall, fence, pole, traffic light, traffic sign, vegetation, terrain, "
            "sky, person, rider, car, truck, bus, train, motorcycle, bicycle"
        ).split(", ")
    ),
    tuple(tuple(LABEL_COLOURS[label_id].tolist()) for label_id in CITYSCAPES_LABEL_IDS),
)

LABEL_ID_OF_TRAIN_ID = np.zeros(256, dtype=np.uint8)
"""Train id -> Cityscapes label id, as benchmark servers expect it, uint8 (256,); ignore (255) becomes 0."""
LABEL_ID_OF_TRAIN_ID[: len(CITYSCAPES)] = CITYSCAPES_LABEL_IDS


@dataclass(frozen=True)
class ClassSet:
    """Classes of a list that a mean score is taken over, or that a network predicts.

    In a network with these classes, class ``k`` is ``train_ids[k]``. ``merge`` maps a train id to the one
    that it is scored as, in labels and in predictions. ``of`` is the list.
    """

    name: str
    train_ids: tuple[int, ...]
    merge: Mapping[int, int] = field(default_factory=dict, hash=False)
    of: ClassList = CITYSCAPES

    @cached_property
    def class_of_train_id(self) -> np.ndarray:
        """Train id -> class of the network, uint8 (256,); ``IGNORE_LABEL`` if the network has none."""
        table = np.full(256, IGNORE_LABEL, dtype=np.uint8)
        table[list(self.train_ids)] = np.arange(len(self.train_ids))
        return table

    @cached_property
    def train_id_of_class(self) -> np.ndarray:
        """Class of the network -> train id, uint8 (256,); ``IGNORE_LABEL`` beyond the last class."""
        table = np.full(256, IGNORE_LABEL, dtype=np.uint8)
        table[: len(self.train_ids)] = self.train_ids
        return table

    @property
    def is_whole(self) -> bool:
        """Whether these are all classes of the list, in its order."""
        return self.train_ids == tuple(range(len(self.of)))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class."""
        return tuple(self.of.names[train_id] for train_id in self.train_ids)

    @property
    def palette(self) -> np.ndarray:
        """The colour of each class, uint8 (classes, 3) RGB."""
        return self.of.palette[list(self.train_ids)]

    @property
    def description(self) -> dict[str, Any]:
        """These classes as plain values, for :func:`described_classes`."""
        return {
            "list": self.of.name,
            "names": list(self.of.names),
            "colours": [list(colour) for colour in self.of.colours],
            "train_ids": list(self.train_ids),
        }

    def classes_of(self, other: ClassSet) -> list[int]:
        """The network's classes whose train ids are in ``other``."""
        return [number for number, train_id in enumerate(self.train_ids) if train_id in other.train_ids]

    def merged_classes(self, other: ClassSet) -> dict[int, int]:
        """``other.merge`` as classes of the network; pairs of which the network lacks one are left out."""
        return {
            self.train_ids.index(source): self.train_ids.index(target)
            for source, target in other.merge.items()
            if source in self.train_ids and target in self.train_ids
        }


CITYSCAPES_19 = CITYSCAPES.whole
SYNTHIA_16 = ClassSet("16 classes", tuple(t for t in range(19) if t not in (9, 14, 16)))
SYNTHIA_13 = ClassSet("13 classes", tuple(t for t in SYNTHIA_16.train_ids if t not in (3, 4, 5)))
CAMVID_11 = ClassSet("11 classes", (0, 1, 2, 4, 5, 7, 8, 10, 11, 13, 18), merge={12: 18})

CITYSCAPES_SETS = (CITYSCAPES_19, SYNTHIA_16, SYNTHIA_13)
"""The sets of Cityscapes' classes that a network may have (``--num_classes``), largest first."""


def described_classes(content: Mapping[str, Any]) -> ClassSet:
    """The classes whose :attr:`ClassSet.description` is ``content``."""
    names, train_ids = tuple(content["names"]), tuple(content["train_ids"])
    for known in CITYSCAPES_SETS if names == CITYSCAPES.names else ():
        if known.train_ids == train_ids:
            return known
    of = ClassList(content["list"], names, tuple(map(tuple, content["colours"])))
    whole = of.whole
    return whole if whole.train_ids == train_ids else ClassSet(f"{len(train_ids)} classes", train_ids, of=of)


def classes_of_number(num_classes: int) -> ClassSet:
    """The classes of a network of ``num_classes`` whose file does not name them.

    With 19, 16 or 13 they are those of Cityscapes, as in every file that the project or the RobustNet family
    wrote before classes had names in it. Others are only numbered. :class:`UserError` for more than 255.
    """
    for known in CITYSCAPES_SETS:
        if len(known.train_ids) == num_classes:
            return known
    if not 1 <= num_classes <= IGNORE_LABEL:
        raise UserError(f"a network of {num_classes} classes: there can be 1 to {IGNORE_LABEL}")
    names = tuple(f"class {number}" for number in range(num_classes))
    return ClassList(f"{num_classes} classes without names", names, spread_colours(num_classes)).whole
