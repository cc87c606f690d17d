"""The folders, file names and label coding of each domain."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from datasets.definitions.codings import CITYSCAPES_IDS, GTAV, MAPILLARY, SYNTHIA, TRAIN_IDS
from datasets.definitions.label_coding import LabelCoding
from datasets.toycity.codes import CLASS_OF_CODE, INSTANCE_STEP, Code
from utils.scoring.classes import IGNORE_LABEL, LABEL_COLOURS, LABEL_ID_OF_TRAIN_ID

_PNG_EFFORT = 1  # low: the files are small anyway, so the time to write them matters more
_ENCODING = {
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 92],
    ".png": [cv2.IMWRITE_PNG_COMPRESSION, _PNG_EFFORT],
}


@dataclass(frozen=True)
class Part:
    """Some pictures of a domain: those of one split, in domains of several weathers those of one weather.

    ``folder`` is the part's place in the path templates of the layout, and pictures take the ``cities`` in
    turn. ``of_train`` and ``of_val`` say how many pictures the part has: their share of the numbers of
    training and validation pictures of a domain. Parts with the same ``scenes`` show the same scenes, each in
    its ``weather`` (a name in ``WEATHERS``; by default that of the domain's look). ``reference`` is the word
    that marks pictures of the other parts' scenes by day.
    """

    folder: str
    scenes: int
    of_train: float = 0.0
    of_val: float = 0.0
    cities: tuple[str, ...] = ("",)
    labelled: bool = True
    weather: str | None = None
    reference: str = ""

    def count(self, train: int, val: int) -> int:
        """The number of pictures if a domain has ``train`` training and ``val`` validation pictures."""
        return max(1, round(self.of_train * train + self.of_val * val))


@dataclass(frozen=True)
class Layout:
    """Where a domain stores a picture and its label, and the native id of each paint code.

    ``root`` is the domain's folder below the root of the toy city. ``image``, ``label`` and the keys of
    ``further`` are path templates with the fields ``part`` (its folder), ``city``, ``number`` and
    ``reference``. Numbers start at ``first``. ``finer`` maps paint codes beyond the train ids to native ids;
    a code that it lacks gets the id of its class. ``further`` are other label files that the data set has,
    each with the function that makes it from a raster of codes.
    """

    root: str
    coding: LabelCoding
    parts: tuple[Part, ...]
    image: str
    label: str
    finer: Mapping[Code, int]
    first: int = 0
    further: Mapping[str, Callable[[np.ndarray], np.ndarray]] = field(default_factory=dict)

    def path(self, template: str, part: int, index: int) -> str:
        """The relative path of a file of picture ``index``, even of a label if the part has none."""
        its = self.parts[part]
        city = its.cities[index % len(its.cities)]
        number = index + self.first
        return template.format(part=its.folder, city=city, number=number, reference=its.reference)


_NO_CITIES = (("",), ("",))


def _split(
    train: str,
    val: str,
    cities: tuple[tuple[str, ...], tuple[str, ...]] = _NO_CITIES,
    labelled: bool = True,
) -> tuple[Part, Part]:
    """A training and a validation part with these folders; ``labelled`` is about the training part."""
    return (
        Part(train, 0, of_train=1, cities=cities[0], labelled=labelled),
        Part(val, 1, of_val=1, cities=cities[1]),
    )


_CITYSCAPES_VOID = {Code.EGO_VEHICLE: 1, Code.STATIC: 4}
_TRAIN_IDS_VOID = {Code.EGO_VEHICLE: 255, Code.STATIC: 255}


def _nthu(city: str) -> Layout:
    """One city of the cross-city data, whose training pictures have no labels."""
    return Layout(
        f"nthu/{city}",
        CITYSCAPES_IDS,
        _split("Train", "Test", labelled=False),
        "Images/{part}/pano_{number:05d}.jpg",
        "Labels/{part}/pano_{number:05d}_eval.png",
        _CITYSCAPES_VOID,
    )


def _acdc_parts() -> Iterator[Part]:
    """Training and validation pictures of each weather, and for each picture one of the same scene by day."""
    for number, weather in enumerate(("fog", "night", "rain", "snow")):
        for split, share in enumerate(((1 / 12, 0.0), (0.0, 1 / 3))):
            folder, scenes = f"{weather}/{('train', 'val')[split]}", 2 * number + split
            cities = tuple(f"GOPR{100 * (number + 1) + 10 * split + video:04d}" for video in range(2))
            yield Part(folder, scenes, *share, cities, weather=weather)
            yield Part(f"{folder}_ref", scenes, *share, cities, labelled=False, reference="_ref")


def _dark_zurich_parts() -> Iterator[Part]:
    """Unlabelled training pictures of three times of day, labelled ones of the night, and these by day."""
    for number, (time, weather) in enumerate((("day", None), ("twilight", "twilight"), ("night", "night"))):
        cities = tuple(f"GOPR{350 + 10 * number + video:04d}" for video in range(2))
        yield Part(f"train/{time}", 0, 1 / 12, 0.0, cities, labelled=False, weather=weather)
    yield Part("val/night", 1, 0.0, 2 / 3, ("GOPR0390",), weather="night")
    yield Part("val_ref/day", 1, 0.0, 2 / 3, ("GOPR0390",), labelled=False, reference="_ref")


def _gopro(root: str, parts: Iterable[Part]) -> Layout:
    """ACDC and Dark Zurich, which share their naming."""
    label = "gt/{part}/{city}/{city}_frame_{number:06d}_gt_label"
    return Layout(
        root,
        TRAIN_IDS,
        tuple(parts),
        "rgb_anon/{part}/{city}/{city}_frame_{number:06d}_rgb{reference}_anon.png",
        f"{label}TrainIds.png",
        _TRAIN_IDS_VOID,
        first=1,
        further={f"{label}Ids.png": _label_ids, f"{label}Color.png": _label_colours},
    )


def _label_ids(raster: np.ndarray) -> np.ndarray:
    """Cityscapes' label ids, uint8 (H, W)."""
    return _native(CITYSCAPES_IDS, _CITYSCAPES_VOID, raster)


def _label_colours(raster: np.ndarray) -> np.ndarray:
    """Cityscapes' colours, uint8 (H, W, 3) in OpenCV's order: blue, green, red."""
    return LABEL_COLOURS[LABEL_ID_OF_TRAIN_ID[CLASS_OF_CODE[raster & (INSTANCE_STEP - 1)]]][..., ::-1]


LAYOUTS: dict[str, Layout] = {
    "cityscapes": Layout(
        "cityscapes",
        CITYSCAPES_IDS,
        _split("train", "val", (("northfield", "oldbridge", "westhaven"), ("easton", "lakeside"))),
        "leftImg8bit_trainvaltest/leftImg8bit/{part}/{city}/{city}_{number:06d}_000019_leftImg8bit.png",
        "gtFine_trainvaltest/gtFine/{part}/{city}/{city}_{number:06d}_000019_gtFine_labelIds.png",
        _CITYSCAPES_VOID,
    ),
    "gtav": Layout(
        "gtav",
        GTAV,
        _split("train", "valid", (("folder_a", "folder_b"), ("folder_c",))),
        "images/{part}/{city}/{number:05d}.png",
        "labels/{part}/{city}/{number:05d}.png",
        _CITYSCAPES_VOID,
        first=1,
    ),
    "synthia": Layout(
        "synthia",
        SYNTHIA,
        _split("train", "val"),
        "RGB/{part}/{number:07d}.png",
        "GT/LABELS/{part}/{number:07d}.png",
        {Code.LANE_MARKING: 22, Code.CROSSWALK: 22, Code.STATIC: 0, Code.EGO_VEHICLE: 0},
    ),
    "bdd100k": Layout(
        "bdd100k",
        TRAIN_IDS,
        _split("train", "val"),
        "images/{part}/{number:08x}-toycity.jpg",
        "labels/{part}/{number:08x}-toycity_train_id.png",
        _TRAIN_IDS_VOID,
    ),
    "mapillary": Layout(
        "mapillary",
        MAPILLARY,
        _split("training", "validation"),
        "{part}/images/toycity_{number:06d}.jpg",
        "{part}/labels/toycity_{number:06d}.png",
        {
            Code.LANE_MARKING: 24,
            Code.CROSSWALK: 23,
            Code.CURB: 2,
            Code.MANHOLE: 41,
            Code.UTILITY_POLE: 47,
            Code.MOTORCYCLIST: 21,
            Code.STATIC: 51,
            Code.EGO_VEHICLE: 64,
        },
    ),
    **{f"nthu_{city.lower()}": _nthu(city) for city in ("Rome", "Rio", "Tokyo", "Taipei")},
    "acdc": _gopro("acdc", _acdc_parts()),
    "dark_zurich": _gopro("dark_zurich", _dark_zurich_parts()),
}


def _native(coding: LabelCoding, finer: Mapping[Code, int], raster: np.ndarray) -> np.ndarray:
    native_ids = coding.native_ids[CLASS_OF_CODE]
    for code, native in finer.items():
        native_ids[code] = native
    return native_ids[raster & (INSTANCE_STEP - 1)]


def native_label(domain: str, raster: np.ndarray) -> np.ndarray:
    """Native ids, uint8 (H, W), of a raster of paint codes."""
    label = _native(LAYOUTS[domain].coding, LAYOUTS[domain].finer, raster)
    if domain == "cityscapes":
        # In Cityscapes the outermost rows and columns are labelled "out of roi".
        edge = max(1, label.shape[0] // 200)
        label[:edge] = label[-edge:] = 3
        label[:, :edge] = label[:, -edge:] = 3
    return label


def write_pair(domain: str, root: Path, part: int, index: int, image: np.ndarray, raster: np.ndarray) -> None:
    """Write a picture, uint8 (H, W, 3) RGB, and its label in the domain's layout.

    The label is made from ``raster``, the codes of the picture. It is not written if the part has no labels.
    """
    layout = LAYOUTS[domain]
    image_path = root / layout.path(layout.image, part, index)
    image_path.parent.mkdir(parents=True, exist_ok=True)
    image_path.write_bytes(_encoded(image_path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR)))
    if not layout.parts[part].labelled:
        return
    label_path = root / layout.path(layout.label, part, index)
    label_path.parent.mkdir(parents=True, exist_ok=True)
    for template, content in layout.further.items():
        path = root / layout.path(template, part, index)
        path.write_bytes(_encoded(path.suffix, content(raster)))
    label = native_label(domain, raster)
    if domain in ("gtav", "mapillary"):
        picture = Image.fromarray(label)
        picture.putpalette(np.array(layout.coding.palette, dtype=np.uint8).tobytes())
        picture.save(label_path, compress_level=_PNG_EFFORT)
        return
    if domain == "synthia":
        # Red holds the class and green the instance. OpenCV's order is blue, green, red.
        label = cv2.merge([np.zeros_like(raster), raster // INSTANCE_STEP, label.astype(np.uint16)])
    label_path.write_bytes(_encoded(".png", label))


def write_extras(domain: str, root: Path) -> None:
    """Write the files that the data set ships beside its pictures."""
    if domain == "mapillary":
        (root / "config.json").write_text(json.dumps(_mapillary_config(), indent=1) + "\n", encoding="utf-8")


def _encoded(suffix: str, image: np.ndarray) -> bytes:
    done, data = cv2.imencode(suffix, image, _ENCODING[suffix])
    if not done:
        raise RuntimeError(f"could not encode a {suffix} picture of shape {image.shape}")
    return data.tobytes()


# Mapillary's names, in the order of its native ids
_MAPILLARY_NAMES = (
    "Bird, Ground Animal, Curb, Fence, Guard Rail, Barrier, Wall, Bike Lane, Crosswalk - Plain, "
    "Curb Cut, Parking, Pedestrian Area, Rail Track, Road, Service Lane, Sidewalk, Bridge, Building, "
    "Tunnel, Person, Bicyclist, Motorcyclist, Other Rider, Lane Marking - Crosswalk, "
    "Lane Marking - General, Mountain, Sand, Sky, Snow, Terrain, Vegetation, Water, Banner, Bench, "
    "Bike Rack, Billboard, Catch Basin, CCTV Camera, Fire Hydrant, Junction Box, Mailbox, Manhole, "
    "Phone Booth, Pothole, Street Light, Pole, Traffic Sign Frame, Utility Pole, Traffic Light, "
    "Traffic Sign (Back), Traffic Sign (Front), Trash Can, Bicycle, Boat, Bus, Car, Caravan, Motorcycle, "
    "On Rails, Other Vehicle, Trailer, Truck, Wheeled Slow, Car Mount, Ego Vehicle, Unlabeled"
).split(", ")


def _mapillary_config() -> dict[str, Any]:
    """What Mapillary Vistas 1.2 ships as ``config.json``; ``evaluate`` is true for ids with a train id."""
    labels = [
        {
            "color": list(colour),
            "evaluate": int(MAPILLARY.table[native]) != IGNORE_LABEL,
            "instances": False,
            "name": name.lower().replace(" - ", "--").replace(" ", "-"),
            "readable": name,
        }
        for native, (name, colour) in enumerate(zip(_MAPILLARY_NAMES, MAPILLARY.palette, strict=True))
    ]
    return {
        "version": 1.1,
        "mapping": "public",
        "folder_structure": "{split}/{content}/{image:s}.{format}",
        "labels": labels,
    }
