"""The 19 train ids, their names and colours, and the sets of classes that networks predict and scores use.

A train id is the number of a class, 0 to 18, in the order of Cityscapes. 255 marks pixels that neither train
nor score. :mod:`datasets.definitions.codings` turns a data set's own label values into train ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from utils.errors import UserError
from utils.ignore_label import IGNORE_LABEL

NUM_CLASSES = 19

TRAIN_ID_NAMES: tuple[str, ...] = tuple(
    (
        "road, sidewalk, building, wall, fence, pole, traffic light, traffic sign, vegetation, terrain, "
        "sky, person, rider, car, truck, bus, train, motorcycle, bicycle"
    ).split(", ")
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
"""The official Cityscapes colour of each label id, uint8 (35, 3) RGB; entry 34 is the licence plate (-1)."""

LABEL_ID_OF_TRAIN_ID = np.zeros(256, dtype=np.uint8)
"""Train id -> Cityscapes label id, as benchmark servers expect it, uint8 (256,); ignore (255) becomes 0."""
LABEL_ID_OF_TRAIN_ID[:NUM_CLASSES] = [7, 8, *range(11, 14), 17, *range(19, 29), 31, 32, 33]

PALETTE = LABEL_COLOURS[LABEL_ID_OF_TRAIN_ID[:NUM_CLASSES]]
"""The colour of each train id, uint8 (19, 3) RGB."""


@dataclass(frozen=True)
class ClassSet:
    """Train ids that a mean score is taken over, or that a network predicts.

    In a network with these classes, class ``k`` is ``train_ids[k]``. ``merge`` maps a train id to the one
    that it is scored as, in labels and in predictions.
    """

    name: str
    train_ids: tuple[int, ...]
    merge: Mapping[int, int] = field(default_factory=dict, hash=False)

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
    def class_names(self) -> tuple[str, ...]:
        """The name of each class."""
        return tuple(TRAIN_ID_NAMES[train_id] for train_id in self.train_ids)

    @property
    def palette(self) -> np.ndarray:
        """The colour of each class, uint8 (classes, 3) RGB."""
        return PALETTE[list(self.train_ids)]

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


CITYSCAPES_19 = ClassSet("19 classes", tuple(range(NUM_CLASSES)))
SYNTHIA_16 = ClassSet("16 classes", tuple(t for t in range(NUM_CLASSES) if t not in (9, 14, 16)))
SYNTHIA_13 = ClassSet("13 classes", tuple(t for t in SYNTHIA_16.train_ids if t not in (3, 4, 5)))
CAMVID_11 = ClassSet("11 classes", (0, 1, 2, 4, 5, 7, 8, 10, 11, 13, 18), merge={12: 18})

NETWORK_CLASS_SETS = {len(each.train_ids): each for each in (CITYSCAPES_19, SYNTHIA_16, SYNTHIA_13)}
"""Number of classes -> the classes of a network, largest number first."""


def class_set_of(num_classes: int) -> ClassSet:
    """The classes of a network with ``num_classes`` outputs; :class:`UserError` if the number is unknown."""
    if num_classes not in NETWORK_CLASS_SETS:
        known = ", ".join(map(str, NETWORK_CLASS_SETS))
        raise UserError(f"a network of {num_classes} classes: it is unknown which; known are {known}")
    return NETWORK_CLASS_SETS[num_classes]


def train_id_of_class(num_classes: int) -> np.ndarray:
    """The train id of each class of a network, uint8 (256,); the class itself if no set tells which it is."""
    if num_classes in NETWORK_CLASS_SETS:
        return NETWORK_CLASS_SETS[num_classes].train_id_of_class
    return np.arange(256, dtype=np.uint8)
