"""The 66 label entries that Mapillary Vistas 1.2 ships as ``config.json``."""

from __future__ import annotations

from typing import Any

from datasets.definitions.codings import MAPILLARY
from utils.scoring.classes import IGNORE_LABEL

# The names, in the order of the native ids.
_NAMES = (
    "Bird, Ground Animal, Curb, Fence, Guard Rail, Barrier, Wall, Bike Lane, Crosswalk - Plain, "
    "Curb Cut, Parking, Pedestrian Area, Rail Track, Road, Service Lane, Sidewalk, Bridge, Building, "
    "Tunnel, Person, Bicyclist, Motorcyclist, Other Rider, Lane Marking - Crosswalk, "
    "Lane Marking - General, Mountain, Sand, Sky, Snow, Terrain, Vegetation, Water, Banner, Bench, "
    "Bike Rack, Billboard, Catch Basin, CCTV Camera, Fire Hydrant, Junction Box, Mailbox, Manhole, "
    "Phone Booth, Pothole, Street Light, Pole, Traffic Sign Frame, Utility Pole, Traffic Light, "
    "Traffic Sign (Back), Traffic Sign (Front), Trash Can, Bicycle, Boat, Bus, Car, Caravan, Motorcycle, "
    "On Rails, Other Vehicle, Trailer, Truck, Wheeled Slow, Car Mount, Ego Vehicle, Unlabeled"
).split(", ")


def mapillary_config() -> dict[str, Any]:
    """The content of ``config.json``; ``evaluate`` is true for ids that become one of the 19 classes."""
    labels = [
        {
            "color": list(colour),
            "evaluate": int(MAPILLARY.table[native]) != IGNORE_LABEL,
            "instances": False,
            "name": name.lower().replace(" - ", "--").replace(" ", "-"),
            "readable": name,
        }
        for native, (name, colour) in enumerate(zip(_NAMES, MAPILLARY.palette, strict=True))
    ]
    return {
        "version": 1.1,
        "mapping": "public",
        "folder_structure": "{split}/{content}/{image:s}.{format}",
        "labels": labels,
    }
