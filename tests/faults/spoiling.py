"""Ways in which a file is no picture."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

Spoil = Callable[[Path], None]


def _keep(share: float) -> Spoil:
    def spoil(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

    return spoil


def _replace(content: bytes) -> Spoil:
    return lambda path: path.write_bytes(content) and None


def _hole(path: Path) -> None:
    """What is left of a file whose blocks were never written."""
    path.write_bytes(bytes(path.stat().st_size))


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    for place in range(middle, middle + 40):
        content[place] ^= 0x5A
    path.write_bytes(content)


def _link_to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere.png")


def _link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _huge_header(path: Path) -> None:
    """A PNG that says it is 60,000 pixels wide and high."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(header) - 4) + header + struct.pack(">I", zlib.crc32(header))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + path.read_bytes()[33:])


SPOILT: dict[str, Spoil] = {
    "empty": _replace(b""),
    "a text": _replace(b"version https://git-lfs.github.com/spec/v1\n"),
    "a web page": _replace(b"<!DOCTYPE html><html><body>404 Not Found</body></html>"),
    "only its first 60 bytes": lambda path: path.write_bytes(path.read_bytes()[:60]) and None,
    "cut in half": _keep(0.5),
    "without its last part": _keep(0.95),
    "zeros": _hole,
    "flipped bits": _flipped,
    "60,000 pixels wide and high": _huge_header,
    "a link to nowhere": _link_to_nowhere,
    "a link to itself": _link_to_itself,
    "a pipe": _pipe,
}
"""What is wrong -> makes it so of a picture file."""
