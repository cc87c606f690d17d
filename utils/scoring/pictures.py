"""Finding the pictures and videos of an input, reading ahead, and naming and writing their results."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePath
from typing import TypeVar

from PIL import Image

from utils.errors import UserError
from utils.files import atomic_write
from utils.scoring.video import read_frames

try:
    import pillow_heif
except Exception:  # Not installed, or broken in any way. Only HEIC pictures need it.
    pillow_heif = None
else:
    pillow_heif.register_heif_opener()

# Pillow's formats for photographs. Its other formats are for icons, or need Ghostscript.
PHOTO_FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "HEIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "QOI", "TGA", "TIFF"),
    "WEBP",
)
HEIF_SUFFIXES = (".heic", ".heif", ".hif")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
# The most file names that a message lists.
SHOWN = 5

# The suffixes that the installed Pillow reads, without .pfm, whose values are fractions.
_PHOTOS = (suffix for suffix, name in Image.registered_extensions().items() if name in PHOTO_FORMATS)
READABLE_SUFFIXES = tuple(sorted(set(_PHOTOS) - {".pfm"}))

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """A picture or a video.

    ``name`` is the relative path of its result without suffix, of which no two are the same. A picture's
    result is ``<name>.png``; those of a video's frames are ``<name>/000001.png`` and so on.
    """

    path: Path
    name: PurePath
    is_video: bool


def find_sources(path: Path, excluded: Collection[Path] = ()) -> tuple[list[Source], list[Path]]:
    """The pictures and videos that ``path`` means, and the other files there, both sorted by name.

    ``path`` is a picture, a video, or a folder. A folder is searched with its sub-folders, but not hidden
    files, hidden folders and those ``excluded``. In it the suffix tells what a file is. Symbolic links are
    followed, but no folder is read twice. Where two results would have the same name (of ``a.jpg`` and
    ``a.png``), their names keep the suffix. Raises a UserError if nothing is there, a folder cannot be
    listed, or none has a picture or video.
    """
    if path.is_file():
        if needs := _missing_reader([path]):
            raise UserError(f"--input {path}: cannot be read yet; {needs}")
        return [Source(path, PurePath(path.stem), _is_video(path))], []
    if not path.is_dir():
        raise UserError(f"--input {path}: no such file or folder")
    visited = {os.path.realpath(folder) for folder in excluded} - {os.path.realpath(path)}
    found = sorted(file.relative_to(path) for file in _walk(path, visited))
    suffixes = READABLE_SUFFIXES + VIDEO_SUFFIXES
    files = [file for file in found if file.suffix.lower() in suffixes]
    others = [file for file in found if file.suffix.lower() not in suffixes]
    if not files:
        beside = f"; {what_is_left_out(others)}" if others else ""
        wanted = " ".join(suffixes)
        raise UserError(f"--input {path}: no picture or video in this folder{beside}; looked for {wanted}")
    named = zip(files, _result_names(files), strict=True)
    return [Source(path / file, name, _is_video(file)) for file, name in named], others


def what_is_left_out(files: Sequence[PurePath]) -> str:
    """A message that names the files with unknown suffixes, and what to install to read some of them."""
    needs = _missing_reader(files)
    return f"files with other suffixes are left out, {counted(files)}" + (f"; {needs}" if needs else "")


def counted(files: Sequence[PurePath]) -> str:
    """The number of files and the names of the first :data:`SHOWN`."""
    names = ", ".join(map(str, files[:SHOWN]))
    return f"{len(files)} in all: {names}{', ...' if len(files) > SHOWN else ''}"


def _missing_reader(files: Iterable[PurePath]) -> str:
    if pillow_heif is None and any(file.suffix.lower() in HEIF_SUFFIXES for file in files):
        return "pip install pillow-heif to read HEIC pictures"
    return ""


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
        else:
            yield entry


def _result_names(files: list[PurePath]) -> list[PurePath]:
    """Names without suffix, or with it where they would clash, also on file systems that ignore case."""
    folders = {_key(parent) for file in files for parent in file.parents}
    names = [file.with_suffix("") for file in files]
    while True:
        results = [
            _key(name) + ("" if _is_video(file) else ".png") for file, name in zip(files, names, strict=True)
        ]
        count = Counter(results)
        before = names
        names = [
            file if count[result] > 1 or result in folders else name
            for file, name, result in zip(files, names, results, strict=True)
        ]
        if names == before:  # Otherwise the longer names may clash with others.
            return names


def _key(path: PurePath) -> str:
    return path.as_posix().casefold()


def has_more_pictures(path: Path) -> bool:
    """Whether a picture file has more pictures than the first: an animation or pages, but not the second view
    in a camera's MPO file.
    """
    try:
        with Image.open(path) as image:
            return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except Exception:  # The first picture was read. For later ones decoders may raise nearly anything.
        return False


def source_pictures(
    source: Source, read_image: Callable[[Path], Image.Image]
) -> Iterator[tuple[PurePath, Callable[[], Image.Image]]]:
    """Each picture of a source: its result's name without suffix, and a function that returns the picture.

    Raises a UserError if the source is no file, or a video that cannot be read.
    """
    if not source.path.is_file():  # A broken link, or a pipe, on which reading would wait for ever.
        raise UserError(f"{source.path}: not a file; remove it or put the file there")
    if source.is_video:
        for number, frame in enumerate(read_frames(source.path), start=1):
            yield source.name / f"{number:06d}", partial(Image.fromarray, frame)
    else:
        yield source.name, partial(read_image, source.path)


def read_ahead(parts: Iterable[Iterable[T]], threads: int = 1) -> Iterator[T]:
    """Yield the items of all ``parts``, in order.

    While the caller works on an item, ``threads`` make the next items of as many parts. Threads are enough,
    because decoding a picture releases Python's global lock.
    """
    end, iterators = object(), map(iter, parts)
    with ThreadPoolExecutor(threads) as executor:

        def begun(iterator: Iterator[T]) -> tuple[Iterator[T], Future[T | object]]:
            return iterator, executor.submit(next, iterator, end)

        coming = deque(map(begun, islice(iterators, threads)))
        while coming:
            iterator, future = coming.popleft()
            if (item := future.result()) is end:
                coming.extend(map(begun, islice(iterators, 1)))
            else:
                coming.appendleft(begun(iterator))
                yield item


class ResultFolder:
    """The folder of the results, ``<root>/<kind>/<name>.png``. Nothing is ever written outside it.

    There is one PNG for each of ``kinds`` and every picture, written completely or not at all.
    """

    def __init__(self, root: Path, kinds: Sequence[str]) -> None:
        self.root = root
        self.kinds = tuple(kinds)

    def path(self, kind: str, name: PurePath) -> Path:
        """Path of the result of ``kind`` for the picture ``name`` (without suffix)."""
        return self.root / kind / name.parent / f"{name.name}.png"

    def check(self, sources: Sequence[Source]) -> None:
        """Raise a UserError if the folder is a file, a symbolic link in it leads elsewhere, or a result would
        replace a source.
        """
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"--output {self.root}: is a file; name a folder")
        # Not Path.resolve, which raises an error for a symbolic link that leads to itself.
        root = Path(os.path.realpath(self.root))
        inputs = {os.path.realpath(source.path) for source in sources}
        for kind in self.kinds:
            for name in {source.name if source.is_video else source.name.parent for source in sources}:
                folder = self.root / kind / name
                # Windows gives the real path in the case that the folder was made with.
                if os.path.normcase(os.path.realpath(folder)) != os.path.normcase(root / kind / name):
                    remedy = "remove it or choose another --output"
                    raise UserError(f"{folder}: leads through a symbolic link; {remedy}")
            for source in sources:
                if os.path.realpath(self.path(kind, source.name)) in inputs:
                    remedy = "choose another --output"
                    raise UserError(f"{source.path}: a result would replace this input; {remedy}")

    def has(self, name: PurePath) -> bool:
        """Whether all results of the picture ``name`` exist."""
        return all(self.path(kind, name).is_file() for kind in self.kinds)

    def write(self, name: PurePath, pictures: Mapping[str, Image.Image]) -> None:
        """Write the results of one picture, kind -> result; raises a UserError if one cannot be written."""
        for kind, picture in pictures.items():
            path = self.path(kind, name)
            with atomic_write(path, "free space or choose another --output") as temporary:
                # Stronger compression takes longer than the network on a GPU and saves little.
                picture.save(temporary, format="PNG", compress_level=1)
