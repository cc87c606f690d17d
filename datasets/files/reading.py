"""Reading one picture or one label file, with errors that name it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from datasets.definitions.codings import Colour, LabelCoding, LabelValueError
from datasets.definitions.labels import IGNORE_LABEL
from datasets.files.png import decode_png
from utils.errors import UserError

# On files that are missing, cut short, not pictures or absurdly large, decoders raise nearly anything.
UNREADABLE = Exception

LOSSY = ("JPEG", "MPO", "JPEG2000", "WEBP", "AVIF")

READING = 2
"""Changes whenever :func:`read_label` makes something else of the same file: results kept from an earlier
reading are not used then.
"""

ROWS_WORTH_STOPPING_AT = 0.85
"""Pillow can stop at a row; OpenCV cannot, but reads a whole PNG in this part of Pillow's time."""


def read_image(path: Path, rows: range | None = None) -> Image.Image:
    """The picture as 8-bit RGB, upright by its EXIF data; alpha is dropped, 16-bit grey reduced.

    It has its whole size, but where ``rows`` are given, only these need be right.

    Raises :class:`UserError` naming the file when it cannot be read whole.
    """
    try:
        with Image.open(_file(path)) as image:
            if _is_plain(image):
                pixels = _plain_pixels(image, path, rows)
                return image if pixels is None else Image.fromarray(pixels)
            if _orientation(image) != 1:
                return ImageOps.exif_transpose(image).convert("RGB")
            if image.mode.startswith("I"):
                return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
            if image.mode == "F":
                raise ValueError("32-bit fractions; save it with 8 bits per colour")
            image.load()
            return image if image.mode == "RGB" else image.convert("RGB")
    except UNREADABLE as error:
        raise _unreadable("picture", path, error) from error


def _is_plain(image: Image.Image) -> bool:
    """Whether it is a PNG of 8-bit RGB and nothing else, which OpenCV and Pillow read alike, row by row."""
    return (
        (image.format, image.mode) == ("PNG", "RGB")
        and not {"exif", "transparency", "interlace"} & image.info.keys()
        and [rawmode for _, _, _, rawmode in image.tile] == ["RGB"]
    )


def _plain_pixels(image: Image.Image, path: Path, rows: range | None) -> np.ndarray | None:
    """Decode a plain ``image``, opened from ``path``, by the faster way: all of it into the answer, uint8
    H x W x 3, or into ``image``, down to the last of ``rows``.
    """
    if rows is not None and rows.stop < ROWS_WORTH_STOPPING_AT * image.height:
        codec, _, offset, rawmode = image.tile[0]
        image.tile = [(codec, (0, 0, image.width, rows.stop), offset, rawmode)]
    else:
        pixels = decode_png(path, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is not None:
            return pixels
    # Also where OpenCV fails: Pillow says why.
    image.load()
    return None


def read_size(path: Path, kind: str = "picture") -> tuple[int, int]:
    """(width, height) of what :func:`read_image` would return, from the file's header alone.

    ``kind`` is what a :class:`UserError` calls the file.
    """
    try:
        with Image.open(_file(path)) as image:
            width, height = image.size
            # EXIF orientations 5 to 8 include a quarter turn.
            return (height, width) if _orientation(image) >= 5 else (width, height)
    except UNREADABLE as error:
        raise _unreadable(kind, path, error) from error


def read_label(path: Path, coding: LabelCoding, rows: range | None = None) -> np.ndarray:
    """The label's train ids, uint8 H x W; where ``rows`` are given, only these need be right.

    Raises :class:`UserError` naming the file when it cannot be read whole or holds values outside ``coding``.
    """
    try:
        with Image.open(_file(path)) as image:
            if image.format in LOSSY:
                raise LabelValueError(f"a {image.format} file, which keeps label values only nearly")
            if image.mode == "P":
                return coding.decode_palette(np.asarray(image), _palette(image))
            if coding.bits == 16:
                return coding.decode(_first_channel(path))
            if _is_plain(image):
                return _plain_label(image, path, coding, rows or range(image.height))
            if image.mode in ("RGB", "RGBA", "LA") and _is_deep(image):
                raise LabelValueError(f"16 bits per channel where the {coding.name} coding has 8")
            # What is transparent has its value all the same; of 1 bit, white is 255 as in all other depths.
            plain = {"1": "L", "LA": "L", "RGBA": "RGB"}.get(image.mode, image.mode)
            return coding.decode(np.asarray(image if image.mode == plain else image.convert(plain)))
    except LabelValueError as error:
        raise LabelValueError(f"{path}: {error}; correct the label or remove the pair") from error
    except UNREADABLE as error:
        raise _unreadable("label", path, error) from error


def _plain_label(image: Image.Image, path: Path, coding: LabelCoding, rows: range) -> np.ndarray:
    """The train ids in ``rows`` of a plain ``image``, opened from ``path``; none in others."""
    pixels = _plain_pixels(image, path, rows)
    if pixels is None:
        colours = np.asarray(image.crop((0, rows.start, image.width, rows.stop)))
    else:
        colours = pixels[rows.start : rows.stop]
    label = np.full((image.height, image.width), IGNORE_LABEL, dtype=np.uint8)
    label[rows.start : rows.stop] = coding.decode(colours, whole=len(rows) == image.height)
    return label


def _file(path: Path) -> Path:
    """``path``, unless opening it would wait for ever, as on a pipe."""
    if path.exists() and not path.is_file():
        raise ValueError("not a file")
    return path


def _palette(image: Image.Image) -> list[Colour]:
    """The colours of a palette picture, by index."""
    levels = image.getpalette("RGB") or []
    return list(zip(levels[::3], levels[1::3], levels[2::3], strict=True))


def _is_deep(image: Image.Image) -> bool:
    """Whether its channels have 16 bits in the file, of which Pillow keeps the upper 8."""
    return any(";16" in str(tile[3]) for tile in image.tile)


def _first_channel(path: Path) -> np.ndarray:
    """The first (red) channel at the file's own depth, which Pillow would cut to its high byte."""
    pixels = decode_png(path, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("not a whole PNG file")
    return pixels if pixels.ndim == 2 else pixels[..., 2]  # OpenCV's order is blue, green, red


def _orientation(image: Image.Image) -> int:
    # Pillow would decode a whole PNG to look for EXIF data behind its pixels.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def _unreadable(kind: str, path: Path, error: Exception) -> UserError:
    # Pillow's text names the file once more.
    reason = "not a picture file" if isinstance(error, UnidentifiedImageError) else str(error)
    reason = getattr(error, "strerror", None) or reason or type(error).__name__
    return UserError(f"{path}: this {kind} cannot be read ({reason}); replace or remove it")
