"""The train ids, and sets of them."""

from __future__ import annotations

import json

import pytest

from utils.errors import UserError
from utils.scoring import classes
from utils.scoring.classes import CITYSCAPES, IGNORE_LABEL


def test_names_and_ids() -> None:
    assert len(CITYSCAPES.names) == len(CITYSCAPES)
    assert classes.LABEL_ID_OF_TRAIN_ID[[0, 10, 18, 255]].tolist() == [7, 23, 33, 0]
    assert classes.CITYSCAPES.palette[[0, 13, 18]].tolist() == [[128, 64, 128], [0, 0, 142], [119, 11, 32]]


def test_class_sets() -> None:
    sixteen = {CITYSCAPES.names[t] for t in classes.SYNTHIA_16.train_ids}
    assert set(CITYSCAPES.names) - sixteen == {"terrain", "truck", "train"}
    thirteen = {CITYSCAPES.names[t] for t in classes.SYNTHIA_13.train_ids}
    assert sixteen - thirteen == {"wall", "fence", "pole"}
    assert len(classes.CAMVID_11.train_ids) == 11
    assert classes.CAMVID_11.merge == {12: 18}


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
    own = classes.classes_of_number(num_classes)
    for value in range(256):
        expected = published.index(value) if value in published else IGNORE_LABEL
        assert own.class_of_train_id[value] == expected
        assert own.train_id_of_class[value] == (published[value] if value < num_classes else IGNORE_LABEL)
    assert own.class_names == tuple(CITYSCAPES.names[t] for t in published)
    assert (own.palette == classes.CITYSCAPES.palette[published]).all()


def test_smaller_sets_inside_larger_ones() -> None:
    sixteen, thirteen = classes.classes_of_number(16), classes.classes_of_number(13)
    assert sixteen.classes_of(thirteen) == [0, 1, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    assert thirteen.classes_of(sixteen) == list(range(13))
    # Riders count as bicycles: train ids 12 and 18, classes 11 and 15 of 16, 8 and 12 of 13.
    assert sixteen.merged_classes(classes.CAMVID_11) == {11: 15}
    assert thirteen.merged_classes(classes.CAMVID_11) == {8: 12}
    assert classes.ClassSet("no rider", (0, 18)).merged_classes(classes.CAMVID_11) == {}


def test_classes_that_nothing_names_have_numbers_and_colours() -> None:
    five = classes.classes_of_number(5)
    assert five.class_names[:2] == ("class 0", "class 1")
    assert len(set(classes.spread_colours(255))) == 255
    with pytest.raises(UserError, match="a network of 256 classes: there can be 1 to 255"):
        classes.classes_of_number(256)


def test_a_description_gives_the_same_classes_again() -> None:
    own = classes.ClassList("mine", ("road", "sky"), ((1, 2, 3), (4, 5, 6))).whole
    for known in (classes.CITYSCAPES_19, classes.SYNTHIA_13, own, classes.classes_of_number(7)):
        assert classes.described_classes(json.loads(json.dumps(known.description))) == known
