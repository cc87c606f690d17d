"""Videos for tests. A frame's grey level tells its number; noise makes the file large."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from utils.scoring.video import every_frame

SIZE = (64, 48)
H264 = ("-c:v", "libx264", "-g", "10", "-pix_fmt", "yuv420p", "-movflags", "+faststart")
# The times of the frames in milliseconds: each interval is 40 or more, and longer than the one before.
UNEVEN = ("-vf", "settb=1/1000,setpts=N*(N*9+31)", "-enc_time_base", "1/1000")
VARIABLE = (*UNEVEN, *every_frame(imageio_ffmpeg.get_ffmpeg_version()))


def ffmpeg(*words: object, given: bytes | None = None) -> None:
    """Run ffmpeg so that it overwrites files and prints only errors."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *map(str, words)]
    subprocess.run(command, input=given, check=True, stdin=None if given else subprocess.DEVNULL)


def write_video(path: Path, frames: int, *options: object, size: tuple[int, int] = SIZE) -> Path:
    """Write ``frames`` frames, at 25 a second unless ``options`` of ffmpeg say otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(-16, 17, (frames, size[1], size[0]))
    levels = (20 + 3 * np.arange(frames)[:, None, None] + noise).clip(0, 255).astype(np.uint8)
    raw = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{size[0]}x{size[1]}", "-r", "25", "-i", "-")
    ffmpeg(*raw, *options, path, given=levels.tobytes())
    return path


def numbers(frames: Iterable[np.ndarray]) -> list[int]:
    """The numbers of frames of :func:`write_video`."""
    return [round((float(frame.mean()) - 20) / 3) for frame in frames]


def cut(path: Path, share: float) -> Path:
    """Cut a file so that only this share of it is left."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def overwrite(path: Path, start: float, end: float) -> Path:
    """Overwrite a file with noise between these two shares of its length."""
    content = bytearray(path.read_bytes())
    first, last = (int(len(content) * share) for share in (start, end))
    content[first:last] = np.random.default_rng(0).bytes(last - first)
    path.write_bytes(content)
    return path
