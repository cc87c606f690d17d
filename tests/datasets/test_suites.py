"""The data sets for robustness, on miniature trees of what their vendors ship."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from inference import write_checkpoint
from suites import CASES, CONDITIONS, NIGHT, ZURICH, Case, expected, write, write_acdc, write_list

import config
import infer
import valid
from datasets.definitions import codings
from datasets.definitions.catalog import evaluation_transform, spec
from datasets.definitions.spec import DatasetSpec
from datasets.definitions.suites import SUITES
from datasets.files.pairing import as_found, list_pairs
from scripts import check
from transforms.pipeline import EvaluationTransform
from utils.errors import UserError


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.dataset}-{case.split}")
def test_native_layouts(tmp_path: Path, case: Case) -> None:
    case.write(tmp_path)
    pairs = list_pairs(spec(case.dataset), case.split, tmp_path, labelled=bool(case.label))
    assert [(pair.name, pair.image, pair.label, pair.group) for pair in pairs] == expected(case, tmp_path)
    if not case.label:
        with pytest.raises(UserError, match=f"{case.dataset} {case.split}: this split has no labels"):
            list_pairs(spec(case.dataset), case.split, tmp_path)


def test_every_data_set_is_in_the_table() -> None:
    of_two_kinds_of_labels = {"foggy_driving", "foggy_driving_dense"}
    assert {case.dataset for case in CASES} | of_two_kinds_of_labels == {each.name for each in SUITES}


@pytest.mark.parametrize("dataset", SUITES, ids=lambda dataset: dataset.name)
def test_folder_and_size_of_pictures(dataset: DatasetSpec) -> None:
    assert dataset.root_name in config.DATASET_ROOTS
    assert evaluation_transform(dataset, "robustnet") == EvaluationTransform()


FOGGY_DRIVING = {
    "test": ("public/public_a_1", "gtFine"),
    "test_extra": ("web/web_b_2", "gtCoarse"),
}


def write_foggy_driving(root: Path) -> None:
    for split, (name, labels) in FOGGY_DRIVING.items():
        write(root / f"leftImg8bit/{split}/{name}_leftImg8bit.png")
        write(root / f"{labels}/{split}/{name}_{labels}_labelIds.png")


def test_fine_and_coarse_labels_of_foggy_driving(tmp_path: Path) -> None:
    write_foggy_driving(tmp_path)
    fine, coarse = list_pairs(spec("foggy_driving"), "val", tmp_path)
    assert fine.name == "leftImg8bit/test/public/public_a_1"
    assert fine.label == tmp_path / "gtFine/test/public/public_a_1_gtFine_labelIds.png"
    assert coarse.label == tmp_path / "gtCoarse/test_extra/web/web_b_2_gtCoarse_labelIds.png"


@pytest.mark.parametrize("listed", ["leftImg8bit/test_extra/web/web_b_2_leftImg8bit.png", "web/web_b_2"])
def test_the_dense_pictures_may_all_be_in_one_part(tmp_path: Path, listed: str) -> None:
    write_foggy_driving(tmp_path)
    with pytest.raises(UserError, match=r"leftImg8bit_testdense_filenames\.txt: no such file"):
        list_pairs(spec("foggy_driving_dense"), "val", tmp_path)
    file = tmp_path / "lists_file_names/leftImg8bit_testdense_filenames.txt"
    write_list(file, listed)
    (dense,) = list_pairs(spec("foggy_driving_dense"), "test", tmp_path)
    assert dense.name.endswith("web/web_b_2")
    write_list(file, "web_c_3")
    with pytest.raises(UserError, match=f"{file}: names none of the pictures in {tmp_path}"):
        list_pairs(spec("foggy_driving_dense"), "val", tmp_path)


def test_only_listed_night_pictures_count(tmp_path: Path) -> None:
    for split, names in (("train", "ab"), ("val", "cd")):
        for name in names:
            write(tmp_path / f"images/{split}/{name}.jpg")
            write(tmp_path / f"labels/{split}/{name}_train_id.png")
    write_list(tmp_path / NIGHT, "images/10k/train/b.jpg\nimages/10k/val/c.jpg\n")
    night = spec("bdd100k_night")
    assert [pair.image.stem for pair in list_pairs(night, "val", tmp_path)] == ["b", "c"]


def test_a_listed_picture_is_the_one_of_its_whole_name(tmp_path: Path) -> None:
    """Foggy Zurich's names have dots, after which they differ."""
    for frame in ("955", "956"):
        write(tmp_path / f"RGB/GP0/1508040913.0_frame_{frame}.png")
        write(tmp_path / f"gt_labelTrainIds/GP0/1508040913.0_frame_{frame}.png")
    file = tmp_path / "lists_file_names/RGB_testv2_filenames.txt"
    write_list(file, "RGB/GP0/1508040913.0_frame_956.png\n")
    (pair,) = list_pairs(spec("foggy_zurich"), "val", tmp_path)
    assert pair.name == "GP0/1508040913.0_frame_956"


