"""Every coding, every value."""

from __future__ import annotations

import numpy as np
import pytest

from datasets import labels
from datasets.labels import IGNORE_LABEL, NUM_CLASSES, TRAIN_ID_NAMES, LabelCoding, LabelValueError
from utils.errors import UserError

# As published: "native id train id" pairs; everything else the coding knows is ignored.
CITYSCAPES = (
    "7 0 8 1 11 2 12 3 13 4 17 5 19 6 20 7 21 8 22 9 23 10 24 11 25 12 26 13 27 14 28 15 31 16 32 17 33 18"
)
SYNTHIA = "1 10 2 2 3 0 4 1 5 4 6 8 7 5 8 13 9 7 10 11 11 18 12 17 15 6 16 9 17 12 18 14 19 15 20 16 21 3"
MAPILLARY = (
    "13 0 24 0 41 0 2 1 15 1 17 2 6 3 3 4 45 5 47 5 48 6 50 7 30 8 29 9 27 10 19 11 20 12 21 12 22 12 "
    "55 13 61 14 54 15 58 16 57 17 52 18"
)
CAMVID = "0 10 1 2 2 5 3 0 4 1 5 8 6 7 7 4 8 13 9 11 10 18"
TRAIN_IDS = " ".join(f"{t} {t}" for t in range(NUM_CLASSES))

CODINGS = [
    (labels.CITYSCAPES_IDS, CITYSCAPES, [*range(34), 255]),
    (labels.GTAV, CITYSCAPES, [*range(35), 255]),
    (labels.SYNTHIA, SYNTHIA, [*range(23)]),
    (labels.MAPILLARY, MAPILLARY, [*range(66)]),
    (labels.CAMVID, CAMVID, [*range(12)]),
    (labels.TRAIN_IDS, TRAIN_IDS, [*range(NUM_CLASSES), 255]),
]


@pytest.mark.parametrize(
    ("coding", "published", "known"), CODINGS, ids=lambda value: getattr(value, "name", "")
)
def test_every_value_of_every_coding(coding: LabelCoding, published: str, known: list[int]) -> None:
    numbers = [int(word) for word in published.split()]
    expected = dict(zip(numbers[::2], numbers[1::2], strict=True))
    for dtype in (np.uint8, np.uint16, np.int32):
        for value in range(256):
            raw = np.full((2, 3), value, dtype=dtype)
            if value in known:
                assert (coding.decode(raw) == expected.get(value, IGNORE_LABEL)).all(), value
            else:
                with pytest.raises(LabelValueError, match=rf"value {value} at \(0, 0\) is not in the"):
                    coding.decode(raw)


@pytest.mark.parametrize(
    ("coding", "published", "known"), CODINGS, ids=lambda value: getattr(value, "name", "")
)
def test_what_is_written_reads_back(coding: LabelCoding, published: str, known: list[int]) -> None:
    train_ids = np.array([[*coding.classes, IGNORE_LABEL]], dtype=np.uint8)
    native = coding.native_ids[train_ids]
    assert set(native.ravel().tolist()) <= set(known)
    assert (coding.decode(native) == train_ids).all()


def test_wide_types_are_not_wrapped_around() -> None:
    with pytest.raises(LabelValueError, match=r"value 263 at \(1, 0\)"):
        labels.CITYSCAPES_IDS.decode(np.array([[7, 256 + 7]], dtype=np.uint16))
    with pytest.raises(LabelValueError, match="value -2"):
        labels.CITYSCAPES_IDS.decode(np.array([[-2]]))
    assert labels.CITYSCAPES_IDS.decode(np.array([[-1, 7]])).tolist() == [[255, 0]]


def test_error_names_the_first_place_as_x_y() -> None:
    raw = np.zeros((4, 5), dtype=np.uint8)
    raw[2, 3] = 99
    with pytest.raises(UserError, match=r"label value 99 at \(3, 2\) is not in the mapillary coding"):
        labels.MAPILLARY.decode(raw)


