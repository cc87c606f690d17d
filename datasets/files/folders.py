"""The picture files in a folder, and which of them a layout and a split choose."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from datasets.definitions.spec import Layout, Split
from datasets.files.split_lists import read_ids
from utils.errors import UserError


def holds_pictures(folder: Path, layout: Layout) -> bool:
    """Whether pictures are directly in ``folder``."""
    return folder.is_dir() and any(
        path.name.lower().endswith(layout.picture_suffixes) and not path.name.startswith(".")
        for path in folder.iterdir()
    )


def pictures_of(
    folder: Path, layout: Layout, files: Split, root: Path, split: str, lists_flag: str | None
) -> list[tuple[str, str]]:
    """(name, path below ``folder``) of every picture of the split, sorted.

    Raises :class:`UserError` if pictures of ``layout.listed`` are absent. Of ``layout.among`` they may be.
    """
    found = []
    for path in files_below(folder):
        suffix = next((end for end in layout.picture_suffixes if path.lower().endswith(end.lower())), None)
        if suffix and takes(files, name := path[: -len(suffix)]):
            found.append((name, path))
    if layout.among:
        # The lists of some vendors hold paths, and not always those below this folder.
        named = {_file_name(each, layout) for each in read_ids(root / layout.among, split, 0)}
        found = [(name, path) for name, path in found if name.rpartition("/")[2] in named]
    if not layout.listed:
        return sorted(found)
    present = dict(found)
    listed = [name for name in read_ids(layout.listed, split, layout.digits) if takes(files, name)]
    absent = [name for name in listed if name not in present]
    if absent:
        raise UserError(
            f"{folder}: {len(absent)} of the {len(listed)} pictures listed in {layout.listed} are absent, "
            f"the first is {absent[0]}{layout.picture_suffixes[0]}; "
            + (f"pass {lists_flag} with lists of what is here" if lists_flag else "add them")
        )
    return [(name, present[name]) for name in listed]


def _file_name(listed: str, layout: Layout) -> str:
    """What a line of a list calls a picture, without folders and without the picture suffix, if it has one.

    A file name may have dots of its own.
    """
    name = listed.rpartition("/")[2]
    for suffix in layout.picture_suffixes:
        # In what was read from a list, ".png" is left out already.
        for end in filter(None, (suffix, suffix.removesuffix(".png"))):
            if name.lower().endswith(end.lower()):
                return name[: -len(end)]
    return name


def takes(files: Split, name: str) -> bool:
    """Whether ``only`` and ``without`` of ``files`` choose the picture ``name``."""
    stem = name.rpartition("/")[2]
    return bool(re.match(files.only, stem)) and not (files.without and re.match(files.without, stem))


def files_below(folder: Path) -> Iterator[str]:
    """Paths of all files below ``folder``, relative to it; hidden files (macOS's ``._*`` too) are skipped.

    Links to folders are followed, but each real folder is read only once, so a link to a parent folder does
    no harm. Raises :class:`UserError` for a folder that cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise UserError(
            f"{error.filename}: this folder cannot be listed ({error.strerror}); make it readable"
        )

    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(parent).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        yield from (prefix + name for name in names if not name.startswith("."))
