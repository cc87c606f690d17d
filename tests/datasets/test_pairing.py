"""Pictures find their labels, or an error finds the file."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.definitions.catalog import spec
from datasets.definitions.spec import Layout, Split
from datasets.files.pairing import check_sizes, list_pairs
from utils.errors import UserError

GTAV = spec("gtav")


@pytest.fixture
def root(write_gtav, random_labels) -> Path:
    return write_gtav(random_labels(3))


def test_sorted_pairs_without_strangers(root: Path) -> None:
    images = root / "images" / "train"
    for stray in ("._00000.png", ".hidden.png", "notes.txt"):
        (images / stray).write_text("x")
    shutil.copy(root / "labels/train/00000.png", root / "labels/train/99999.png")
    pairs = list_pairs(GTAV, "train", root)
    assert [pair.name for pair in pairs] == ["00000", "00001", "00002"]
    assert check_sizes(pairs) == [(60, 40)] * 3


def test_folders_inside_are_part_of_the_name_and_link_loops_end(root: Path) -> None:
    for kind in ("images", "labels"):
        city = root / kind / "train" / "city"
        city.mkdir()
        shutil.copy(root / kind / "train" / "00001.png", city / "a.png")
        (city / "loop").symlink_to(root / kind / "train")
    assert [pair.name for pair in list_pairs(GTAV, "train", root)] == ["00000", "00001", "00002", "city/a"]


def test_linked_data_is_followed(root: Path, tmp_path: Path) -> None:
    moved = root.rename(tmp_path / "elsewhere")
    root.mkdir()
    for kind in ("images", "labels"):
        (root / kind).symlink_to(moved / kind)
    assert len(list_pairs(GTAV, "train", root)) == 3


def test_missing_label(root: Path) -> None:
    (root / "labels/train/00001.png").unlink()
    (root / "labels/train/00002.png").unlink()
    with pytest.raises(
        UserError, match=r"images/train/00001\.png has no label: .*labels/train/00001\.png .*1 more"
    ):
        list_pairs(GTAV, "train", root)
    (root / "labels/train/00001_color.png").touch()
    (root / "labels/train/000010.png").touch()
    hint = r"1 more\); files beside it that are no labels: 00001_color\.png; pass"
    with pytest.raises(UserError, match=hint):
        list_pairs(GTAV, "train", root)


def test_lists_with_folders_are_matched_by_the_file_name(root: Path, tmp_path: Path) -> None:
    layout = Layout("images/train", "labels/train", listed=tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("00000\ncity/a\n")
    flat = replace(GTAV, splits={"train": Split((layout,), without="a$")})
    (root / "images/train/city").mkdir()
    shutil.copy(root / "images/train/00001.png", root / "images/train/city/a.png")
    assert [pair.name for pair in list_pairs(flat, "train", root)] == ["00000"]


def test_layouts_of_the_same_folders_are_told_apart_by_their_labels(root: Path) -> None:
    layouts = (Layout("images/train", "labels/train", label_suffix=each) for each in ("_a.png", ".png"))
    either = replace(GTAV, splits={"train": Split(tuple(layouts))})
    assert list_pairs(either, "train", root)[0].label.name == "00000.png"
    for path in sorted((root / "labels/train").iterdir()):
        shutil.copy(path, path.with_name(f"{path.stem}_a.png"))
    assert list_pairs(either, "train", root)[0].label.name == "00000_a.png"


@pytest.mark.parametrize(
    "line", ["00001", "00001.png", "some/00001.png", "some/00001.jpeg", "C:\\a\\00001.png"]
)
def test_a_list_of_what_counts_has_names_of_any_form(root: Path, line: str) -> None:
    (root / "list.txt").write_text(f"{line}\nabsent.png\n")
    layout = Layout("images/train", "labels/train", among="list.txt")
    listed = replace(GTAV, splits={"train": Split((layout,))})
    assert [pair.name for pair in list_pairs(listed, "train", root)] == ["00001"]
    (root / "list.txt").write_text("0000\n")
    with pytest.raises(UserError, match=r"list\.txt: names none of the pictures in .* list gtav train"):
        list_pairs(listed, "train", root)


def test_unlabelled_pairs_need_no_labels(root: Path) -> None:
    shutil.rmtree(root / "labels")
    with pytest.raises(UserError, match=r"labels/train: no such folder"):
        list_pairs(GTAV, "train", root)
    pairs = list_pairs(GTAV, "train", root, labelled=False)
    assert [pair.label for pair in pairs] == [None] * 3
    assert len(check_sizes(pairs)) == 3


def test_missing_and_empty_folders(root: Path) -> None:
    with pytest.raises(UserError, match=r"images/valid or .*images/val: no such folder"):
        list_pairs(GTAV, "val", root)
    for picture in (root / "images/train").iterdir():
        picture.unlink()
    with pytest.raises(UserError, match=r"images/train: no pictures of gtav train"):
        list_pairs(GTAV, "train", root)


def test_same_picture_in_two_formats(root: Path) -> None:
    Image.new("RGB", (60, 40)).save(root / "images/train/00001.jpg")
    with pytest.raises(UserError, match=r"00001\.jpg and 00001\.png are the same picture twice"):
        list_pairs(GTAV, "train", root)


def test_sizes_differ(root: Path) -> None:
    Image.fromarray(np.zeros((10, 20), dtype=np.uint8)).save(root / "labels/train/00002.png")
    with pytest.raises(
        UserError, match=r"00002\.png is 60x40 but its label .*labels/train/00002\.png is 20x10"
    ):
        check_sizes(list_pairs(GTAV, "train", root))


def test_a_split_that_nobody_labelled(nthu_toycity: Path) -> None:
    rome, root = spec("nthu_rome"), nthu_toycity / "nthu"
    for split in ("train", "trainval"):
        with pytest.raises(UserError, match="nthu_rome train: this split has no labels"):
            list_pairs(rome, split, root)
    assert [pair.label for pair in list_pairs(rome, "train", root, labelled=False)] == [None] * 6
    assert all(pair.label.is_file() for pair in list_pairs(rome, "val", root))
