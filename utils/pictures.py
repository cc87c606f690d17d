"""Which pictures and videos an argument means, what their results are called, and reading ahead."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import TypeVar

import imageio.v3 as iio
import numpy as np
from PIL import Image

from utils.errors import UserError

READABLE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".gif")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """A picture or a video.

    ``name`` is its result's relative path without suffix: ``<name>.png``, for the frames of a video
    ``<name>/000001.png`` and so on. No two sources have the same name.
    """

    path: Path
    name: PurePath
    is_video: bool


def find_sources(path: Path, excluded: Collection[Path] = ()) -> list[Source]:
    """The picture or video ``path``, or those in the folder ``path`` and its sub-folders, by suffix, sorted.

    Hidden files and folders, and ``excluded`` folders, are left out. Symbolic links are followed, but no
    folder is read twice. Files whose results would have the same name (``a.jpg`` and ``a.png``) keep their
    suffix in it.

    Raises:
        UserError: no such file or folder, a folder that cannot be listed, or one without a picture or video.
    """
    if path.is_file():
        return [Source(path, PurePath(path.stem), _is_video(path))]
    if not path.is_dir():
        raise UserError(f"--input {path}: no such file or folder")
    visited = {os.path.realpath(folder) for folder in excluded} - {os.path.realpath(path)}
    files = sorted(file.relative_to(path) for file in _walk(path, visited))
    if not files:
        suffixes = " ".join((*READABLE_SUFFIXES, *VIDEO_SUFFIXES))
        raise UserError(f"--input {path}: no picture or video in this folder; looked for {suffixes}")
    return [
        Source(path / file, name, _is_video(file))
        for file, name in zip(files, _result_names(files), strict=True)
    ]


def _is_video(path: PurePath) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES


def _walk(folder: Path, visited: set[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"--input {folder}: cannot list this folder ({error.strerror})") from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry, visited)
        elif entry.suffix.lower() in READABLE_SUFFIXES + VIDEO_SUFFIXES:
            yield entry


def _result_names(files: list[PurePath]) -> list[PurePath]:
    """Names without suffix; with it where they would clash, also on file systems that ignore case."""
    folders = {_key(parent) for file in files for parent in file.parents}
    names = [file.with_suffix("") for file in files]
    while True:
        results = [
            _key(name) + ("" if _is_video(file) else ".png") for file, name in zip(files, names, strict=True)
        ]
        count = Counter(results)
        clashing = [
            index
            for index, result in enumerate(results)
            if names[index] != files[index] and (count[result] > 1 or result in folders)
        ]
        if not clashing:
            return names
        for index in clashing:  # A longer name may now clash with another one's: look again.
            names[index] = files[index]


def _key(path: PurePath) -> str:
    return path.as_posix().casefold()


def read_frames(video: Path) -> Iterator[np.ndarray]:
    """The frames of a video, uint8 H x W x 3, RGB.

    Raises:
        UserError: the video cannot be decoded, or has no frame.
    """
    count = 0
    # An absolute path cannot be taken for an option or an address; a video may open no address of its own.
    frames = iio.imiter(video.absolute(), plugin="FFMPEG", input_params=["-protocol_whitelist", "file"])
    try:
        for frame in frames:
            count += 1
            yield frame
    except (OSError, RuntimeError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{video}: this video cannot be read after frame {count} ({reason})") from error
    if count == 0:
        raise UserError(f"{video}: no frame could be decoded; is it a video?")


def source_pictures(
    source: Source, read_image: Callable[[Path], Image.Image]
) -> Iterator[tuple[PurePath, Callable[[], Image.Image]]]:
    """Each picture of a source: its result's name without suffix, and the function that gets the picture.

    Raises:
        UserError: the source is no file, or cannot be read as a video.
    """
    if not source.path.is_file():  # A broken link, or a pipe on which reading would wait for ever.
        raise UserError(f"{source.path}: not a file; remove it or put the file there")
    if source.is_video:
        for number, frame in enumerate(read_frames(source.path), start=1):
            yield source.name / f"{number:06d}", partial(Image.fromarray, frame)
    else:
        yield source.name, partial(read_image, source.path)


def read_ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield ``items``, the next one being made in a thread while the caller works on the present one."""
    end = object()
    iterator = iter(items)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, iterator, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, iterator, end)
            yield item
