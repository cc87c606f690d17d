"""The toy ACDC and Dark Zurich: native layouts, one scene in several weathers, and what each looks like."""

from __future__ import annotations

import hashlib
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.definitions import codings
from datasets.definitions.spec import DatasetSpec, Layout, Split
from datasets.files.pairing import list_pairs
from datasets.toycity import ALL_DOMAINS, DOMAINS, absent, generate, generation
from datasets.toycity.camera import Camera
from datasets.toycity.codes import ASPHALT, INSTANCE_STEP, Code
from datasets.toycity.domains import LOOKS
from datasets.toycity.layouts import LAYOUTS
from datasets.toycity.painter import OVERSAMPLING, Painter
from datasets.toycity.weather.fog import Fog
from datasets.toycity.weather.optics import displayed, linear, mirrored
from datasets.toycity.weather.view import View, view_of
from utils.scoring.classes import CITYSCAPES, IGNORE_LABEL
from utils.seeding import generator

WEATHERS = ("fog", "night", "rain", "snow")
SIZE = (96, 192)


def part_of(domain: str, folder: str) -> int:
    return [part.folder for part in LAYOUTS[domain].parts].index(folder)


def digests(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*.png"))
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both data sets with one picture in each part, two in Dark Zurich's validation parts."""
    folder = tmp_path_factory.mktemp("weather")
    generate(folder, ("acdc", "dark_zurich"), train=12, val=3, size=(32, 64), processes=1)
    return folder


@pytest.fixture(scope="module")
def pairs() -> dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """Weather -> three scenes, as (picture, reference picture, paint codes)."""
    made = {}
    for weather in WEATHERS:
        adverse, reference = (part_of("acdc", f"{weather}/{split}") for split in ("train", "train_ref"))
        made[weather] = []
        for index in range(3):
            image, raster = generation.picture("acdc", adverse, index, SIZE, 0)
            clear, _ = generation.picture("acdc", reference, index, SIZE, 0)
            made[weather].append((image.astype(float), clear.astype(float), raster & (INSTANCE_STEP - 1)))
    return made


def test_acdc_has_its_vendors_names(root: Path) -> None:
    names = sorted(str(path.relative_to(root / "acdc")) for path in (root / "acdc").rglob("*.png"))
    video = r"(GOPR\d{4})/\1_frame_\d{6}"
    for weather in WEATHERS:
        for split in ("train", "val"):
            kinds = {
                rf"rgb_anon/{weather}/{split}/{video}_rgb_anon\.png": 1,
                rf"rgb_anon/{weather}/{split}_ref/{video}_rgb_ref_anon\.png": 1,
                rf"gt/{weather}/{split}/{video}_gt_label(TrainIds|Ids|Color)\.png": 3,
            }
            for kind, count in kinds.items():
                assert sum(re.fullmatch(kind, name) is not None for name in names) == count, kind
    assert len(names) == len(WEATHERS) * 2 * 5
    frames = [Path(name).name for name in names if "_rgb_anon" in name]
    assert len(set(frames)) == len(frames)


def test_dark_zurich_has_its_vendors_names(root: Path) -> None:
    names = sorted(
        str(path.relative_to(root / "dark_zurich")) for path in (root / "dark_zurich").rglob("*.png")
    )
    video = r"(GOPR\d{4})/\1_frame_\d{6}"
    kinds = {
        **{rf"rgb_anon/train/{time}/{video}_rgb_anon\.png": 1 for time in ("day", "twilight", "night")},
        rf"rgb_anon/val/night/{video}_rgb_anon\.png": 2,
        rf"rgb_anon/val_ref/day/{video}_rgb_ref_anon\.png": 2,
        rf"gt/val/night/{video}_gt_label(TrainIds|Ids|Color)\.png": 6,
    }
    for kind, count in kinds.items():
        assert sum(re.fullmatch(kind, name) is not None for name in names) == count, kind
    assert len(names) == sum(kinds.values())


def test_default_numbers_of_pictures() -> None:
    counts = {
        domain: [part.count(train=48, val=12) for part in LAYOUTS[domain].parts]
        for domain in ("acdc", "dark_zurich", "gtav")
    }
    assert counts == {"acdc": [4] * 16, "dark_zurich": [4, 4, 4, 8, 8], "gtav": [48, 12]}


def test_loaders_pair_pictures_and_labels(root: Path) -> None:
    night = Layout("rgb_anon/night/val", "gt/night/val", ("_rgb_anon.png",), "_gt_labelTrainIds.png")
    spec = DatasetSpec("toy_night", "acdc", {"val": Split((night,))}, codings.TRAIN_IDS)
    found = list_pairs(spec, "val", root / "acdc")
    assert [pair.image.name for pair in found] == ["GOPR0210_frame_000001_rgb_anon.png"]
    assert [pair.label.name for pair in found] == ["GOPR0210_frame_000001_gt_labelTrainIds.png"]


def test_all_kinds_of_labels_say_the_same(root: Path) -> None:
    labels = sorted(root.rglob("*_gt_labelTrainIds.png"))
    assert len(labels) == 8 + 2
    for path in labels:
        ids = pixels(path)
        assert ids.shape == (32, 64)
        assert set(np.unique(ids)) <= {*range(len(CITYSCAPES)), IGNORE_LABEL}
        label_ids = pixels(Path(str(path).replace("TrainIds", "Ids")))
        np.testing.assert_array_equal(codings.CITYSCAPES_IDS.decode(label_ids), ids)
        known = ids != IGNORE_LABEL
        colours = pixels(Path(str(path).replace("TrainIds", "Color")))
        np.testing.assert_array_equal(colours[known], CITYSCAPES.palette[ids[known]])
        assert not colours[~known].any()


def test_the_same_bytes_on_any_number_of_processes(root: Path, tmp_path: Path) -> None:
    generate(tmp_path, ("dark_zurich",), train=12, val=3, size=(32, 64), processes=2)
    assert digests(tmp_path / "dark_zurich") == digests(root / "dark_zurich")


def test_the_same_picture_again_in_any_order(root: Path) -> None:
    for number, part in enumerate(LAYOUTS["acdc"].parts):
        image, _ = generation.picture("acdc", number, 0, (32, 64), 0)
        written = pixels(root / "acdc" / LAYOUTS["acdc"].path(LAYOUTS["acdc"].image, number, 0))
        np.testing.assert_array_equal(image, written, err_msg=part.folder)


@pytest.mark.parametrize("domain", ["acdc", "dark_zurich"])
def test_parts_of_one_scene_have_one_label(domain: str) -> None:
    scenes: dict[int, list[np.ndarray]] = {}
    for number, part in enumerate(LAYOUTS[domain].parts):
        scenes.setdefault(part.scenes, []).append(generation.picture(domain, number, 1, (32, 64), 0)[1])
    for first, *others in scenes.values():
        assert others
        assert all(np.array_equal(first, other) for other in others)
    rasters = [each[0] for each in scenes.values()]
    assert not any(np.array_equal(rasters[0], other) for other in rasters[1:])


STREET = [*ASPHALT, Code.SIDEWALK, Code.TERRAIN, Code.BUILDING, Code.WALL, Code.FENCE, Code.VEGETATION]


def test_fog_takes_more_contrast_from_what_is_far(pairs: dict) -> None:
    rows, columns = np.mgrid[0:1:96j, 0:1:192j]
    # The end of the street is around the horizon, in the middle. Vehicles and people there may be near.
    end = (np.abs(rows - 0.455) < 0.095) & (np.abs(columns - 0.5) < 0.14)
    for image, clear, codes in pairs["fog"]:
        kept = []
        for region in (rows > 0.75, end):
            street = region & np.isin(codes, STREET)
            kept.append(image.mean(axis=-1)[street].std() / clear.mean(axis=-1)[street].std())
        assert kept[1] < 0.8 * kept[0], kept
        sky = image[codes == Code.SKY]
        assert sky.mean() > 150
        assert np.ptp(sky.mean(axis=0)) < 12


def test_night_is_dark_with_bright_lamps(pairs: dict) -> None:
    for image, clear, codes in pairs["night"]:
        assert image.mean() < 0.6 * clear.mean()
        sky = image[codes == Code.SKY]
        assert np.median(sky) < 60
        assert np.median(sky[:, 2]) > np.median(sky[:, 0])
        assert image.max() > 200


def test_twilight_is_between_day_and_night() -> None:
    parts = [part_of("dark_zurich", f"train/{time}") for time in ("day", "twilight", "night")]
    day, twilight, night = (generation.picture("dark_zurich", part, 0, SIZE, 0)[0].mean() for part in parts)
    assert day > twilight > night


def test_snow_whitens_the_ground(pairs: dict) -> None:
    for image, clear, codes in pairs["snow"]:
        for region in (np.isin(codes, [Code.TERRAIN, Code.SIDEWALK]), np.isin(codes, ASPHALT)):
            assert image[region].mean() > clear[region].mean() + 25
        assert np.ptp(image[codes == Code.SIDEWALK].mean(axis=0)) < 20


def test_rain_darkens_sky_and_road(pairs: dict) -> None:
    for image, clear, codes in pairs["rain"]:
        for region in (codes == Code.SKY, np.isin(codes, ASPHALT)):
            assert np.median(image[region]) < np.median(clear[region])


CAMERA = Camera(256, 128, 200.0, 128.0, 60.0, 1.4, offset=0.0, curve=0.0)


def painted(points: np.ndarray, colour: tuple[float, float, float]) -> View:
    """A view of one polygon on an empty ground."""
    look = LOOKS["acdc"](generator(0), 0, (64, 128))
    painter = Painter(CAMERA, look, recorded=True)
    painter.below_horizon((90, 90, 90), Code.ROAD)
    painter.face(points, colour, Code.CAR)
    taken = slice(OVERSAMPLING // 2, None, OVERSAMPLING)
    codes = (painter.codes[taken, taken] & (INSTANCE_STEP - 1)).astype(np.uint8)
    s, _ = CAMERA.ground_of_pixels(OVERSAMPLING)
    return view_of(painter.image[taken, taken].astype(np.float32), codes, s, painter, taken)


def test_the_depth_of_a_slanted_wall_is_that_of_its_points() -> None:
    # From (x, z) = (-2, 6) to (-4, 30)
    view = painted(np.array([(-2.0, 0, 6), (-4, 0, 30), (-4, 3, 30), (-2, 3, 6)]), (200, 0, 0))
    across, _ = CAMERA.rays(OVERSAMPLING)
    wall = view.codes == Code.CAR
    assert wall.sum() > 500
    np.testing.assert_allclose(view.depth[wall], np.clip(-1.5 / (across + 1 / 12), 6, 30)[wall], rtol=1e-3)
    _, ground = CAMERA.ground_of_pixels(OVERSAMPLING)
    road = view.codes == Code.ROAD
    road[: int(CAMERA.horizon) // OVERSAMPLING + 2] = False
    np.testing.assert_allclose(view.depth[road], ground[road], rtol=1e-3)
    assert (view.depth[view.sky] > 1000).all()


def test_fog_follows_koschmieder() -> None:
    fog = Fog(generator(1))
    fog.density = 0.03
    airlight = linear(np.array(fog.airlight, dtype=np.float32)).mean()
    missing = []
    for z in (10.0, 30.0, 60.0):
        # Walls so large that only themselves are scattered into their middle
        corners = [(-z, 0, z), (z, 0, z), (z, z, z), (-z, z, z)]
        view = painted(np.array(corners, dtype=float), (0, 0, 0))
        light = linear(fog.show(view, generator(2)))
        missing.append(1 - light[28, 60:68].mean() / airlight)
    # What is missing to the light of the fog falls with exp(-density * distance); banks vary the density.
    assert missing[0] / missing[1] == pytest.approx(np.exp(0.03 * 20), rel=0.3)
    assert missing[0] / missing[2] == pytest.approx(np.exp(0.03 * 50), rel=0.6)


def test_wet_ground_mirrors_what_stands_on_it() -> None:
    corners = [(-1, 0, 8), (1, 0, 8), (1, 1, 8), (-1, 1, 8)]
    view = painted(np.array(corners, dtype=float), (255, 0, 0))
    mirror = mirrored(view, linear(view.image))
    foot = int(CAMERA.project(np.array([0, 0, 8.0]))[1] / OVERSAMPLING)
    below = displayed(mirror)[foot + 3, 64]
    assert below[0] > 150
    assert below[1] < 20
    assert displayed(mirror)[foot + 3, 10, 0] < 150


def test_only_named_folders_are_made_on_demand(tmp_path: Path) -> None:
    assert absent(tmp_path, ["gtav", "kitti"]) == list(DOMAINS)
    assert absent(tmp_path, ["acdc", "dark_zurich"]) == [*DOMAINS, "acdc", "dark_zurich"]
    for name in (*DOMAINS, "acdc"):
        (tmp_path / name).mkdir()
    assert absent(tmp_path, ["acdc"]) == []
    (tmp_path / "nthu/Rio").mkdir(parents=True)
    assert absent(tmp_path, ["nthu"]) == ["nthu_rome", "nthu_tokyo", "nthu_taipei"]


# CRC-32 of the codes of training picture 1 at 64 x 128, and the picture's mean
OLDER = {
    "gtav": (388590034, 108.377),
    "cityscapes": (1573423577, 119.282),
    "synthia": (2249994849, 114.033),
    "bdd100k": (1892526015, 60.527),
    "mapillary": (813405037, 119.269),
    "nthu_rome": (2482196994, 114.817),
    "nthu_rio": (1885299408, 131.827),
    "nthu_tokyo": (573833889, 134.876),
    "nthu_taipei": (1249179115, 135.319),
}


@pytest.mark.parametrize("domain", OLDER)
def test_the_older_domains_stay_as_they_were(domain: str) -> None:
    image, raster = generation.picture(domain, 0, 1, (64, 128), 0)
    code, mean = OLDER[domain]
    assert zlib.crc32(raster.tobytes()) == code
    # Other builds of OpenCV may round some pixels differently.
    assert image.mean() == pytest.approx(mean, abs=0.05)


def test_the_place_of_a_domain_is_part_of_its_seed() -> None:
    assert list(ALL_DOMAINS[: len(OLDER)]) == list(OLDER)
