"""The folders, file names and label coding of each domain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from datasets.definitions.codings import CITYSCAPES_IDS, GTAV, MAPILLARY, SYNTHIA, TRAIN_IDS
from datasets.definitions.label_coding import LabelCoding
from datasets.toycity.codes import CLASS_OF_CODE, INSTANCE_STEP, Code
from utils.scoring.classes import IGNORE_LABEL

_PNG_EFFORT = 1  # low: the files are small anyway, so the time to write them matters more
_ENCODING = {
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 92],
    ".png": [cv2.IMWRITE_PNG_COMPRESSION, _PNG_EFFORT],
}


@dataclass(frozen=True)
class Layout:
    """Where a domain stores a picture and its label, and the native id of each paint code.

    ``folder`` is the domain's folder below the root, and ``splits`` has the folder names of train and val.
    ``image`` and ``label`` are path templates with the fields ``split``, ``city`` and ``number``. ``cities``
    lists the cities of train and of val, which pictures take in turn. Numbers start at ``first``. ``finer``
    maps paint codes beyond the train ids to native ids; a code that it lacks gets the id of its class.
    ``labelled`` says whether train and val have labels.
    """

    folder: str
    coding: LabelCoding
    splits: tuple[str, str]
    image: str
    label: str
    finer: Mapping[Code, int]
    cities: tuple[tuple[str, ...], tuple[str, ...]] = (("",), ("",))
    first: int = 0
    labelled: tuple[bool, bool] = (True, True)

    def paths(self, split: int, index: int) -> tuple[str, str]:
        """The relative paths of picture ``index`` and of its label, even if the split has no labels."""
        city = self.cities[split][index % len(self.cities[split])]
        fields = {"split": self.splits[split], "city": city, "number": index + self.first}
        return self.image.format(**fields), self.label.format(**fields)


_CITYSCAPES_VOID = {Code.EGO_VEHICLE: 1, Code.STATIC: 4}


def _nthu(city: str) -> Layout:
    """One city of the cross-city data, whose training pictures have no labels."""
    return Layout(
        f"nthu/{city}",
        CITYSCAPES_IDS,
        ("Train", "Test"),
        "Images/{split}/pano_{number:05d}.jpg",
        "Labels/{split}/pano_{number:05d}_eval.png",
        _CITYSCAPES_VOID,
        labelled=(False, True),
    )


LAYOUTS: dict[str, Layout] = {
    "cityscapes": Layout(
        "cityscapes",
        CITYSCAPES_IDS,
        ("train", "val"),
        "leftImg8bit_trainvaltest/leftImg8bit/{split}/{city}/{city}_{number:06d}_000019_leftImg8bit.png",
        "gtFine_trainvaltest/gtFine/{split}/{city}/{city}_{number:06d}_000019_gtFine_labelIds.png",
        _CITYSCAPES_VOID,
        (("northfield", "oldbridge", "westhaven"), ("easton", "lakeside")),
    ),
    "gtav": Layout(
        "gtav",
        GTAV,
        ("train", "valid"),
        "images/{split}/{city}/{number:05d}.png",
        "labels/{split}/{city}/{number:05d}.png",
        _CITYSCAPES_VOID,
        (("folder_a", "folder_b"), ("folder_c",)),
        first=1,
    ),
    "synthia": Layout(
        "synthia",
        SYNTHIA,
        ("train", "val"),
        "RGB/{split}/{number:07d}.png",
        "GT/LABELS/{split}/{number:07d}.png",
        {Code.LANE_MARKING: 22, Code.CROSSWALK: 22, Code.STATIC: 0, Code.EGO_VEHICLE: 0},
    ),
    "bdd100k": Layout(
        "bdd100k",
        TRAIN_IDS,
        ("train", "val"),
        "images/{split}/{number:08x}-toycity.jpg",
        "labels/{split}/{number:08x}-toycity_train_id.png",
        {Code.STATIC: 255, Code.EGO_VEHICLE: 255},
    ),
    "mapillary": Layout(
        "mapillary",
        MAPILLARY,
        ("training", "validation"),
        "{split}/images/toycity_{number:06d}.jpg",
        "{split}/labels/toycity_{number:06d}.png",
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
}


def native_label(domain: str, raster: np.ndarray) -> np.ndarray:
    """Native ids, uint8 (H, W), of a raster of paint codes."""
    layout = LAYOUTS[domain]
    native_ids = layout.coding.native_ids[CLASS_OF_CODE]
    for code, native in layout.finer.items():
        native_ids[code] = native
    label = native_ids[raster & (INSTANCE_STEP - 1)]
    if domain == "cityscapes":
        # In Cityscapes the outermost rows and columns are labelled "out of roi".
        edge = max(1, label.shape[0] // 200)
        label[:edge] = label[-edge:] = 3
        label[:, :edge] = label[:, -edge:] = 3
    return label


def write_pair(
    domain: str, root: Path, split: int, index: int, image: np.ndarray, raster: np.ndarray
) -> None:
    """Write a picture, uint8 (H, W, 3) RGB, and its label in the domain's layout.

    The label is made from ``raster``, the codes of the picture. It is not written if the split has no labels.
    """
    layout = LAYOUTS[domain]
    image_path, label_path = (root / name for name in layout.paths(split, index))
    image_path.parent.mkdir(parents=True, exist_ok=True)
    image_path.write_bytes(_encoded(image_path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR)))
    if not layout.labelled[split]:
        return
    label_path.parent.mkdir(parents=True, exist_ok=True)
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
