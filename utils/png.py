"""Decoding PNG files with OpenCV, which is faster than Pillow.

For a damaged file or chunk, the libpng inside OpenCV prints to stderr, which all threads share. No setting
prevents this. So OpenCV gets only the chunks that make the pixels, and only if all check sums are right.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
# A chunk is: length and kind (this head, 4 bytes each), data, check sum of kind and data.
_HEAD, _CHECK_SUM = struct.Struct(">I4s"), struct.Struct(">I")


def decode_png(path: Path, flags: int) -> np.ndarray | None:
    """The file at ``path``, decoded by OpenCV with ``flags``; None if it is not a complete, undamaged PNG."""
    content = pixel_chunks(np.fromfile(path, dtype=np.uint8))
    return None if content is None else cv2.imdecode(content, flags)


def pixel_chunks(content: np.ndarray) -> np.ndarray | None:
    """The chunks of a PNG file that make its pixels; None if the file is incomplete or damaged.

    ``content`` and the result are uint8 (bytes,).
    """
    view = memoryview(content)
    if view[: len(_SIGNATURE)] != _SIGNATURE:
        return None
    start, kind, kinds, kept = len(_SIGNATURE), b"", set(), [content[: len(_SIGNATURE)]]
    while kind != b"IEND":
        try:
            length, kind = _HEAD.unpack_from(view, start)
            check_sum = start + _HEAD.size + length
            (expected,) = _CHECK_SUM.unpack_from(view, check_sum)
        except struct.error:  # The file ends before the chunk does.
            return None
        if zlib.crc32(view[start + 4 : check_sum]) != expected:
            return None
        end = check_sum + _CHECK_SUM.size
        if kind in _PIXEL_CHUNKS:
            kept.append(content[start:end])
        kinds.add(kind)
        start = end
    if b"IDAT" not in kinds:
        return None
    return content if kinds <= _PIXEL_CHUNKS else np.concatenate(kept)