@pytest.mark.parametrize(
    ("folder", "coding"), [("gt_labelTrainIds", "train id"), ("gt_labelIds", "cityscapes")]
)
def test_both_kinds_of_labels_of_foggy_zurich(tmp_path: Path, folder: str, coding: str) -> None:
    write(tmp_path / f"RGB/{ZURICH}.png")
    write(tmp_path / f"{folder}/{ZURICH}.png")
    write_list(tmp_path / "lists_file_names/RGB_testv2_filenames.txt", f"RGB/{ZURICH}.png\n")
    assert as_found(spec("foggy_zurich"), "val", tmp_path).coding.name == coding


def write_idd(root: Path, kinds: Sequence[str]) -> None:
    write(root / "leftImg8bit/val/0/005506_leftImg8bit.png")
    for kind in kinds:
        write(root / f"gtFine/val/0/005506_gtFine_{kind}.png")
    write_list(root / "gtFine/val/0/005506_gtFine_polygons.json", "{}")


@pytest.mark.parametrize(
    ("kinds", "coding"),
    [
        (["labellevel3Ids", "labelids", "labelcsTrainIds"], "train id"),
        (["labellevel3Ids", "labelids"], "idd"),
    ],
)
def test_train_ids_of_idd_count_before_ids(tmp_path: Path, kinds: list[str], coding: str) -> None:
    write_idd(tmp_path, kinds)
    (pair,) = list_pairs(spec("idd"), "val", tmp_path)
    assert pair.label.name == f"005506_gtFine_{kinds[-1]}.png"
    assert as_found(spec("idd"), "val", tmp_path).coding.name == coding


def test_idd_without_label_files_names_what_is_there(tmp_path: Path) -> None:
    write_idd(tmp_path, [])
    missing = (
        r"005506_gtFine_labelcsTrainIds\.png does not exist; files .* no labels: .*_gtFine_polygons\.json"
    )
    with pytest.raises(UserError, match=missing):
        list_pairs(spec("idd"), "val", tmp_path)


def test_both_parts_of_idd(tmp_path: Path) -> None:
    for part, ending in (("IDD_Segmentation", "png"), ("idd20kII", "jpg")):
        write(tmp_path / part / f"leftImg8bit/val/0/005506_leftImg8bit.{ending}")
        write(tmp_path / part / "gtFine/val/0/005506_gtFine_labelids.png")
    pairs = list_pairs(spec("idd"), "val", tmp_path)
    assert [pair.name for pair in pairs] == ["IDD_Segmentation/0/005506", "idd20kII/0/005506"]
    assert pairs[1].label == tmp_path / "idd20kII/gtFine/val/0/005506_gtFine_labelids.png"
    assert as_found(spec("idd"), "val", tmp_path).coding == codings.IDD_IDS


