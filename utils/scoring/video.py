"""The frames of a video, decoded by ffmpeg: each frame once, and an error if the file is cut or damaged."""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np

from utils.errors import UserError

# What ffmpeg prints if data is missing at the file's end (_CUT) or in its middle (_GAP), though its exit code
# is 0. Many of its other errors are harmless, such as first frames that refer to frames trimmed away.
_CUT = re.compile(r"File ended prematurely|partial file")
_GAP = re.compile(r"EBML number|exceeds containing master element|error y=\d+ x=\d+")
# AVI files whose header was written before their length was known state this length, or a greater one.
_UNKNOWN_LENGTH = 2**31 - 1


def read_frames(video: Path) -> Iterator[np.ndarray]:
    """The frames of a video in order, as upright RGB pictures, uint8 H x W x 3.

    Each frame comes once, whatever its time stamp. All frames have the size of the first. Raises a UserError,
    after the frames that can be read, if the video is cut, damaged or no video.
    """
    count = 0
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(_command(video), **pipes, stderr=said) as process,
    ):
        try:
            while (frame := _next_frame(process.stdout)) is not None:
                count += 1
                yield frame
            code = process.wait()
        finally:
            process.kill()  # Otherwise ffmpeg waits for ever if the caller wants no more frames.
        said.seek(0)
        text = said.read().decode(errors="replace")
    if fault := _fault(video, count, code, text):
        raise UserError(f"{video}: {fault}; replace or remove it")


def _command(video: Path) -> list[str]:
    """The ffmpeg command that writes the frames of ``video`` to standard output as PPM, up to an error."""
    try:
        exe = imageio_ffmpeg.get_ffmpeg_exe()
        version = _version(exe)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        raise UserError(
            f"{video}: ffmpeg, which reads videos, cannot be started ({error}); "
            "pip install imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE"
        ) from error
    return [
        *(exe, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "error", "-xerror"),
        # An absolute path cannot be taken for an option or an address. A video may not open other addresses.
        *("-protocol_whitelist", "file", "-i", str(video.absolute())),
        *(*every_frame(version), "-pix_fmt", "rgb24", "-c:v", "ppm", "-f", "image2pipe", "-"),
    ]


def every_frame(version: str) -> tuple[str, str]:
    """The option of ffmpeg ``version`` that neither drops nor repeats frames."""
    # ffmpeg 5.1 introduced the newer name, and ffmpeg 8 removed the older one.
    return ("-vsync" if re.match(r"n?([0-4]\.|5\.0)", version) else "-fps_mode", "passthrough")


@lru_cache
def _version(exe: str) -> str:
    """The version of ``exe``, the ffmpeg that imageio-ffmpeg finds."""
    return imageio_ffmpeg.get_ffmpeg_version()


def _next_frame(stream: IO[bytes]) -> np.ndarray | None:
    """The next picture of a stream of PPM pictures (P6, width and height, 255, pixels); None at the end."""
    if not stream.readline():
        return None
    width, height = map(int, stream.readline().split() or (0, 0))
    stream.readline()
    pixels = stream.read(3 * width * height)
    if len(pixels) < max(1, 3 * width * height):
        return None  # ffmpeg was stopped while it wrote.
    return np.frombuffer(pixels, dtype=np.uint8).reshape(height, width, 3)


def _fault(video: Path, count: int, code: int, said: str) -> str | None:
    """What is wrong with a video; None if nothing is. ffmpeg decoded ``count`` frames of it, printed ``said``
    and ended with ``code``.
    """
    lines = [re.sub(r"^(\[[^]]*\] )+", "", line) for line in said.splitlines()]
    cut = next(filter(_CUT.search, lines), None) or _missing_end(video)
    if code or cut:
        reason = lines[0] if code and lines else cut or f"ffmpeg ended with {code}"
        return f"this video cannot be read {f'after frame {count}' if count else 'at all'} ({reason})"
    if count == 0:
        return "no frame could be decoded; is it a video?"
    gap = next(filter(_GAP.search, lines), None)
    if gap is None and (stated := _stated_pictures(video)) > count:
        gap = f"its index lists {stated}"
    return f"parts of this video cannot be read, {count} frames can ({gap})" if gap else None


def _missing_end(video: Path) -> str | None:
    """A message if an AVI file is shorter than it states; ffmpeg reports no cut between two frames."""
    with video.open("rb") as file:
        header = file.read(12)
    if header[:4] != b"RIFF" or header[8:] != b"AVI ":
        return None
    stated, size = int.from_bytes(header[4:8], "little") + 8, video.stat().st_size
    return f"it has {size} of its {stated} bytes" if size < stated < _UNKNOWN_LENGTH else None


def _stated_pictures(video: Path) -> int:
    """How many pictures the index of an AVI file of JPEG pictures lists; 0 for any other file.

    ffmpeg skips damaged JPEG pictures without a message. With other codecs it reports damage, and an index
    entry need not be a picture. An entry without bytes stands for a repeated picture and does not count.
    """
    with video.open("rb") as file:
        header = file.read(4096)
        if header[:4] != b"RIFF" or header[8:12] != b"AVI " or b"MJPG" not in header:
            return 0
        place, size = 12, video.stat().st_size
        while place + 8 <= size:
            file.seek(place)
            name, length = struct.unpack("<4sI", file.read(8))
            if name == b"idx1":
                index = file.read(length - length % 16)
                entries = struct.iter_unpack("<2s2sIII", index[: len(index) - len(index) % 16])
                return sum(kind in (b"dc", b"db") and used > 0 for _, kind, _, _, used in entries)
            place += 8 + length + length % 2
    return 0
