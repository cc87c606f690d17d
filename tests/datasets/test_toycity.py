"""Toycity: native layouts the real loaders read, all classes, the same bytes every time, all or nothing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from datasets.definitions.catalog import spec
from datasets.files.pairing import list_pairs
from datasets.toycity import ALL_DOMAINS, DOMAINS, generate, generation
from datasets.toycity.__main__ import main, parse_size
from datasets.toycity.camera import Camera
from datasets.toycity.codes import CLASS_OF_CODE, INSTANCE_STEP
from datasets.toycity.contact_sheet import contact_sheet
from datasets.toycity.layouts import LAYOUTS, native_label
from utils.errors import UserError
from utils.scoring.classes import CITYSCAPES, IGNORE_LABEL, LABEL_COLOURS

SIZE = (64, 128)


def hashes(root: Path) -> dict[str, str]:
    """Digest of every file below ``root`` except the manifests, by relative path."""
    files = (path for path in root.rglob("*") if path.is_file() and path.name != generation.MANIFEST)
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def train_ids(raster: np.ndarray) -> np.ndarray:
    return CLASS_OF_CODE[raster & (INSTANCE_STEP - 1)]


@pytest.mark.parametrize("domain", ALL_DOMAINS)
def test_every_class_is_frequent_in_every_domain(domain: str) -> None:
    pictures = 18
    seen = np.zeros(256, dtype=int)
    for index in range(pictures):
        image, raster = generation.picture(domain, 0, index, SIZE, 0)
        assert image.dtype == np.uint8
        assert image.shape == (*raster.shape, 3)
        seen += np.bincount(train_ids(raster).ravel(), minlength=256) > 4
    assert (seen[: len(CITYSCAPES)] >= pictures / 4).all(), seen[: len(CITYSCAPES)]
    assert seen[IGNORE_LABEL] > 0


@pytest.mark.parametrize("domain", ALL_DOMAINS)
def test_native_coding_decodes_to_what_was_painted(domain: str) -> None:
    _, raster = generation.picture(domain, 0, 1, SIZE, 0)
    decoded = LAYOUTS[domain].coding.decode(native_label(domain, raster))
    painted = train_ids(raster)
    differs = decoded != painted
    # Natively ignored kinds (SYNTHIA's markings, Mapillary's crosswalks, the border) are the only difference.
    assert (decoded[differs] == IGNORE_LABEL).all()
    assert differs.mean() < 0.15


def test_instances_are_told_apart() -> None:
    _, raster = generation.picture("gtav", 0, 0, SIZE, 0)
    assert len(np.unique(raster // INSTANCE_STEP)) > 10


def test_the_real_loaders_list_every_picture(toycity: Path) -> None:
    for domain in DOMAINS:
        assert len(list_pairs(spec(domain), "train", toycity / domain)) == 6
        assert len(list_pairs(spec(domain), "val", toycity / domain)) == 3


def test_files_are_of_the_native_kind(toycity: Path) -> None:
    gtav = Image.open(next((toycity / "gtav/labels/train").rglob("*.png")))
    assert gtav.mode == "P"
    assert gtav.getpalette()[: 3 * 34] == LABEL_COLOURS[:34].ravel().tolist()
    synthia = cv2.imread(str(next((toycity / "synthia/GT/LABELS/train").glob("*.png"))), cv2.IMREAD_UNCHANGED)
    assert synthia.dtype == np.uint16
    assert synthia.shape == (*SIZE, 3)
    assert synthia[..., 2].max() <= 22
    assert synthia[..., 1].max() > 0
    label = Image.open(next((toycity / "mapillary/training/labels").glob("*.png")))
    config = json.loads((toycity / "mapillary/config.json").read_text())["labels"]
    assert label.mode == "P"
    assert len(config) == 66
    assert sum(entry["evaluate"] for entry in config) == 25
    assert label.getpalette()[: 3 * 66] == [v for entry in config for v in entry["color"]]
    city_folder = toycity / "cityscapes/leftImg8bit_trainvaltest/leftImg8bit/train"
    assert len(list(city_folder.iterdir())) >= 2


def test_mapillary_uses_its_many_to_one_ids_and_varied_sizes(toycity: Path) -> None:
    labels = [np.array(Image.open(path)) for path in (toycity / "mapillary/training/labels").glob("*.png")]
    assert {2, 13, 15, 24, 45} <= set(np.unique(np.concatenate([label.ravel() for label in labels])).tolist())
    shapes = {label.shape for label in labels}
    assert len(shapes) > 3
    assert any(height > width for height, width in shapes)


def test_the_four_cities_are_one_data_set_without_training_labels(nthu_toycity: Path) -> None:
    root = nthu_toycity / "nthu"
    cities = ("Rio", "Rome", "Taipei", "Tokyo")
    assert sorted(path.name for path in root.iterdir()) == list(cities)
    means = []
    for city in cities:
        files = sorted(name for name in hashes(root / city) if not name.startswith("Images/Train/pano_"))
        tests = [f"pano_{number:05d}" for number in range(3)]
        images = [f"Images/Test/{name}.jpg" for name in tests]
        assert files == [*images, *(f"Labels/Test/{name}_eval.png" for name in tests)]
        pictures = [np.array(Image.open(path)) for path in (root / city / "Images/Train").iterdir()]
        assert len(pictures) == 6
        means.append(np.mean(pictures, axis=(0, 1, 2)))
    # Every city has colours of its own.
    for number, mean in enumerate(means):
        assert all(np.abs(mean - other).max() > 2 for other in means[:number])


def test_a_changed_request_replaces_one_city_and_leaves_the_others(tmp_path: Path) -> None:
    request = {"train": 1, "val": 1, "size": (32, 64)}
    generate(tmp_path, domains=("nthu_rome", "nthu_rio"), **request)
    rio = (tmp_path / "nthu/Rio" / generation.MANIFEST).stat().st_mtime_ns
    generate(tmp_path, domains=("nthu_rome",), **{**request, "train": 2})
    assert len(list((tmp_path / "nthu/Rome/Images/Train").iterdir())) == 2
    assert (tmp_path / "nthu/Rio" / generation.MANIFEST).stat().st_mtime_ns == rio
    assert [path.name for path in tmp_path.iterdir()] == ["nthu"]


def test_same_seed_same_bytes_on_any_number_of_processes(tmp_path: Path, toycity: Path) -> None:
    # Fewer pictures than the shared city, yet the same ones.
    generate(tmp_path, train=3, val=1, size=SIZE, processes=2)
    made = hashes(tmp_path)
    shared = hashes(toycity)
    assert len(made) == 5 * 2 * 4 + 1
    assert {name: shared[name] for name in made} == made


def test_another_seed_gives_other_pictures() -> None:
    images = [generation.picture("gtav", 0, 0, SIZE, seed)[0] for seed in (0, 1)]
    assert not np.array_equal(*images)


def test_the_smallest_size_works() -> None:
    for domain in ALL_DOMAINS:
        _, raster = generation.picture(domain, 0, 2, (32, 64), 0)
        assert len(np.unique(train_ids(raster))) > 5


def test_finished_domains_are_kept_and_changed_requests_replace_them(tmp_path: Path) -> None:
    request = {"domains": ("gtav",), "train": 2, "val": 1, "size": (32, 64)}
    generate(tmp_path, **request)
    manifest = tmp_path / "gtav" / generation.MANIFEST
    written = manifest.stat().st_mtime_ns
    generate(tmp_path, **request)
    assert manifest.stat().st_mtime_ns == written
    generate(tmp_path, **{**request, "train": 1})
    assert len(list_pairs(spec("gtav"), "train", tmp_path / "gtav")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["gtav"]


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def interrupted(*job: object) -> None:
        written.append(job)
        if len(written) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(generation, "write_pair", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, domains=("gtav", "synthia"), train=2, val=1, size=(32, 64))
    assert list(tmp_path.iterdir()) == []


def test_foreign_data_is_never_touched(tmp_path: Path) -> None:
    picture = tmp_path / "cityscapes" / "mine.png"
    picture.parent.mkdir()
    picture.write_text("precious")
    with pytest.raises(UserError, match="was not made by the toy city"):
        generate(tmp_path, domains=("cityscapes",), train=1, val=1, size=(32, 64))
    assert picture.read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "256"], "height x width"),
        (["--size", "16x16"], "the smallest toy picture is 32x64"),
        (["--domains", "atlantis"], "no toy domain is called 'atlantis'"),
        (["--train", "0"], "at least 1"),
        (["--contact_sheet", "sheet.txt"], r"must end in \.png or \.jpg"),
    ],
)
def test_mistakes_on_the_command_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        main(["--root", str(tmp_path / "toy"), *arguments])
    assert not (tmp_path / "toy").exists()


def test_a_root_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the toy city"):
        generate(tmp_path / "file", domains=("gtav",), train=1, val=1, size=(32, 64))


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--root", str(tmp_path), "--domains", "bdd100k", "--train", "1", "--val", "1", "--size", "32x64"])
    assert "bdd100k" in capsys.readouterr().out
    assert (tmp_path / "bdd100k/images/train").is_dir()
    assert parse_size("256X512") == (256, 512)


def test_every_domain_is_on_a_contact_sheet() -> None:
    assert contact_sheet(ALL_DOMAINS, (32, 64), 0).shape[1] > contact_sheet(DOMAINS, (32, 64), 0).shape[1]


def test_contact_sheet_has_a_column_per_domain() -> None:
    one, two = (contact_sheet(DOMAINS[:count], (32, 64), 0) for count in (1, 2))
    assert one.shape[0] == two.shape[0]
    assert one.shape[1] < two.shape[1]


def test_camera_projects_the_ground_where_it_reads_it_back() -> None:
    camera = Camera(512, 256, 400.0, 250.0, 110.0, 1.5, offset=1.7, curve=0.001, roll=0.02)
    s, z = camera.ground_of_pixels(1)
    row, column = 200, 300
    point = camera.street(np.array([s[row, column], 0.0, z[row, column]]))
    np.testing.assert_allclose(camera.project(point), [column, row], atol=1e-2)
