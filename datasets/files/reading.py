"""Reading label files, with errors that name the file, and storing results of reading many files."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from datasets.definitions.label_coding import LabelCoding, LabelValueError
from utils.files import atomic_write
from utils.images import is_plain, no_pipe, plain_pixels, unreadable
from utils.png import decode_png
from utils.scoring.classes import IGNORE_LABEL

Arrays = dict[str, np.ndarray]

READING_VERSION = 2
"""Add 1 when :func:`read_label` comes to decode some file differently: it makes stored results outdated."""


def read_label(path: Path, coding: LabelCoding, rows: range | None = None) -> np.ndarray:
    """The train ids of a label file, uint8 H x W. If ``rows`` are given, only these need to be correct.

    Raises :class:`UserError` with the file if it cannot be read completely or holds values outside
    ``coding``.
    """
    try:
        with Image.open(no_pipe(path)) as image:
            if image.format in ("JPEG", "MPO", "JPEG2000", "WEBP", "AVIF"):
                raise LabelValueError(f"a {image.format} file, which does not keep label values exactly")
            if image.mode == "P":
                levels = image.getpalette("RGB") or []
                colours = list(zip(levels[::3], levels[1::3], levels[2::3], strict=True))
                return coding.decode_palette(np.asarray(image), colours)
            if coding.bits == 16:
                return coding.decode(_first_channel(path))
            if is_plain(image):
                return _plain_label(image, path, coding, rows or range(image.height))
            # Of channels with 16 bits in the file, Pillow keeps only the upper 8.
            if image.mode in ("RGB", "RGBA", "LA") and any(";16" in str(tile[3]) for tile in image.tile):
                raise LabelValueError(f"16 bits per channel where the {coding.name} coding has 8")
            # Transparent pixels keep their value. White is 255 in pictures of 1 bit, as in those of 8 bits.
            plain = {"1": "L", "LA": "L", "RGBA": "RGB"}.get(image.mode, image.mode)
            return coding.decode(np.asarray(image if image.mode == plain else image.convert(plain)))
    except LabelValueError as error:
        raise LabelValueError(f"{path}: {error}; correct the label or remove the pair") from error
    except Exception as error:
        raise unreadable("label", path, error) from error


def _plain_label(image: Image.Image, path: Path, coding: LabelCoding, rows: range) -> np.ndarray:
    """Train ids, uint8 H x W, of a plain ``image`` from ``path``; ``IGNORE_LABEL`` outside ``rows``."""
    rows = range(min(rows.start, image.height), min(rows.stop, image.height))
    label = np.full((image.height, image.width), IGNORE_LABEL, dtype=np.uint8)
    pixels = plain_pixels(image, path, rows)
    if not rows:
        return label
    if pixels is None:
        colours = np.asarray(image.crop((0, rows.start, image.width, rows.stop)))
    else:
        colours = pixels[rows.start : rows.stop]
    first_row = None if len(rows) == image.height else rows.start
    label[rows.start : rows.stop] = coding.decode(colours, first_row)
    return label


def _first_channel(path: Path) -> np.ndarray:
    """The first (red) channel with all its 16 bits, of which Pillow would keep only the upper 8."""
    pixels = decode_png(path, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("not a whole PNG file")
    return pixels if pixels.ndim == 2 else pixels[..., 2]  # OpenCV's order is blue, green, red


def fingerprint(files: Iterable[tuple[str, Path]], *settings: object) -> str:
    """A short key for a result that depends on ``files``, as (name, path), and on ``settings``.

    The names, sizes and modification times count; the paths do not.
    """
    stats = ((name, path.stat()) for name, path in files)
    content = [[(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats], *settings]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def cached_arrays(
    folder: Path | None,
    name: str,
    compute: Callable[[], Arrays],
    files: Iterable[tuple[str, Path]],
    *settings: object,
) -> Arrays:
    """The result of ``compute``; it is kept in ``folder``, if that is given, and read from there later.

    The file name is ``name`` and the :func:`fingerprint` of ``files`` and ``settings``.
    """
    if folder is None:
        return compute()
    cache = Path(folder) / f"{name}_{fingerprint(files, *settings)}.npz"
    # Whatever is wrong with the file, computing it again is right.
    with contextlib.suppress(Exception), np.load(cache) as saved:
        return dict(saved)
    arrays = compute()
    with atomic_write(cache) as temporary:
        np.savez_compressed(temporary, **arrays)
    return arrays