def test_colours_of_gtav() -> None:
    decoded = labels.GTAV.decode(labels.LABEL_COLOURS[None])
    by_id = labels.GTAV.decode(np.arange(35, dtype=np.uint8)[None])
    differing = np.flatnonzero(decoded != by_id)
    # Colours cannot tell a pole group from a pole, nor a licence plate from a car.
    assert differing.tolist() == [18, 34]
    assert decoded[0, differing].tolist() == [5, 13]
    with pytest.raises(LabelValueError, match=r"value \(1, 2, 3\)"):
        labels.GTAV.decode(np.array([[(1, 2, 3)]], dtype=np.uint8))
    with pytest.raises(LabelValueError, match="a colour picture"):
        labels.MAPILLARY.decode(np.zeros((2, 2, 3), dtype=np.uint8))


def test_colour_table_is_exhaustive() -> None:
    table = labels.colour_table()
    known = {tuple(colour) for colour in labels.LABEL_COLOURS.tolist()} | {(20, 20, 20)}
    assert np.count_nonzero(table != labels.UNKNOWN) == len(known)
    for train_id, (red, green, blue) in enumerate(labels.PALETTE.tolist()):
        assert table[red << 16 | green << 8 | blue] == train_id


def test_palettes() -> None:
    assert labels.palette_coding(labels.LABEL_COLOURS) is None
    shuffled = labels.PALETTE[::-1]
    coding = labels.palette_coding(shuffled)
    assert coding.decode(np.arange(19, dtype=np.uint8)[None]).tolist() == [list(range(18, -1, -1))]


def test_names_and_ids() -> None:
    assert len(TRAIN_ID_NAMES) == NUM_CLASSES
    assert labels.LABEL_ID_OF_TRAIN_ID[[0, 10, 18, 255]].tolist() == [7, 23, 33, 0]
    assert labels.PALETTE[[0, 13, 18]].tolist() == [[128, 64, 128], [0, 0, 142], [119, 11, 32]]


def test_class_sets() -> None:
    sixteen = {TRAIN_ID_NAMES[t] for t in labels.SYNTHIA_16.train_ids}
    assert set(TRAIN_ID_NAMES) - sixteen == {"terrain", "truck", "train"}
    thirteen = {TRAIN_ID_NAMES[t] for t in labels.SYNTHIA_13.train_ids}
    assert sixteen - thirteen == {"wall", "fence", "pole"}
    assert len(labels.CAMVID_11.train_ids) == 11
    assert labels.CAMVID_11.merge == {12: 18}


@pytest.mark.parametrize(
    ("num_classes", "train_ids"),
    [
        (19, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18"),
        (16, "0 1 2 3 4 5 6 7 8 10 11 12 13 15 17 18"),
        (13, "0 1 2 6 7 8 10 11 12 13 15 17 18"),
    ],
)
def test_classes_of_a_network_exhaustively(num_classes: int, train_ids: str) -> None:
    published = [int(word) for word in train_ids.split()]
    classes = labels.class_set_of(num_classes)
    for value in range(256):
        expected = published.index(value) if value in published else IGNORE_LABEL
        assert classes.class_of_train_id[value] == expected
        assert classes.train_id_of_class[value] == (published[value] if value < num_classes else IGNORE_LABEL)
    assert classes.class_names == tuple(TRAIN_ID_NAMES[t] for t in published)
    assert (classes.palette == labels.PALETTE[published]).all()


def test_smaller_sets_inside_larger_ones() -> None:
    sixteen, thirteen = labels.class_set_of(16), labels.class_set_of(13)
    assert sixteen.classes_of(thirteen) == [0, 1, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    assert thirteen.classes_of(sixteen) == list(range(13))
    # Riders count as bicycles: train ids 12 and 18, classes 11 and 15 of 16, 8 and 12 of 13.
    assert sixteen.merged_classes(labels.CAMVID_11) == {11: 15}
    assert thirteen.merged_classes(labels.CAMVID_11) == {8: 12}
    assert labels.ClassSet("no rider", (0, 18)).merged_classes(labels.CAMVID_11) == {}


def test_other_numbers_of_classes_are_unknown() -> None:
    with pytest.raises(UserError, match="network of 5 classes.*known are 19, 16, 13"):
        labels.class_set_of(5)
