"""The published label codings of the data sets that the project knows."""

from __future__ import annotations

from dataclasses import replace

from datasets.definitions.label_coding import LabelCoding
from utils.scoring.classes import CITYSCAPES, CITYSCAPES_LABEL_IDS, IGNORE_LABEL, LABEL_COLOURS

# Officially, a licence plate has the same colour as a car, and a pole group the same as a pole. Read from
# colours, such pixels become car and pole; read from ids, they are ignored (as in published results).
_LABEL_PALETTE = tuple(map(tuple, LABEL_COLOURS.tolist()))
# The colour of "static" in some archives.
_STATIC = (20, 20, 20)
_LABEL_IDS = {train_id: (label_id,) for train_id, label_id in enumerate(CITYSCAPES_LABEL_IDS)}
_IGNORED_LABEL_IDS = tuple(value for value in range(34) if (value,) not in _LABEL_IDS.values())

CITYSCAPES_IDS = LabelCoding(
    "cityscapes", _LABEL_IDS, (*_IGNORED_LABEL_IDS, 255), 8, _LABEL_PALETTE[:34], (_STATIC,)
)
GTAV = LabelCoding("gtav", _LABEL_IDS, (*_IGNORED_LABEL_IDS, 34, 255), 8, _LABEL_PALETTE, (_STATIC,))
TRAIN_IDS = LabelCoding(
    "train id",
    {t: (t,) for t in range(len(CITYSCAPES))},
    (IGNORE_LABEL,),
    8,
    CITYSCAPES.colours,
    (*dict.fromkeys(colour for colour in _LABEL_PALETTE if colour not in CITYSCAPES.colours), _STATIC),
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
_CAR = CITYSCAPES.names.index("car")
# WildDash 2 has Cityscapes' label ids and 34 pickup, 35 van, 36 billboard, 37 street light, 38 road marking.
# Published results differ: in most, pickups and vans are cars; in others, all five have no class.
WILDDASH2 = LabelCoding(
    "wilddash2", {**_LABEL_IDS, _CAR: (26, 34, 35)}, (*_IGNORED_LABEL_IDS, 36, 37, 38, 255)
)
WILDDASH2_STRICT = replace(
    WILDDASH2, name="wilddash2 strict", classes=_LABEL_IDS, ignored=(*_IGNORED_LABEL_IDS, *range(34, 39), 255)
)
# The labels of IDD by their "id", with the train id that the vendor's table has for Cityscapes ("csTrainId").
_IDD_CLASSES = {
    **{0: (0,), 1: (3,), 2: (29,), 3: (20,), 4: (21,), 5: (26,), 6: (25,), 7: (24,), 8: (32,)},
    9: (5,),  # non-drivable fallback, as terrain
    **{10: (33,), 11: (6,), 12: (8,), 13: (12,), 14: (13,), 15: (14,)},
    16: (17,),  # which the vendor's table leaves out of its own scores
    **{17: (9,), 18: (10,)},
}
_IDD_SCORED = {value for values in _IDD_CLASSES.values() for value in values}
# Autorickshaws (11), curbs (19) and billboards (23) are among the ignored.
IDD_IDS = LabelCoding("idd", _IDD_CLASSES, (255, *(value for value in range(40) if value not in _IDD_SCORED)))
