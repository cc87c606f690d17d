"""The published split lists, and flat archives divided by them or by the user's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image
from programs import train_arguments

import train
from datasets.definitions.catalog import SPLIT_DATA, spec
from datasets.files.pairing import list_pairs
from datasets.files.split_lists import divided_by, read_ids
from scripts.check import main
from utils.errors import UserError

COUNTS = {
    **{("gtav", "train"): 12388, ("gtav", "val"): 6382, ("gtav", "test"): 6181},
    **{("synthia", "train"): 6580, ("synthia", "val"): 2820},
}
MISMATCHED = [12160, 12166, 12167, 12191, 12192, 12193, 12195, *range(12202, 12209), 19993]


def published(name: str, split: str) -> list[str]:
    return (SPLIT_DATA / f"{name}_{split}.txt").read_text().split()


def test_published_lists() -> None:
    for name, digits, pictures in (("gtav", 5, range(1, 24967)), ("synthia", 7, range(9400))):
        lists = {split: published(name, split) for each, split in COUNTS if each == name}
        assert {(name, split): len(ids) for split, ids in lists.items()}.items() <= COUNTS.items()
        every = sorted(each for ids in lists.values() for each in ids)
        absent = MISMATCHED if name == "gtav" else []
        assert every == [f"{number:0{digits}d}" for number in pictures if number not in absent]
        assert all(ids == sorted(ids) for ids in lists.values())


def test_published_lists_equal_the_reference_ranges(shared: Path) -> None:
    facts = json.loads((shared / "facts" / "splits.json").read_text())
    for name, split in COUNTS:
        ranges = facts[name][split]["ranges"]
        assert list(map(int, published(name, split))) == [
            number for first, last in ranges for number in range(first, last + 1)
        ]


def write_flat(root: Path, name: str, ids: list[str]) -> Path:
    folders = ("images", "labels") if name == "gtav" else ("RGB", "GT/LABELS")
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for each in ids:
            (root / folder / f"{each}.png").touch()
    return root


def test_a_flat_archive_is_divided_by_the_published_lists(tmp_path: Path) -> None:
    ids = published("synthia", "val")
    root = write_flat(tmp_path, "synthia", [*ids, "0000001"])
    pairs = list_pairs(spec("synthia"), "val", root)
    assert [pair.name for pair in pairs] == ids
    assert pairs[0].image == root / "RGB" / "0000000.png"
    assert pairs[0].label == root / "GT" / "LABELS" / "0000000.png"
    with pytest.raises(
        UserError, match=r"RGB: 6579 of the 6580 pictures listed .* first is 0000002\.png; add them$"
    ):
        list_pairs(spec("synthia"), "train", root)
    (root / "GT/LABELS/0000003.png").unlink()
    with pytest.raises(UserError, match=r"RGB/0000003\.png has no label"):
        list_pairs(spec("synthia"), "val", root)


def test_missing_pictures_of_gtav_are_told_the_flag_for_own_lists(tmp_path: Path) -> None:
    root = write_flat(tmp_path, "gtav", published("gtav", "val")[:-2])
    error = r"images: 2 of the 6382 pictures listed .*; pass --gtav_split with lists of what is here$"
    with pytest.raises(UserError, match=error):
        list_pairs(spec("gtav"), "val", root)


def test_folders_of_splits_win_over_the_lists(tmp_path: Path) -> None:
    root = write_flat(tmp_path, "gtav", published("gtav", "val")[:3])
    for kind in ("images", "labels"):
        (root / kind / "train").mkdir()
        (root / kind / "train" / "00099.png").touch()
    assert [pair.name for pair in list_pairs(spec("gtav"), "train", root)] == ["00099"]
    with pytest.raises(UserError, match=r"images/valid or .*images/val: no such folder"):
        list_pairs(spec("gtav"), "val", root)


def test_a_root_without_pictures_is_told_both_ways(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"images/train: no such folder.*/images: holds no pictures itself"):
        list_pairs(spec("gtav"), "train", tmp_path)


@pytest.fixture
def split_mat(tmp_path: Path) -> Path:
    numbers = {"train": [3, 1, 12160], "val": [2, 4], "test": [7]}
    columns = {f"{split}Ids": np.array([ids], dtype=np.uint16).T for split, ids in numbers.items()}
    scipy.io.savemat(tmp_path / "split.mat", columns)
    return tmp_path / "split.mat"


def test_the_official_split_file(tmp_path: Path, split_mat: Path) -> None:
    root = write_flat(tmp_path / "gtav", "gtav", [f"{number:05d}" for number in range(1, 9)])
    gtav = divided_by(spec("gtav"), split_mat)
    # 12160 has a label of another size; it is neither used nor asked for.
    assert [pair.name for pair in list_pairs(gtav, "train", root)] == ["00001", "00003"]
    assert [pair.name for pair in list_pairs(gtav, "val", root)] == ["00002", "00004"]
    assert [pair.name for pair in list_pairs(gtav, "trainval", root)] == ["00001", "00002", "00003", "00004"]


def test_a_folder_of_lists(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "gtav", "gtav", ["00001", "00002"])
    (tmp_path / "gtav_train.txt").write_text("\ufeff00002.png\r\n\r\n00002\n", encoding="utf-8")
    gtav = divided_by(spec("gtav"), tmp_path)
    assert [pair.name for pair in list_pairs(gtav, "train", root)] == ["00002"]
    with pytest.raises(UserError, match=r"gtav_val\.txt: no such file"):
        list_pairs(gtav, "val", root)
    (tmp_path / "gtav_val.txt").write_text("00001\n00002\n")
    with pytest.raises(UserError, match="both train and val: 1, first 00002"):
        divided_by(spec("gtav"), tmp_path)


def test_lists_are_for_flat_archives(write_gtav, random_labels, split_mat: Path) -> None:
    root = write_gtav(random_labels(2))
    with pytest.raises(UserError, match="images: holds no pictures itself"):
        list_pairs(divided_by(spec("gtav"), split_mat), "train", root)


def test_lists_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        divided_by(spec("gtav"), tmp_path / "nowhere")
    damaged = tmp_path / "split.mat"
    damaged.write_bytes(b"not a MATLAB file" * 20)
    with pytest.raises(UserError, match=r"split\.mat: cannot be read as a MATLAB file"):
        divided_by(spec("gtav"), damaged)
    scipy.io.savemat(damaged, {"other": 1})
    with pytest.raises(UserError, match=r"split\.mat: has no trainIds"):
        divided_by(spec("gtav"), damaged)
    (tmp_path / "gtav_train.txt").write_text("\n")
    with pytest.raises(UserError, match=r"gtav_train\.txt: lists no picture of the train split"):
        read_ids(tmp_path / "gtav_train.txt", "train", 5)


def test_check_takes_the_lists(
    tmp_path: Path, write_gtav, random_labels, split_mat: Path, capsys: pytest.CaptureFixture
) -> None:
    root = write_gtav(random_labels(5))
    for kind in ("images", "labels"):
        for file in (root / kind / "train").iterdir():
            file.rename(root / kind / file.name)
        (root / kind / "train").rmdir()
    main(["--dataset", "gtav", "--data_root", str(tmp_path), "--gtav_split", str(split_mat)])
    output = capsys.readouterr().out
    assert "gtav train: 2 pairs" in output
    assert "gtav val: 2 pairs" in output
    Image.new("L", (3, 3)).save(root / "labels" / "00004.png")
    with pytest.raises(UserError, match=r"00004\.png is 60x40"):
        main(["--dataset", "gtav", "--data_root", str(tmp_path), "--gtav_split", str(split_mat)])


def test_a_run_goes_on_with_like_lists_wherever_they_are(toycity: Path, tmp_path: Path) -> None:
    data = tmp_path / "data" / "gtav"
    ids: dict[str, list[str]] = {"train": [], "val": []}
    for kind in ("images", "labels"):
        (data / kind).mkdir(parents=True)
    for first, (split, listed) in enumerate(ids.items()):
        for number, pair in enumerate(list_pairs(spec("gtav"), split, toycity / "gtav")):
            listed.append(f"{100 * first + number:05d}")
            shutil.copy(pair.image, data / "images" / f"{listed[-1]}.png")
            shutil.copy(pair.label, data / "labels" / f"{listed[-1]}.png")
    for name, val in (("own", ids["val"]), ("moved", ids["val"][::-1]), ("other", ids["val"][1:])):
        (tmp_path / name).mkdir()
        for split, listed in {**ids, "val": val}.items():
            (tmp_path / name / f"gtav_{split}.txt").write_text("\n".join(listed))
    words = ["--max_iter", "1", "--eval_every", "0", "--resume", "auto", "--gtav_split"]
    words = train_arguments(data.parent, tmp_path, *words)
    assert train.main([*words, str(tmp_path / "own")]) == 0
    assert train.main([*words, str(tmp_path / "moved")]) == 0
    with pytest.raises(UserError, match=r"\(gtav_split_content was \w+, is \w+\)"):
        train.main([*words, str(tmp_path / "other")])
