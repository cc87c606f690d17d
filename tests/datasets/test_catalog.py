"""The declared data sets."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.definitions.catalog import CATALOG, evaluation_transform, spec, windows
from datasets.definitions.codings import CAMVID_32
from datasets.definitions.published import KITTI_VAL_FRAMES, SPLIT_DATA
from datasets.files.folders import takes
from datasets.files.pairing import Pair, as_found, list_pairs
from datasets.files.prepared import prepared
from datasets.files.segmentation import SegmentationSet
from scripts import check, prepare
from transforms.pipeline import EvaluationTransform
from utils.errors import UserError
from utils.scoring.sliding_window import Inference, tile_starts


def test_unknown_name_and_split_list_the_known() -> None:
    with pytest.raises(UserError, match=r"unknown data set 'citiscapes'; known are cityscapes, gtav"):
        spec("citiscapes")
    with pytest.raises(UserError, match=r"camvid_seq05 has no split 'train'; it has val, test"):
        spec("camvid_seq05").split("train")


def test_names_variables_and_pickling() -> None:
    assert set(CATALOG) == {
        *("cityscapes", "cityscapes_val2", "gtav", "gtav_10k", "synthia", "bdd100k", "mapillary", "kitti"),
        *("camvid", "camvid_day", "camvid_seq05", "camvid_dusk"),
        *("nthu_rome", "nthu_rio", "nthu_tokyo", "nthu_taipei"),
        *("acdc", "acdc_fog", "acdc_night", "acdc_rain", "acdc_snow", "acdc_reference"),
        *("dark_zurich", "dark_zurich_twilight", "dark_zurich_day", "nighttime_driving", "bdd100k_night"),
        *("foggy_cityscapes", "foggy_cityscapes_0.005", "foggy_cityscapes_0.01", "foggy_cityscapes_0.02"),
        *("rain_cityscapes", "foggy_zurich", "foggy_driving", "foggy_driving_dense"),
        *("muses", "wilddash2", "wilddash2_strict", "idd"),
    }
    assert spec("cityscapes").environment_variable == "CITYSCAPES_DIR"
    assert spec("camvid_dusk").environment_variable == "CAMVID_DIR"
    assert spec("nthu_rio").environment_variable == "NTHU_DIR"
    assert spec("acdc_fog").environment_variable == "ACDC_DIR"
    assert spec("foggy_cityscapes").environment_variable == "CITYSCAPES_DIR"
    for each in CATALOG.values():
        assert pickle.loads(pickle.dumps(each)).name == each.name


def make_pair(picture: Path, label: Path) -> None:
    for path in (picture, label):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(path)


@pytest.mark.parametrize(
    ("name", "split", "picture", "label"),
    [
        (
            "cityscapes",
            "val",
            "leftImg8bit_trainvaltest/leftImg8bit/val/ulm/ulm_0_leftImg8bit.png",
            "gtFine_trainvaltest/gtFine/val/ulm/ulm_0_gtFine_labelIds.png",
        ),
        (
            "cityscapes",
            "train",
            "leftImg8bit/train/ulm/ulm_0_leftImg8bit.png",
            "gtFine/train/ulm/ulm_0_gtFine_labelIds.png",
        ),
        (
            "cityscapes",
            "train_extra",
            "leftImg8bit_trainextra/leftImg8bit/train_extra/erlangen/e_0_leftImg8bit.png",
            "gtCoarse/gtCoarse/train_extra/erlangen/e_0_gtCoarse_labelIds.png",
        ),
        (
            "cityscapes",
            "train_extra",
            "leftImg8bit/train_extra/erlangen/e_0_leftImg8bit.png",
            "gtCoarse/train_extra/erlangen/e_0_gtCoarse_labelIds.png",
        ),
        ("gtav", "val", "images/valid/a/0.png", "labels/valid/a/0.png"),
        ("gtav", "val", "images/val/0.png", "labels/val/0.png"),
        ("synthia", "train", "RGB/train/0.png", "GT/LABELS/train/0.png"),
        ("synthia", "val", "RAND_CITYSCAPES/RGB/val/0.png", "RAND_CITYSCAPES/GT/LABELS/val/0.png"),
        ("bdd100k", "val", "images/val/0.jpg", "labels/val/0_train_id.png"),
        ("bdd100k", "val", "images/10k/val/0.jpg", "labels/sem_seg/masks/val/0.png"),
        ("bdd100k", "val", "segmentation/val/raw_images/0.jpg", "segmentation/val/class_id/0.png"),
        ("mapillary", "val", "validation/images/0.jpg", "validation/labels/0.png"),
        ("mapillary", "train", "training/images/0.jpg", "training/v1.2/labels/0.png"),
        ("kitti", "train", "training/image_2/000000_10.png", "training/semantic/000000_10.png"),
        ("camvid", "test", "test/Seq05VD_f0.png", "testannot/Seq05VD_f0.png"),
        ("camvid_dusk", "val", "train/0001TP_1.jpg", "trainannot/0001TP_1.png"),
        ("nthu_rome", "val", "Rome/Images/Test/pano_1.jpg", "Rome/Labels/Test/pano_1_eval.png"),
        ("nthu_rio", "test", "Rio/Images/Test/pano_1.png", "Rio/Labels/Test/pano_1_eval.png"),
        ("nthu_tokyo", "val", "Tokyo/Images/Test/pano_1.jpg", "Tokyo/Labels/Test/pano_1_eval.png"),
        ("nthu_taipei", "val", "Taipei/Images/Test/pano_1.jpg", "Taipei/Labels/Test/pano_1_eval.png"),
    ],
)
def test_native_layouts(tmp_path: Path, name: str, split: str, picture: str, label: str) -> None:
    make_pair(tmp_path / picture, tmp_path / label)
    (pair,) = list_pairs(spec(name), split, tmp_path)
    assert (pair.image, pair.label) == (tmp_path / picture, tmp_path / label)


@pytest.mark.parametrize(
    ("pictures", "labels", "by_index"),
    [
        ("701_StillsRaw_full/{}.png", "LabeledApproved_full/{}_L.png", False),
        ("{split}/{}.png", "{split}_labels/{}_L.png", False),
        ("images/{}.png", "labels/{}_P.png", True),
    ],
)
def test_camvid_as_cambridge_and_others_ship_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pictures: str, labels: str, by_index: bool
) -> None:
    """All 32 colours, or their numbers; flat archives are divided by the published lists."""
    native = np.resize(np.arange(32, dtype=np.uint8), (8, 16))
    colours = np.array(CAMVID_32.palette, dtype=np.uint8)[native]
    root = tmp_path / "camvid"
    for split in ("train", "val", "test"):
        for name in (SPLIT_DATA / f"camvid_{split}.txt").read_text().split():
            picture, label = (root / each.format(name, split=split) for each in (pictures, labels))
            make_pair(picture, label)
            Image.fromarray(native if by_index else colours).save(label)
            Image.fromarray(colours).save(picture)
    counts = {"train": 367, "val": 101, "test": 233}
    for split, count in counts.items():
        opened = SegmentationSet(spec("camvid"), split, root, EvaluationTransform())
        assert len(opened) == count
        assert np.array_equal(opened[0]["label"].numpy(), CAMVID_32.table[native])
    dusk = SegmentationSet(spec("camvid_dusk"), "train", root, EvaluationTransform())
    assert {pair.name[:6] for pair in dusk.pairs} == {"0001TP"}
    check.main(["--dataset", "camvid", "--data_root", str(tmp_path), "--split", "val"])
    assert "camvid val: 101 pairs" in capsys.readouterr().out
    prepare.main(
        ["--dataset", "camvid", "--split", "val", "--data_root", str(tmp_path)]
        + ["--output", str(tmp_path / "copies"), "--processes", "1"]
    )
    copies = prepared(
        SegmentationSet(spec("camvid"), "val", root, EvaluationTransform()), tmp_path / "copies"
    )
    assert np.array_equal(copies.read_label(0), CAMVID_32.table[native])


def test_camvid_in_two_forms_is_not_trained_on_as_one(tmp_path: Path) -> None:
    make_pair(tmp_path / "train/a.png", tmp_path / "train_labels/a_L.png")
    make_pair(tmp_path / "val/b.png", tmp_path / "valannot/b.png")
    assert as_found(spec("camvid"), "train", tmp_path).coding == CAMVID_32
    assert as_found(spec("camvid"), "val", tmp_path) == spec("camvid")
    with pytest.raises(UserError, match=r"train and val of camvid .* \(camvid 32 and camvid\)"):
        as_found(spec("camvid"), "trainval", tmp_path)


def test_the_lists_of_camvid_are_those_of_its_other_form(shared: Path) -> None:
    for split in ("train", "val", "test"):
        listed = (SPLIT_DATA / f"camvid_{split}.txt").read_text().split()
        there = {path.stem for path in (shared / "data" / "CamVid" / split).iterdir()}
        assert there <= set(listed)
        # Of the test part the copy has one sequence.
        assert {name for name in listed if name not in there} == {
            name for name in listed if split == "test" and name.startswith("0001TP")
        }


@pytest.mark.parametrize("outer", ["", "leftImg8bit_trainvaltest/"])
def test_cityscapes_test_has_pictures_alone(tmp_path: Path, outer: str) -> None:
    picture = tmp_path / f"{outer}leftImg8bit/test/berlin/berlin_0_leftImg8bit.png"
    # The vendor has files there, in which all is ignored.
    make_pair(picture, tmp_path / "gtFine/test/berlin/berlin_0_gtFine_labelIds.png")
    (pair,) = list_pairs(spec("cityscapes"), "test", tmp_path, labelled=False)
    assert pair == Pair("berlin/berlin_0", picture, None)
    with pytest.raises(UserError, match="cityscapes test: this split has no labels"):
        list_pairs(spec("cityscapes"), "test", tmp_path)


def test_synthia_one_folder_deeper(tmp_path: Path) -> None:
    ids = (SPLIT_DATA / "synthia_val.txt").read_text().split()
    for folder in ("RGB", "GT/LABELS"):
        (tmp_path / "RAND_CITYSCAPES" / folder).mkdir(parents=True)
        for each in ids:
            (tmp_path / "RAND_CITYSCAPES" / folder / f"{each}.png").touch()
    assert [pair.name for pair in list_pairs(spec("synthia"), "val", tmp_path)] == ids


def test_kitti_division(tmp_path: Path) -> None:
    for frame in range(200):
        make_pair(*(tmp_path / "training" / kind / f"{frame:06d}_10.png" for kind in ("image_2", "semantic")))
        # Of the multi-view extension, without labels.
        (tmp_path / "training" / "image_2" / f"{frame:06d}_11.png").touch()
    train, val = (list_pairs(spec("kitti"), split, tmp_path) for split in ("train", "val"))
    assert (len(train), len(val)) == (179, 21)
    assert [int(pair.name[:6]) for pair in val] == list(KITTI_VAL_FRAMES[0])
    assert not {pair.name for pair in train} & {pair.name for pair in val}


def test_gtav_leaves_out_what_cannot_be_paired(tmp_path: Path) -> None:
    for name in ("12160", "12202", "12208", "12209", "19993", "19994"):
        make_pair(tmp_path / f"images/train/{name}.png", tmp_path / f"labels/train/{name}.png")
    assert [pair.name for pair in list_pairs(spec("gtav"), "train", tmp_path)] == ["12209", "19994"]


@pytest.mark.parametrize("sorted_into_folders", [False, True])
def test_the_first_pictures_of_gtav(tmp_path: Path, sorted_into_folders: bool) -> None:
    ids = ["00001", "08999", "09000", "09001", "09999", "10000", "10001", "12160", "19001"]
    for number, name in enumerate(ids):
        folder = ("train/", "valid/", "test/")[number % 3] if sorted_into_folders else ""
        for kind in ("images", "labels"):
            path = tmp_path / kind / f"{folder}{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    found = {
        split: sorted(pair.image.stem for pair in list_pairs(spec("gtav_10k"), split, tmp_path))
        for split in ("train", "val")
    }
    assert found == {"train": ids[:3], "val": ids[3:6]}


def test_the_first_pictures_of_gtav_are_ten_thousand() -> None:
    splits = spec("gtav_10k").splits
    numbers = {
        name: [number for number in range(1, 24967) if takes(split, f"{number:05d}")]
        for name, split in splits.items()
    }
    assert numbers == {"train": [*range(1, 9001)], "val": [*range(9001, 10001)]}


def test_val2_is_a_part_of_cityscapes_training_pictures(tmp_path: Path) -> None:
    names = [f"{city}/{city}_{frame:06d}_000019" for city in ("aachen", "ulm") for frame in range(600)]
    for name in names:
        for path in (
            tmp_path / f"leftImg8bit/train/{name}_leftImg8bit.png",
            tmp_path / f"gtFine/train/{name}_gtFine_labelIds.png",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    chosen = [pair.name for pair in list_pairs(spec("cityscapes_val2"), "val", tmp_path)]
    assert len(chosen) == len(set(chosen)) == 500
    assert [names.index(name) for name in chosen] == [place * 1200 // 500 for place in range(500)]
    assert list_pairs(spec("cityscapes_val2"), "val", tmp_path, labelled=False)[7].name == chosen[7]


def test_camvid_domains_are_disjoint_sequences(shared: Path) -> None:
    root = shared / "data" / "CamVid"
    if not root.is_dir():
        pytest.skip("needs CamVid in ../shared")
    counts = {
        (name, split): len(list_pairs(spec(name), split, root))
        for name in ("camvid", "camvid_day", "camvid_seq05", "camvid_dusk")
        for split in spec(name).splits
    }
    assert counts == {
        **{("camvid", "train"): 367, ("camvid", "val"): 101, ("camvid", "test"): 171},
        **{("camvid_day", "train"): 305, ("camvid_day", "val"): 101},
        **{("camvid_seq05", "val"): 171, ("camvid_seq05", "test"): 171},
        **{("camvid_dusk", "train"): 62, ("camvid_dusk", "val"): 62},
    }


def test_evaluation_sizes() -> None:
    picture = Image.new("RGB", (1000, 1536), (9, 9, 9))
    label = np.zeros((1536, 1000), dtype=np.uint8)
    mapillary = spec("mapillary")
    sample = evaluation_transform(mapillary, "robustnet")(picture, label)
    assert sample["image"].shape == (3, 1536, 1536)
    # Narrower than the crop: centred between ignored columns, nothing lost.
    assert (sample["label"] == 0).sum() == 1000 * 1536
    assert (sample["label"][:, :268] == 255).all()
    assert (sample["image"][:, :, 268:1268] == 9).all()
    assert evaluation_transform(mapillary, "full")(picture, label)["image"].shape == (3, 1536, 1000)
    small = evaluation_transform(mapillary, "robustnet", height=64)(picture, label)
    assert small["label"].shape == (64, 64)
    kitti = evaluation_transform(spec("kitti"), "robustnet", height=64)(picture, label)
    assert kitti["label"].shape == (376, 1242)
    assert evaluation_transform(spec("gtav"), "robustnet", height=64)(picture, label)["label"].shape == (
        1536,
        1000,
    )
    with pytest.raises(UserError, match="--protocol robust: known are robustnet, full"):
        evaluation_transform(mapillary, "robust")


@pytest.mark.parametrize(
    ("name", "size", "miniature"),
    [
        ("cityscapes", (512, 1024), (64, 128)),
        ("bdd100k", (720, 1280), (90, 160)),
        ("gtav", (720, 1280), (90, 160)),
        ("mapillary", (30, 46), (30, 46)),
        ("acdc", (60, 91), (60, 91)),
    ],
)
def test_vfm_scores_smaller_pictures_on_whole_labels(
    name: str, size: tuple[int, int], miniature: tuple[int, int]
) -> None:
    picture, label = Image.new("RGB", (91, 60)), np.zeros((60, 91), dtype=np.uint8)
    for height, expected in ((None, size), (64, miniature)):
        sample = evaluation_transform(spec(name), "vfm", height)(picture, label)
        assert (sample["image"].shape, sample["label"].shape) == ((3, *expected), (60, 91))


def test_vfm_sees_windows_that_start_every_320_pixels() -> None:
    seen = windows(Inference("pooling", flip=True), "vfm")
    assert tile_starts(1024, seen.crop_size, seen.overlap) == [0, 320, 512]
    assert (seen.crop_size, seen.flip, seen.gives_probabilities) == (512, True, False)
    assert windows(Inference(), "vfm", height=64).crop_size == 64
    assert windows(Inference("pooling"), "full") == Inference("pooling")


@pytest.mark.parametrize("name", ["cityscapes", "kitti", "mapillary", "nthu_rome"])
def test_maxsquare_scores_everything_at_one_size(name: str) -> None:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (60, 90, 3), dtype=np.uint8))
    label = rng.integers(0, 19, (60, 90), dtype=np.uint8)
    sample = evaluation_transform(spec(name), "maxsquare")(picture, label)
    assert sample["image"].shape == (3, 512, 1024)
    expected = np.asarray(Image.fromarray(label).resize((1024, 512), Image.Resampling.NEAREST))
    assert (sample["label"].numpy() == expected).all()
    small = evaluation_transform(spec(name), "maxsquare", height=32)(picture, label)
    resized = np.asarray(picture.resize((64, 32), Image.Resampling.BICUBIC))
    assert (small["image"].permute(1, 2, 0).numpy() == resized).all()
    assert small["label"].shape == (32, 64)