IDD_TRAIN_IDS = {
    **{0: 0, 3: 1, 29: 2, 20: 3, 21: 4, 26: 5, 25: 6, 24: 7, 32: 8, 5: 9, 33: 10, 6: 11, 8: 12, 12: 13},
    **{13: 14, 14: 15, 17: 16, 9: 17, 10: 18},
}
CITYSCAPES_TRAIN_IDS = {
    **{7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13},
    **{27: 14, 28: 15, 31: 16, 32: 17, 33: 18},
}


@pytest.mark.parametrize(
    ("coding", "train_ids", "last"),
    [
        (codings.IDD_IDS, IDD_TRAIN_IDS, 39),
        (codings.WILDDASH2, {**CITYSCAPES_TRAIN_IDS, 34: 13, 35: 13}, 38),
        (codings.WILDDASH2_STRICT, CITYSCAPES_TRAIN_IDS, 38),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_tables_of_label_values(coding: codings.LabelCoding, train_ids: dict[int, int], last: int) -> None:
    """Every value up to ``last`` and 255 is known; those that are no class here are ignored."""
    values = np.array([[*range(last + 1), 255]], dtype=np.uint8)
    assert coding.decode(values).tolist() == [[train_ids.get(value, 255) for value in values[0].tolist()]]
    with pytest.raises(UserError, match=f"label value {last + 1} "):
        coding.decode(np.array([[last + 1]], dtype=np.uint8))


def test_the_folder_of_every_condition_has_to_be_there(tmp_path: Path) -> None:
    write_acdc(tmp_path)
    (tmp_path / "rgb_anon/rain/val").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"rgb_anon/rain/val or .*: no such folder") as refused:
        list_pairs(spec("acdc"), "val", tmp_path)
    assert "\n" not in str(refused.value)
    assert len(list_pairs(spec("acdc_fog"), "val", tmp_path)) == 2


def test_check_reads_acdc(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_acdc(tmp_path / "ACDC")
    splits = ["--split", "train", "val", "test"]
    check.main(["--dataset", "acdc", "acdc_night", "--data_root", str(tmp_path), *splits])
    printed = capsys.readouterr().out
    for line in (
        "acdc train: 8 pairs",
        "acdc val: 8 pairs",
        "acdc test: 8 pictures without labels",
        "acdc_night val: 2 pairs",
    ):
        assert line in printed


def test_rows_of_conditions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each condition alone, the mean of the four, and all pictures together, in the table and in the file."""
    write_acdc(tmp_path / "acdc")
    snapshot = str(write_checkpoint(tmp_path / "best.pth"))
    scored = ["--snapshot", snapshot, "--data_root", str(tmp_path), "--num_workers", "0"]
    scored += ["--val_dataset", "acdc", "--device", "cpu"]
    assert valid.main([*scored, "--output", str(tmp_path / "scores.json")]) == 0
    rows = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    row_names = [f"acdc ({each})" for each in (*CONDITIONS, "mean of conditions", "all together")]
    assert [row for row in rows if row.startswith("acdc (")] == row_names
    scores = json.loads((tmp_path / "scores.json").read_text())["domains"]["acdc"]
    assert {name: group["images"] for name, group in scores["conditions"].items()} == dict.fromkeys(
        CONDITIONS, 2
    )
    assert scores["images"] == 8
    with pytest.raises(UserError, match="acdc test: this split has no labels"):
        valid.main([*scored, "--split", "test"])


def test_results_of_the_test_pictures_keep_their_condition(tmp_path: Path) -> None:
    write_acdc(tmp_path / "acdc")
    snapshot = str(write_checkpoint(tmp_path / "best.pth"))
    words = ["--val_dataset", "acdc", "--split", "test", "--data_root", str(tmp_path), "--device", "cpu"]
    infer.main(["--snapshot", snapshot, *words, "--output", str(tmp_path / "out"), "--save", "labelids"])
    found = {
        path.relative_to(tmp_path / "out/acdc/labelids").parts[0] for path in tmp_path.rglob("out/**/*.png")
    }
    assert found == set(CONDITIONS)
