"""Miniature trees of the data sets for robustness, as their vendors ship them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

CONDITIONS = {name: name for name in ("fog", "night", "rain", "snow")}
BETAS = {beta: f"beta {beta}" for beta in ("0.005", "0.01", "0.02")}
WEATHERS = {
    f"{weather}/{time}": f"{weather} {time}"
    for weather in ("clear", "fog", "rain", "snow")
    for time in ("day", "night")
}


@dataclass(frozen=True)
class Case:
    """One picture of a split, or one per group: ``{}`` stands for the keys of ``groups``, whose values are
    the names of the groups. ``label`` is empty where the vendor gives none; ``lists`` are further files.
    """

    dataset: str
    split: str
    picture: str
    label: str
    name: str
    groups: Mapping[str, str] = field(default_factory=lambda: {"": ""})
    lists: Mapping[str, str] = field(default_factory=dict)

    def write(self, root: Path) -> None:
        for place in self.groups:
            for path in filter(None, (self.picture, self.label)):
                write(root / path.format(place))
        for name, content in self.lists.items():
            write_list(root / name, content)


def write(path: Path, values: int | np.ndarray = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((16, 24), dtype=np.uint8) + np.uint8(values)).save(path)
    return path


def write_list(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


ACDC = "rgb_anon/{}/%s/GOPR0475/GOPR0475_frame_000041_rgb_anon.png"
ACDC_LABEL = "gt/{}/%s/GOPR0475/GOPR0475_frame_000041_gt_labelTrainIds.png"
ACDC_NAME = "GOPR0475/GOPR0475_frame_000041"
ZURICH = "GP010229/1508040913.0_frame_000955"
RAIN = "rain_alpha_0.01_beta_0.005_dropsize_0.01_pattern_1"
NIGHT = "images_trainval_night_correct_filenames.txt"
LINDAU = "lindau/lindau_000000_000019"

CASES = [
    *(
        Case("acdc", split, ACDC % split, ACDC_LABEL % split, ACDC_NAME, CONDITIONS)
        for split in ("train", "val")
    ),
    Case("acdc", "test", ACDC % "test", "", ACDC_NAME, CONDITIONS),
    Case(
        "acdc",
        "val",
        f"rgb_anon_trainvaltest/{ACDC % 'val'}",
        f"gt_trainval/{ACDC_LABEL % 'val'}",
        ACDC_NAME,
        CONDITIONS,
    ),
    *(
        Case(
            f"acdc_{each}",
            "val",
            (ACDC % "val").format(each),
            (ACDC_LABEL % "val").format(each),
            ACDC_NAME,
        )
        for each in CONDITIONS
    ),
    *(
        Case(
            "acdc_reference",
            split,
            f"rgb_anon/{{}}/{split}_ref/GOPR0475/GOPR0475_frame_000041_rgb_ref_anon.png",
            "",
            ACDC_NAME,
            CONDITIONS,
        )
        for split in ("train", "val", "test")
    ),
    *(
        Case(dataset, split, f"rgb_anon/{split}/{time}/GOPR0356/GOPR0356_frame_000321_rgb_anon.png", "", name)
        for name in ["GOPR0356/GOPR0356_frame_000321"]
        for dataset, split, time in (
            ("dark_zurich", "train", "night"),
            ("dark_zurich", "test", "night"),
            ("dark_zurich_twilight", "train", "twilight"),
            ("dark_zurich_day", "train", "day"),
        )
    ),
    Case(
        "dark_zurich",
        "val",
        "rgb_anon/val/night/GOPR0356/GOPR0356_frame_000321_rgb_anon.png",
        "gt/val/night/GOPR0356/GOPR0356_frame_000321_gt_labelTrainIds.png",
        "GOPR0356/GOPR0356_frame_000321",
    ),
    *(
        Case(
            "nighttime_driving",
            split,
            f"{outer}leftImg8bit/test/night/0_frame_0205_leftImg8bit.png",
            f"{outer}gtCoarse_daytime_trainvaltest/test/night/0_frame_0205_gtCoarse_labelTrainIds.png",
            "0_frame_0205",
        )
        for split, outer in (("val", ""), ("test", "NighttimeDrivingTest/"))
    ),
    Case(
        "bdd100k_night",
        "val",
        "images/10k/{}/a-1.jpg",
        "labels/sem_seg/masks/{}/a-1.png",
        "images/{}/a-1",
        {"train": "", "val": ""},
        {NIGHT: "images/10k/train/a-1.jpg\nimages/10k/val/a-1.jpg\nimages/10k/val/absent.jpg\n"},
    ),
    *(
        Case(
            "foggy_cityscapes",
            split,
            f"{pictures}leftImg8bit_foggyDBF/{split}/{LINDAU}_leftImg8bit_foggy_beta_{{}}.png",
            f"{labels}gtFine/{split}/{LINDAU}_gtFine_labelIds.png",
            LINDAU,
            BETAS,
        )
        for split, pictures, labels in (
            ("train", "", ""),
            ("val", "leftImg8bit_trainval_foggyDBF/", "gtFine_trainvaltest/"),
            ("val", "", "gtFine_trainvaltest/"),
        )
    ),
    *(
        Case(
            f"foggy_cityscapes_{beta}",
            "val",
            f"leftImg8bit_foggyDBF/val/{LINDAU}_leftImg8bit_foggy_beta_{beta}.png",
            f"gtFine/val/{LINDAU}_gtFine_labelIds.png",
            LINDAU,
        )
        for beta in BETAS
    ),
    *(
        Case(
            "rain_cityscapes",
            split,
            f"{outer}leftImg8bit_rain/{split}/{LINDAU}_leftImg8bit_{RAIN}.png",
            f"gtFine/{split}/{LINDAU}_gtFine_labelIds.png",
            f"{LINDAU}_leftImg8bit_{RAIN}",
        )
        for split, outer in (("train", ""), ("val", "leftImg8bit_trainval_rain/"))
    ),
    *(
        Case(
            "foggy_zurich",
            split,
            f"RGB/{ZURICH}.png",
            f"{labels}/{ZURICH}.png",
            ZURICH,
            lists={"lists_file_names/RGB_testv2_filenames.txt": f"RGB/{ZURICH}.png\n"},
        )
        for split, labels in (("val", "gt_labelTrainIds"), ("test", "gt_labelIds"))
    ),
    Case(
        "foggy_zurich",
        "train",
        "RGB/GP010229/150804{}.0_frame_000955.png",
        "",
        "GP010229/150804{}.0_frame_000955",
        {"1": "light fog", "2": "medium fog"},
        {
            "lists_file_names/RGB_light_filenames.txt": "RGB/GP010229/1508041.0_frame_000955.png\n",
            "lists_file_names/RGB_medium_filenames.txt": "RGB/GP010229/1508042.0_frame_000955.png\n",
        },
    ),
    Case(
        "muses",
        "val",
        "frame_camera/val/{}/REC0006_frame_042875_frame_camera.png",
        "gt_semantic/val/{}/REC0006_frame_042875_gt_labelTrainIds.png",
        "REC0006_frame_042875",
        WEATHERS,
    ),
    Case(
        "muses",
        "test",
        "frame_camera/test/{}/REC0006_frame_042875_frame_camera.png",
        "",
        "REC0006_frame_042875",
        WEATHERS,
    ),
    *(
        Case(dataset, "val", f"{outer}images/aa0000.jpg", f"{outer}labels/aa0000.png", "aa0000")
        for dataset, outer in (("wilddash2", ""), ("wilddash2_strict", "wd_public_02/"))
    ),
    *(
        Case(
            "idd",
            split,
            f"leftImg8bit/{split}/0/005506_leftImg8bit.{ending}",
            label and f"gtFine/{split}/0/005506_gtFine_{label}.png",
            "0/005506",
        )
        for split, ending, label in (
            ("train", "png", "labelcsTrainIds"),
            ("val", "jpg", "labelids"),
            ("test", "png", ""),
        )
    ),
]


def expected(case: Case, root: Path) -> list[tuple[str, Path, Path | None, str]]:
    """(name, picture, label, group) of each pair; the names of a group's pictures begin with its name."""
    return sorted(
        (
            "/".join(filter(None, (group, case.name.format(place)))),
            root / case.picture.format(place),
            root / case.label.format(place) if case.label else None,
            group,
        )
        for place, group in case.groups.items()
    )


def write_acdc(root: Path) -> None:
    """Two pictures per condition, whose labels are road at the top and a car below."""
    labels = np.repeat(np.array([0, 13], dtype=np.uint8), 8)[:, None]
    for condition in CONDITIONS:
        for split in ("train", "val", "test"):
            for frame in ("41", "42"):
                stem = f"{condition}/{split}/GOPR0475/GOPR0475_frame_{frame}"
                write(root / f"rgb_anon/{stem}_rgb_anon.png", 90)
                if split != "test":
                    write(root / f"gt/{stem}_gt_labelTrainIds.png", labels)
