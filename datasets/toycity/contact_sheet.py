"""One picture that shows all domains: a column of scenes for each, with the label below each scene.

Domains of several weathers have a column for each, and one for the same scenes by day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from datasets.toycity.codes import CLASS_OF_CODE, INSTANCE_STEP
from datasets.toycity.generation import check_request, picture
from datasets.toycity.layouts import LAYOUTS
from utils.errors import UserError
from utils.files import atomic_write
from utils.scoring.classes import CITYSCAPES
from utils.scoring.visualize import colour_picture

_GAP = 6
_CELL = (150, 300)
_SHOWN = {"gtav": (16, 15), "cityscapes": (4, 9), "synthia": (6, 2), "bdd100k": (4, 2), "mapillary": (10, 2)}
_SHOWN |= {"nthu_rome": (0, 3), "nthu_rio": (0, 3), "nthu_tokyo": (0, 3), "nthu_taipei": (0, 3)}
_SHOWN |= {"acdc": (0, 3), "dark_zurich": (0, 1)}
"""The numbers of two typical training pictures of each domain."""


def contact_sheet(domains: Sequence[str], size: tuple[int, int], seed: int) -> np.ndarray:
    """Columns for every domain, uint8 (H, W, 3) RGB: a name, and two training scenes with their labels."""
    columns = []
    for domain, part, name in _columns(domains):
        cells = [_name_plate(name)]
        for index in _SHOWN[domain]:
            image, raster = picture(domain, part, index, size, seed)
            classes = CLASS_OF_CODE[raster & (INSTANCE_STEP - 1)]
            label = np.asarray(colour_picture(classes, CITYSCAPES.palette))
            cells += [_fitted(image, cv2.INTER_AREA), _fitted(label, cv2.INTER_NEAREST)]
        columns.append(np.concatenate([_framed(cell) for cell in cells], axis=0))
    return _framed(np.concatenate(columns, axis=1))


def _columns(domains: Sequence[str]) -> Iterator[tuple[str, int, str]]:
    """Domain, part and name of each column: one for each part with training pictures."""
    for domain in domains:
        shown = [number for number, part in enumerate(LAYOUTS[domain].parts) if part.of_train]
        for number in shown:
            folder = f" {LAYOUTS[domain].parts[number].folder}" if len(shown) > 1 else ""
            yield domain, number, domain + folder


def write_contact_sheet(path: Path, domains: Sequence[str], size: tuple[int, int], seed: int) -> None:
    """Write :func:`contact_sheet` to a PNG or JPEG file."""
    if path.suffix not in (".png", ".jpg"):
        raise UserError(f"--contact_sheet {path}: the name of the file must end in .png or .jpg")
    check_request(domains, size)
    with atomic_write(path) as temporary:
        Image.fromarray(contact_sheet(domains, size, seed)).save(temporary, optimize=True)


def _fitted(image: np.ndarray, interpolation: int) -> np.ndarray:
    """The whole picture, resized to fit, in the middle of a white cell."""
    height, width = _CELL
    scale = min(height / image.shape[0], width / image.shape[1])
    shape = round(image.shape[1] * scale), round(image.shape[0] * scale)
    cell = np.full((height, width, 3), 255, dtype=np.uint8)
    top, left = (height - shape[1]) // 2, (width - shape[0]) // 2
    cell[top : top + shape[1], left : left + shape[0]] = cv2.resize(image, shape, interpolation=interpolation)
    return cell


def _framed(image: np.ndarray) -> np.ndarray:
    return cv2.copyMakeBorder(image, *([_GAP // 2] * 4), cv2.BORDER_CONSTANT, value=(255, 255, 255))


def _name_plate(text: str) -> np.ndarray:
    plate = np.full((24, _CELL[1], 3), 255, dtype=np.uint8)
    (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 1)
    origin = ((_CELL[1] - wide) // 2, 18)
    cv2.putText(plate, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (50, 50, 50), 1, cv2.LINE_AA)
    return plate
