"""Reading one picture or one label file; errors name the file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from datasets.definitions.codings import Colour, LabelCoding, LabelValueError
from datasets.definitions.labels import IGNORE_LABEL
from datasets.files.png import decode_png
from utils.errors import UserError

# Decoders raise almost any exception for a file that is missing, cut short, too large or not a picture.
UNREADABLE = Exception

LOSSY = ("JPEG", "MPO", "JPEG2000", "WEBP", "AVIF")

READING = 2
"""Must be raised when :func:`read_label` decodes some file differently, so that stored results of earlier
versions are no longer used.
"""

ROWS_WORTH_STOPPING_AT = 0.85
"""The share of rows from which OpenCV is faster. Pillow can stop after the last row that is needed; OpenCV
cannot, but reads a whole PNG in this share of Pillow's time.
"""


def read_image(path: Path, rows: range | None = None) -> Image.Image:
    """The picture as 8-bit RGB, turned upright by its EXIF data. Alpha is dropped; 16-bit grey becomes 8-bit.

    The picture always has its full size. If ``rows`` are given, only these rows need to be correct.

    Raises :class:`UserError` with the file if it cannot be read completely.
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
    """Whether it is a simple PNG of 8-bit RGB. OpenCV and Pillow read such files alike, row by row."""
    return (
        (image.format, image.mode) == ("PNG", "RGB")
        and not {"exif", "transparency", "interlace"} & image.info.keys()
        and [rawmode for _, _, _, rawmode in image.tile] == ["RGB"]
    )


def _plain_pixels(image: Image.Image, path: Path, rows: range | None) -> np.ndarray | None:
    """Decode a plain ``image``, opened from ``path``, in the faster of two ways.

    Either OpenCV decodes all of it and the result is its pixels, uint8 H x W x 3; or Pillow decodes it into
    ``image``, down to the last of ``rows``, and the result is None.
    """
    if rows is not None and rows.stop < ROWS_WORTH_STOPPING_AT * image.height:
        codec, _, offset, rawmode = image.tile[0]
        image.tile = [(codec, (0, 0, image.width, rows.stop), offset, rawmode)]
    else:
        pixels = decode_png(path, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is not None:
            return pixels
    # If OpenCV failed, Pillow now raises an error that says why.
    image.load()
    return None


def read_size(path: Path, kind: str = "picture") -> tuple[int, int]:
    """(width, height) of what :func:`read_image` would return, from the file header alone.

    Raises :class:`UserError` with the file, called a ``kind``, if that cannot be read.
    """
    try:
        with Image.open(_file(path)) as image:
            width, height = image.size
            # EXIF orientations 5 to 8 include a quarter turn.
            return (height, width) if _orientation(image) >= 5 else (width, height)
    except UNREADABLE as error:
        raise _unreadable(kind, path, error) from error


def read_label(path: Path, coding: LabelCoding, rows: range | None = None) -> np.ndarray:
    """The train ids of a label file, uint8 H x W. If ``rows`` are given, only these need to be correct.

    Raises :class:`UserError` with the file if it cannot be read completely or holds values outside
    ``coding``.
    """
    try:
        with Image.open(_file(path)) as image:
            if image.format in LOSSY:
                raise LabelValueError(f"a {image.format} file, which does not keep label values exactly")
            if image.mode == "P":
                return coding.decode_palette(np.asarray(image), _palette(image))
            if coding.bits == 16:
                return coding.decode(_first_channel(path))
            if _is_plain(image):
                return _plain_label(image, path, coding, rows or range(image.height))
            if image.mode in ("RGB", "RGBA", "LA") and _is_deep(image):
                raise LabelValueError(f"16 bits per channel where the {coding.name} coding has 8")
            # Transparent pixels keep their value. White is 255 in pictures of 1 bit, as in those of 8 bits.
            plain = {"1": "L", "LA": "L", "RGBA": "RGB"}.get(image.mode, image.mode)
            return coding.decode(np.asarray(image if image.mode == plain else image.convert(plain)))
    except LabelValueError as error:
        raise LabelValueError(f"{path}: {error}; correct the label or remove the pair") from error
    except UNREADABLE as error:
        raise _unreadable("label", path, error) from error


def _plain_label(image: Image.Image, path: Path, coding: LabelCoding, rows: range) -> np.ndarray:
    """Train ids, uint8 H x W, of a plain ``image``, opened from ``path``; ignored outside ``rows``."""
    pixels = _plain_pixels(image, path, rows)
    if pixels is None:
        colours = np.asarray(image.crop((0, rows.start, image.width, rows.stop)))
    else:
        colours = pixels[rows.start : rows.stop]
    label = np.full((image.height, image.width), IGNORE_LABEL, dtype=np.uint8)
    label[rows.start : rows.stop] = coding.decode(colours, whole=len(rows) == image.height)
    return label


def _file(path: Path) -> Path:
    """``path``; ValueError if it is not a file but, for example, a pipe: opening that may never end."""
    if path.exists() and not path.is_file():
        raise ValueError("not a file")
    return path


def _palette(image: Image.Image) -> list[Colour]:
    """The colours of a palette picture, in the order of its indices."""
    levels = image.getpalette("RGB") or []
    return list(zip(levels[::3], levels[1::3], levels[2::3], strict=True))


def _is_deep(image: Image.Image) -> bool:
    """Whether the channels have 16 bits in the file; Pillow keeps only the upper 8 of them."""
    return any(";16" in str(tile[3]) for tile in image.tile)


def _first_channel(path: Path) -> np.ndarray:
    """The first (red) channel with all its 16 bits, of which Pillow would keep only the upper 8."""
    pixels = decode_png(path, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("not a whole PNG file")
    return pixels if pixels.ndim == 2 else pixels[..., 2]  # OpenCV's order is blue, green, red


def _orientation(image: Image.Image) -> int:
    # For a PNG, getexif would decode all pixels to look for EXIF data behind them.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def _unreadable(kind: str, path: Path, error: Exception) -> UserError:
    # Pillow's own text would repeat the path.
    reason = "not a picture file" if isinstance(error, UnidentifiedImageError) else str(error)
    reason = getattr(error, "strerror", None) or reason or type(error).__name__
    return UserError(f"{path}: this {kind} cannot be read ({reason}); replace or remove it")
