"""PNGs by OpenCV, which is faster than Pillow but prints what it thinks of a broken one.

It does so from within libpng, and no setting keeps that quiet; stderr, which all threads share, is not to be
closed meanwhile. So it gets what it has nothing to say about: chunks with the right check sums, and of these
only those that make the pixels.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_OF_THE_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
# Length and kind stand before a chunk's data, and its check sum behind.
_BEGINNING, _CHECK_SUM = struct.Struct(">I4s"), struct.Struct(">I")


def decode_png(path: Path, flags: int) -> np.ndarray | None:
    """``cv2.imdecode`` with ``flags`` of the file at ``path``; None where it is no whole and sound PNG."""
    content = pixel_chunks(np.fromfile(path, dtype=np.uint8))
    return None if content is None else cv2.imdecode(content, flags)


def pixel_chunks(content: np.ndarray) -> np.ndarray | None:
    """Of a PNG's ``content``, uint8 (bytes,), what makes its pixels; None where it is not whole and sound."""
    view = memoryview(content)
    if view[: len(_SIGNATURE)] != _SIGNATURE:
        return None
    start, kind, kinds, kept = len(_SIGNATURE), b"", set(), [content[: len(_SIGNATURE)]]
    while kind != b"IEND":
        if start + _BEGINNING.size > len(view):
            return None
        length, kind = _BEGINNING.unpack_from(view, start)
        check_sum = start + _BEGINNING.size + length
        end = check_sum + _CHECK_SUM.size
        if end > len(view) or _CHECK_SUM.unpack_from(view, check_sum) != (
            zlib.crc32(view[start + 4 : check_sum]),
        ):
            return None
        if kind in _OF_THE_PIXELS:
            kept.append(content[start:end])
        kinds.add(kind)
        start = end
    if b"IDAT" not in kinds:
        return None
    return content if kinds <= {*_OF_THE_PIXELS} else np.concatenate(kept)
