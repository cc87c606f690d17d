"""The train ids, and sets of them."""

from __future__ import annotations

import pytest

from utils.errors import UserError
from utils.scoring import classes
from utils.scoring.classes import IGNORE_LABEL, NUM_CLASSES, TRAIN_ID_NAMES


def test_names_and_ids() -> None:
    assert len(TRAIN_ID_NAMES) == NUM_CLASSES
    assert classes.LABEL_ID_OF_TRAIN_ID[[0, 10, 18, 255]].tolist() == [7, 23, 33, 0]
    assert classes.PALETTE[[0, 13, 18]].tolist() == [[128, 64, 128], [0, 0, 142], [119, 11, 32]]


def test_class_sets() -> None:
    sixteen = {TRAIN_ID_NAMES[t] for t in classes.SYNTHIA_16.train_ids}
    assert set(TRAIN_ID_NAMES) - sixteen == {"terrain", "truck", "train"}
    thirteen = {TRAIN_ID_NAMES[t] for t in classes.SYNTHIA_13.train_ids}
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
    own = classes.class_set_of(num_classes)
    for value in range(256):
        expected = published.index(value) if value in published else IGNORE_LABEL
        assert own.class_of_train_id[value] == expected
        assert own.train_id_of_class[value] == (published[value] if value < num_classes else IGNORE_LABEL)
    assert own.class_names == tuple(TRAIN_ID_NAMES[t] for t in published)
    assert (own.palette == classes.PALETTE[published]).all()


def test_smaller_sets_inside_larger_ones() -> None:
    sixteen, thirteen = classes.class_set_of(16), classes.class_set_of(13)
    assert sixteen.classes_of(thirteen) == [0, 1, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    assert thirteen.classes_of(sixteen) == list(range(13))
    # Riders count as bicycles: train ids 12 and 18, classes 11 and 15 of 16, 8 and 12 of 13.
    assert sixteen.merged_classes(classes.CAMVID_11) == {11: 15}
    assert thirteen.merged_classes(classes.CAMVID_11) == {8: 12}
    assert classes.ClassSet("no rider", (0, 18)).merged_classes(classes.CAMVID_11) == {}


def test_other_numbers_of_classes_are_unknown() -> None:
    with pytest.raises(UserError, match="network of 5 classes.*known are 19, 16, 13"):
        classes.class_set_of(5)
