"""OpenCV gets only what it reads in silence, and all that makes the pixels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from datasets.definitions import codings
from datasets.files.reading import read_label
from utils.errors import UserError
from utils.images import read_image
from utils.png import decode_png, pixel_chunks

NOISE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunks(content: bytes) -> Iterator[bytes]:
    """The chunks of a PNG, each whole."""
    start = len(SIGNATURE)
    while start < len(content):
        (length,) = struct.unpack_from(">I", content, start)
        yield content[start : start + length + 12]
        start += length + 12


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A PNG of :data:`NOISE`."""
    path = tmp_path / "street.png"
    Image.fromarray(NOISE).save(path)
    return path


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0x5A]) + content[place + 1 :]


# libpng has something to say of each of them, however well their check sums are.
ODD_CHUNKS = {
    "an invalid colour profile": chunk(b"iCCP", b"x\0\0" + zlib.compress(b"bad")),
    "an invalid time": chunk(b"tIME", bytes([255] * 7)),
    "an empty text": chunk(b"tEXt", b""),
    "an unknown chunk": chunk(b"abCd", b"?"),
}


@pytest.mark.parametrize("odd", ODD_CHUNKS.values(), ids=ODD_CHUNKS)
def test_odd_chunks_change_nothing(picture: Path, capfd: pytest.CaptureFixture[str], odd: bytes) -> None:
    header, *others = chunks(picture.read_bytes())
    picture.write_bytes(b"".join([SIGNATURE, header, odd, *others]))
    assert np.array_equal(decode_png(picture, cv2.IMREAD_COLOR_RGB), NOISE)
    assert np.array_equal(np.asarray(read_image(picture)), NOISE)
    assert capfd.readouterr() == ("", "")


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "its signature alone": lambda content: content[:8],
    "its header alone": lambda content: content[:40],
    "cut": lambda content: content[: len(content) // 2],
    "a flipped bit in the pixels": lambda content: flipped(content, len(content) // 2),
    "no pixels": lambda content: content[:33] + content[-12:],
    "no picture": lambda content: b"no picture" * 100,
}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN)
def test_a_broken_picture_is_an_error_and_nothing_else(
    picture: Path, capfd: pytest.CaptureFixture[str], spoil: Callable[[bytes], bytes]
) -> None:
    picture.write_bytes(spoil(picture.read_bytes()))
    assert decode_png(picture, cv2.IMREAD_UNCHANGED) is None
    for read in (read_image, lambda path: read_label(path, codings.SYNTHIA)):
        with pytest.raises(UserError, match=r"street\.png: this (picture|label) cannot be read"):
            read(picture)
    assert capfd.readouterr() == ("", "")


def test_what_follows_the_last_chunk_is_ignored(picture: Path) -> None:
    picture.write_bytes(picture.read_bytes() + b"more")
    assert np.array_equal(decode_png(picture, cv2.IMREAD_COLOR_RGB), NOISE)


def test_a_sound_picture_is_not_copied(picture: Path) -> None:
    content = np.fromfile(picture, dtype=np.uint8)
    assert pixel_chunks(content) is content
