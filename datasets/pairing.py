"""Which label belongs to which picture, checked before anything is trained or scored."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from datasets.catalog import DatasetSpec, Layout, Split
from datasets.parallel import threaded_map
from datasets.reading import read_size
from utils.errors import UserError


class Pair(NamedTuple):
    """One picture and its label. ``name`` is the picture's path in its folder, without the suffix."""

    name: str
    image: Path
    label: Path | None


def list_pairs(spec: DatasetSpec, split: str, root: Path, labelled: bool = True) -> list[Pair]:
    """All pairs of one split, sorted by name.

    A label without a picture is left out; ``labelled=False`` does not look at labels at all (``label`` is
    None). Raises :class:`UserError` naming the folder that is missing or empty, or the picture without a
    label.
    """
    files = spec.split(split)
    layout = _find_layout(files, Path(root), labelled)
    folder = Path(root) / layout.pictures
    pictures = sorted(_pictures(folder, layout, files))
    if not pictures:
        raise UserError(f"{folder}: no pictures of {spec.name} {split} (*{layout.picture_suffixes[0]}) here")
    for (name, path), (next_name, next_path) in zip(pictures, pictures[1:], strict=False):
        if name == next_name:
            raise UserError(f"{folder}: {path} and {next_path} are the same picture twice; remove one")
    if not labelled:
        return [Pair(name, folder / path, None) for name, path in pictures]
    label_folder = Path(root) / layout.labels
    labels = set(_walk(label_folder))
    pairs = [
        Pair(name, folder / path, label_folder / (name + layout.label_suffix)) for name, path in pictures
    ]
    missing = [pair for pair in pairs if pair.name + layout.label_suffix not in labels]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(f"{missing[0].image} has no label: {missing[0].label} does not exist{more}")
    return pairs


def check_sizes(pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    """(width, height) of every picture, read from file headers only.

    Raises :class:`UserError` naming the first picture and label of different size, or an unreadable file.
    """

    def size(pair: Pair) -> tuple[int, int]:
        image_size = read_size(pair.image)
        if pair.label is not None and (label_size := read_size(pair.label)) != image_size:
            picture, label = ("x".join(map(str, each)) for each in (image_size, label_size))
            raise UserError(
                f"{pair.image} is {picture} but its label {pair.label} is {label}; remove the pair"
            )
        return image_size

    return threaded_map(size, pairs, threads=16)


def _find_layout(files: Split, root: Path, labelled: bool) -> Layout:
    present = [layout for layout in files.layouts if (root / layout.pictures).is_dir()]
    if not present:
        places = " or ".join(str(root / layout.pictures) for layout in files.layouts)
        raise UserError(f"{places}: no such folder; it should hold the pictures")
    complete = [layout for layout in present if not labelled or (root / layout.labels).is_dir()]
    if not complete:
        places = " or ".join(str(root / layout.labels) for layout in present)
        raise UserError(
            f"{places}: no such folder; it should hold the labels of {root / present[0].pictures}"
        )
    return complete[0]


def _pictures(folder: Path, layout: Layout, files: Split) -> Iterator[tuple[str, str]]:
    """(name, path below ``folder``) of every picture that the split takes."""
    for path in _walk(folder):
        suffix = next((end for end in layout.picture_suffixes if path.lower().endswith(end.lower())), None)
        if suffix is None:
            continue
        name = path[: -len(suffix)]
        stem = name.rpartition("/")[2]
        if re.match(files.only, stem) and not (files.without and re.match(files.without, stem)):
            yield name, path


def _walk(folder: Path) -> Iterator[str]:
    """Paths of all files below ``folder``, relative to it; hidden files (macOS's ``._*`` too) are skipped.

    Linked folders are followed, each real folder once, so that a link to a parent ends.
    """
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(parent).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        yield from (prefix + name for name in names if not name.startswith("."))
