"""Data sets and classes that a user declares in a TOML file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.definitions.catalog import network_classes, spec, use_catalogs
from datasets.files.pairing import list_pairs
from datasets.files.reading import read_label
from datasets.files.roots import resolve_root
from datasets.files.segmentation import SegmentationSet
from transforms.pipeline import EvaluationTransform
from utils.errors import UserError
from utils.scoring.classes import CITYSCAPES_19

MINE = """
[classes.mine]
names = ["ground", "thing", "sky"]
colours = [[128, 64, 128], [220, 20, 60], [70, 130, 180]]
"""
YARD = """
[datasets.yard]
classes = "mine"
labels = { ground = [0, 7], thing = [1], sky = [2], ignored = [255] }
[datasets.yard.splits]
train = { pictures = "photos/train", label = "masks/train/{name}.png" }
val = { pictures = "photos/val", label = "masks/val/{name}.png" }
"""


@pytest.fixture(autouse=True)
def _no_catalogs_afterwards() -> Iterator[None]:
    yield
    use_catalogs([])


def declare(folder: Path, text: str, name: str = "my.toml") -> Path:
    """A catalog file that is in use."""
    file = folder / name
    file.write_text(text)
    use_catalogs([str(file)])
    return file


def write(root: Path, picture: str, label: str | None = None, values: np.ndarray | None = None) -> None:
    """A grey picture of 4 x 6 pixels, and its label."""
    for path, pixels in ((picture, np.full((4, 6, 3), 90, np.uint8)), (label, values)):
        if path is not None:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            pixels = np.zeros((4, 6), np.uint8) if pixels is None else pixels
            Image.fromarray(pixels).save(root / path)


def yard(root: Path, values: np.ndarray | None = None) -> Path:
    for split in ("train", "val"):
        write(root, f"photos/{split}/{split}.png", f"masks/{split}/{split}.png", values)
    return root


def test_values_become_the_classes_of_the_list(tmp_path: Path) -> None:
    declare(tmp_path, MINE + YARD)
    values = np.array([[0, 7, 1, 2, 255, 0]] * 4, np.uint8)
    root = resolve_root(spec("yard"), str(yard(tmp_path / "yard", values).parent), {})
    opened = SegmentationSet(spec("yard"), "train", root, EvaluationTransform())
    assert opened[0]["label"][0].tolist() == [0, 0, 1, 2, 255, 0]
    assert opened.classes.class_names == ("ground", "thing", "sky")
    assert network_classes(["yard"], None).palette.tolist()[1] == [220, 20, 60]
    with pytest.raises(UserError, match=r"label value 9 at \(2, 0\) is not in the yard coding"):
        values[0, 2] = 9
        yard(root, values)
        opened[0]


def test_the_folder_is_that_of_the_flag_the_variable_or_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {name: yard(tmp_path / name / "yard") for name in ("flag", "variable", "file")}
    declare(tmp_path, MINE + YARD.replace('"mine"\n', '"mine"\nroot = "file/yard"\n', 1))
    yard_spec = spec("yard")
    assert resolve_root(yard_spec, None, {}) == places["file"]
    assert resolve_root(yard_spec, str(tmp_path), {}) == places["file"]
    monkeypatch.setenv("YARD_DIR", str(places["variable"]))
    assert resolve_root(yard_spec, None, {}) == places["variable"]
    assert resolve_root(yard_spec, str(tmp_path / "flag"), {}) == places["flag"]


def test_without_a_folder_the_error_names_all_ways_to_say_it(tmp_path: Path) -> None:
    file = declare(tmp_path, MINE + YARD)
    with pytest.raises(UserError, match=rf'pass --data_root DIR.*write root = "..." into {file}.*YARD_DIR'):
        resolve_root(spec("yard"), None, {})


@pytest.mark.parametrize(
    ("coding", "label"),
    [
        ("colours = { ground = [[1, 2, 3], [9, 9, 9]], sky = [[0, 0, 255]], ignored = [[0, 0, 0]] }", "RGB"),
        ("labels = { ground = [1000, 7], sky = [65535], ignored = [0] }", "I;16"),
        ('labels = { ground = [3, 7], sky = [4], ignored = [0] }\npalette = "indices"', "P"),
        ('labels = { ground = [3, 7], sky = [4] }\nothers = "ignored"', "L"),
        ("", "train ids"),
        ("", "colours of the list"),
    ],
)
def test_labels_of_every_kind(tmp_path: Path, coding: str, label: str) -> None:
    declare(
        tmp_path,
        MINE + YARD.replace("labels = { ground = [0, 7], thing = [1], sky = [2], ignored = [255] }", coding),
    )
    path = tmp_path / "label.png"
    match label:
        case "RGB":
            image = Image.fromarray(np.array([[[1, 2, 3], [9, 9, 9], [0, 0, 255], [0, 0, 0]]], np.uint8))
        case "I;16":
            image = Image.fromarray(np.array([[1000, 7, 65535, 0]], np.uint16))
        case "P":
            image = Image.fromarray(np.array([[3, 7, 4, 0]], np.uint8))
            image.putpalette([200, 10, 10] * 256)
        case "L":
            image = Image.fromarray(np.array([[3, 7, 4, 99]], np.uint8))
        case "train ids":
            image = Image.fromarray(np.array([[0, 0, 2, 255]], np.uint8))
        case _:
            colours = [[128, 64, 128], [128, 64, 128], [70, 130, 180]]
            image = Image.fromarray(np.array([colours], np.uint8))
    image.save(path)
    assert read_label(path, spec("yard").coding)[0].tolist() == [0, 0, 2, 255][: image.width]


def test_a_list_of_255_classes_has_every_value_but_the_last(tmp_path: Path) -> None:
    names = json.dumps([f"c{number}" for number in range(255)])
    splits = YARD.partition("[datasets.yard.splits]")[2]
    declare(
        tmp_path,
        f'[classes.many]\nnames = {names}\n[datasets.yard]\nclasses = "many"\n[datasets.yard.splits]{splits}',
    )
    every = np.arange(256, dtype=np.uint8)[None]
    assert (spec("yard").coding.decode(every) == every).all()
    named = ", ".join(f"c{number} = {number}" for number in range(253)) + ", c254 = [254], ignored = [255]"
    declare(
        tmp_path,
        f'[classes.many]\nnames = {names}\n[datasets.yard]\nclasses = "many"\nlabels = {{ {named} }}\n'
        f"[datasets.yard.splits]{splits}",
    )
    assert spec("yard").coding.decode(np.array([[254]], np.uint8)) == 254
    with pytest.raises(UserError, match="label value 253"):
        spec("yard").coding.decode(np.array([[0, 253, 254]], np.uint8))


def test_a_split_of_several_folders(tmp_path: Path) -> None:
    splits = """
        [datasets.yard.splits]
        train = [
            { pictures = "photos/*/left", label = "masks/{1}/m_{name}.png", suffix = "_c.jpg", group="dry" },
            { pictures = "wet", label = "wet/{name}.png", suffix = ".jpg", group = "wet" },
        ]
        val = { pictures = "other" }
    """
    declare(tmp_path, MINE + YARD.partition("[datasets.yard.splits]")[0] + splits)
    root = tmp_path / "yard"
    for day in ("monday", "friday"):
        write(root, f"photos/{day}/left/a_c.jpg", f"masks/{day}/m_a.png")
    write(root, "wet/a.jpg", "wet/a.png")
    write(root, "other/a.jpg")
    pairs = list_pairs(spec("yard"), "train", root)
    assert [(pair.name, pair.group, pair.label.relative_to(root).as_posix()) for pair in pairs] == [
        ("dry/friday/a", "dry", "masks/friday/m_a.png"),
        ("dry/monday/a", "dry", "masks/monday/m_a.png"),
        ("wet/a", "wet", "wet/a.png"),
    ]
    assert not spec("yard").split("val").labelled


MAPPED = """
[classes.two]
names = ["still", "moving"]
[datasets.city_in_two]
like = "cityscapes"
classes = "two"
map = { road = "still", building = "still", car = "moving", person = "moving", sky = "ignored" }
[datasets.gtav_in_two]
like = "gtav"
classes = "two"
map = { road = "still", car = "moving" }
"""


def test_a_map_turns_the_classes_of_one_list_into_another(tmp_path: Path) -> None:
    declare(tmp_path, MAPPED)
    mapped = spec("city_in_two")
    assert mapped.root_name == "cityscapes"
    # road, building, car, person, sky, and vegetation, which the map does not name.
    assert mapped.coding.decode(np.array([[7, 11, 26, 24, 23, 21]], np.uint8)).tolist() == [
        [0, 0, 1, 1, 255, 255]
    ]
    blue, grey = (0, 0, 142), (70, 70, 70)
    assert mapped.coding.decode(np.array([[blue, grey]], np.uint8)).tolist() == [[1, 0]]
    assert network_classes(["city_in_two", "gtav_in_two"], None).of.name == "two"
    with pytest.raises(
        UserError, match=r"cityscapes \(road, sidewalk, building, ...\).*two \(still, moving\)"
    ):
        network_classes(["cityscapes", "gtav_in_two"], None)
    with pytest.raises(UserError, match=r'cityscapes: has the classes of cityscapes.*like = "cityscapes"'):
        network = network_classes(["gtav_in_two"], None)
        for split in ("train",):
            write(
                tmp_path,
                f"leftImg8bit/{split}/a/a_leftImg8bit.png",
                f"gtFine/{split}/a/a_gtFine_labelIds.png",
            )
        SegmentationSet(spec("cityscapes"), "train", tmp_path, EvaluationTransform(), classes=network)
    with pytest.raises(UserError, match="--num_classes 16: gtav_in_two has the 2 classes of two"):
        network_classes(["gtav_in_two"], 16)
    assert network_classes(["gtav"], 19) == CITYSCAPES_19


def test_two_files_and_the_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "classes.toml", tmp_path / "data.toml"
    first.write_text(MINE)
    second.write_text(YARD)
    use_catalogs([str(first), str(second)])
    assert len(spec("yard").classes) == 3
    monkeypatch.setenv("URBANDG_CATALOG", f"{first}:{second}")
    use_catalogs([])
    assert len(spec("yard").classes) == 3
    monkeypatch.delenv("URBANDG_CATALOG")
    use_catalogs([])
    with pytest.raises(UserError, match="unknown data set 'yard'"):
        spec("yard")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("names =", "name =", "classes.mine.name: this key is not known here.*did you mean names?"),
        ('"thing", ', '"sky", ', 'classes.mine.names: names "sky" twice'),
        ("[220, 20, 60]", "[70, 130, 180]", r"classes.mine.colours: has \[70, 130, 180\] twice"),
        ("[220, 20, 60], ", "", "classes.mine.colours: has 2 colours for 3 names"),
        ("[220, 20, 60]", "[220, 20]", r"classes.mine.colours: \[220, 20\] is no colour"),
        ('["ground", "thing", "sky"]', '["ground"]', "names 1 classes; a list has 2 to 255"),
        ('classes = "mine"', 'classes = "mien"', 'datasets.yard.classes: "mien" is no list of classes'),
        ("thing = [1]", "thin = [1]", "datasets.yard.labels.thin: is no class of mine.*did you mean thing?"),
        ("thing = [1]", "thing = [7]", "datasets.yard.labels.thing: 7 is already that of ground"),
        ("thing = [1]", 'thing = ["1"]', "datasets.yard.labels.thing: '1' is no label value"),
        ('"photos/val"', '"photos/val"\n', "my.toml: cannot be read"),
        ("splits]", "splitz]", "datasets.yard.splitz: this key is not known here"),
        ('pictures = "photos/train", ', "", "datasets.yard.splits.train.pictures: is missing"),
        ("train/{name}.png", "train/name.png", "datasets.yard.splits.train.label: .* should end in a file"),
        ("masks/train", "masks/{1}", r'label: "\{1\}" stands for no \* of pictures = "photos/train"'),
        ("[datasets.yard]", "[datasets.gtav]", "datasets.gtav: is the name of another data set"),
        ("[classes.mine]", "[classes.cityscapes]", "classes.cityscapes: is the name of another list"),
        (
            'classes = "mine"',
            'classes = "mine"\nmap = { thing = "nothing" }',
            'map.thing: "nothing" is no class',
        ),
        (
            'classes = "mine"',
            'classes = "mine"\nmap = { bush = "thing" }',
            "map.bush: is no class of the labels",
        ),
        (
            'classes = "mine"',
            'classes = "mine"\nlike = "citiscapes"',
            "yard.labels: this key is not known here",
        ),
        (
            "[datasets.yard.splits]",
            '[datasets.other]\nlike = "citiscapes"\n[datasets.yard.splits]',
            "mean cityscapes?",
        ),
        ('classes = "mine"', 'classes = "mine"\nothers = "skip"', 'others: "skip" is none of error, ignored'),
    ],
)
def test_mistakes_are_one_line_with_file_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = MINE + YARD
    assert old in text
    with pytest.raises(UserError, match=message) as error:
        declare(tmp_path, text.replace(old, new, 1))
    assert str(tmp_path / "my.toml") in str(error.value)
    assert "\n" not in str(error.value)


def test_splits_that_overlap_and_patterns_without_a_folder(tmp_path: Path) -> None:
    file = declare(
        tmp_path, MINE + YARD.replace("photos/val", "photos/train").replace("masks/val", "masks/train")
    )
    root = yard(tmp_path / "yard")
    with pytest.raises(
        UserError, match=rf"{file}: datasets.yard.splits: 1 pictures are in both val and train"
    ):
        list_pairs(spec("yard"), "val", root)
    file = declare(tmp_path, MINE + YARD.replace("photos/val", "fotos/*/val"))
    with pytest.raises(UserError, match=rf'{file}: datasets.yard: pictures = "fotos/\*/val" is no folder in'):
        list_pairs(spec("yard"), "val", root)
