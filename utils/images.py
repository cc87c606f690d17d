"""Reading one picture file; errors name the file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from utils.errors import UserError
from utils.png import decode_png

# Pillow can stop after the last row that is needed. OpenCV reads a whole PNG in this share of Pillow's time.
ROWS_WORTH_STOPPING_AT = 0.85


def read_image(path: Path, rows: range | None = None) -> Image.Image:
    """The picture as 8-bit RGB, turned upright by its EXIF data. Alpha is dropped; 16-bit grey becomes 8-bit.

    It always has its full size; if ``rows`` are given, only these need to be correct. Raises
    :class:`UserError` with the file if it cannot be read completely.
    """
    try:
        with Image.open(no_pipe(path)) as image:
            if is_plain(image):
                pixels = plain_pixels(image, path, rows)
                return image if pixels is None else Image.fromarray(pixels)
            return upright_rgb(image)
    except Exception as error:
        raise unreadable("picture", path, error) from error


def upright_rgb(image: Image.Image) -> Image.Image:
    """An opened picture as :func:`read_image` gives it. A damaged file raises any exception."""
    if _orientation(image) != 1:
        return ImageOps.exif_transpose(image).convert("RGB")
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("32-bit fractions; save it with 8 bits per colour")
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def is_plain(image: Image.Image) -> bool:
    """Whether it is a simple PNG of 8-bit RGB. OpenCV and Pillow read such files alike, row by row."""
    return (
        (image.format, image.mode) == ("PNG", "RGB")
        and not {"exif", "transparency", "interlace"} & image.info.keys()
        and [rawmode for _, _, _, rawmode in image.tile] == ["RGB"]
    )


def plain_pixels(image: Image.Image, path: Path, rows: range | None) -> np.ndarray | None:
    """Decode a plain ``image``, opened from ``path``, in the faster of two ways.

    Either OpenCV decodes all of it, and the result is uint8 H x W x 3; or Pillow decodes it into ``image``,
    down to the last of ``rows``, and the result is None.
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
        with Image.open(no_pipe(path)) as image:
            width, height = image.size
            # EXIF orientations 5 to 8 include a quarter turn.
            return (height, width) if _orientation(image) >= 5 else (width, height)
    except Exception as error:
        raise unreadable(kind, path, error) from error


def no_pipe(path: Path) -> Path:
    """``path``; ValueError if it is not a file but, for example, a pipe: opening that may never end."""
    if path.exists() and not path.is_file():
        raise ValueError("not a file")
    return path


def _orientation(image: Image.Image) -> int:
    # For a PNG, getexif would decode all pixels to look for EXIF data behind them.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def unreadable(kind: str, path: Path | str, error: Exception) -> UserError:
    """What to raise instead of ``error`` for the file at ``path``, called a ``kind``.

    Decoders raise almost any exception for a file that is missing, cut short, too large or not a picture.
    """
    # Pillow's own text would repeat the path.
    reason = "not a picture file" if isinstance(error, UnidentifiedImageError) else str(error)
    reason = getattr(error, "strerror", None) or reason or type(error).__name__
    return UserError(f"{path}: this {kind} cannot be read ({reason}); replace or remove it")
