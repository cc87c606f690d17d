"""Finding the pictures of a split and their labels, with checks before anything is trained or scored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from datasets.definitions.spec import DatasetSpec, Layout, Split
from datasets.files.folders import files_below, holds_pictures, pictures_of
from datasets.files.parallel import threaded_map
from utils.errors import UserError
from utils.images import read_size


class Pair(NamedTuple):
    """One picture and its label. ``name`` is the path of the picture in its folder, without the suffix.

    ``group`` is what the picture has in common with others, such as its weather; "" if nothing is said.
    """

    name: str
    image: Path
    label: Path | None
    group: str = ""


def list_pairs(spec: DatasetSpec, split: str, root: Path, labelled: bool = True) -> list[Pair]:
    """All pairs of one split, or of train and val together ("trainval"), sorted by name.

    A label without a picture is left out. So is a picture without a label if ``spec.skips_unlabelled``.
    With ``labelled=False`` nothing looks for labels, and every ``label`` is None. Raises :class:`UserError`
    if a folder is missing or empty, a picture has no label or is there twice, or the split has no labels.
    """
    if split == "trainval":
        both = (pair for each in ("train", "val") for pair in list_pairs(spec, each, root, labelled))
        # In some data sets train and val are the same pictures; each is taken once.
        return sorted({pair.image: pair for pair in both}.values())
    if spec.city_folds and spec.fold and split in ("train", "val"):
        return _fold_by_city(spec, split, root, labelled)
    files = spec.split(split)
    if labelled and not files.labelled:
        raise UserError(
            f"{spec.name} {split}: this split has no labels; use it as unlabelled target pictures, or choose "
            "another split"
        )
    pairs = _pairs_of(spec, split, files, root, labelled)
    if not pairs:
        lists = " or ".join(dict.fromkeys(str(root / layout.among) for layout in files.every_layout))
        raise UserError(f"{lists}: names none of the pictures in {root}; it should list {spec.name} {split}")
    if spec.declared and len(spec.splits) > 1:
        _refuse_overlap(spec, split, root, pairs)
    return pairs


def _pairs_of(spec: DatasetSpec, split: str, files: Split, root: Path, labelled: bool) -> list[Pair]:
    """The pairs of ``files``, which is the split called ``split`` or a part of it."""
    if files.parts:
        # Pictures of two parts may have the same name.
        of_parts = (
            pair._replace(name=f"{part.group or part.layouts[0].pictures}/{pair.name}", group=part.group)
            for part in files.parts
            for pair in _pairs_of(spec, split, part, root, labelled)
        )
        return sorted(of_parts)
    folders = _folders(_find_layout(spec, files, root, labelled), root)
    pairs = []
    for matched, layout in folders:
        of_folder = _pairs_in(spec, split, files, layout, root, labelled)
        pairs += (
            [pair._replace(name=f"{matched}/{pair.name}") for pair in of_folder] if matched else of_folder
        )
    return sorted(pairs)


def _pairs_in(
    spec: DatasetSpec, split: str, files: Split, layout: Layout, root: Path, labelled: bool
) -> list[Pair]:
    """The pairs in one folder of pictures."""
    folder = root / layout.pictures
    pictures = pictures_of(folder, layout, files, root, split, spec.lists_flag)
    if files.evenly is not None:
        pictures = evenly_spaced(pictures, files.evenly)
    if not pictures and layout.among:  # All pictures of the list may be in other parts of the split.
        return []
    if not pictures:
        raise UserError(f"{folder}: no pictures of {spec.name} {split} (*{layout.picture_suffixes[0]}) here")
    for (name, path), (next_name, next_path) in zip(pictures, pictures[1:], strict=False):
        if name == next_name:
            raise UserError(f"{folder}: {path} and {next_path} are the same picture twice; remove one")
    if not labelled:
        return [Pair(name, folder / path, None) for name, path in pictures]
    label_folder = root / layout.labels
    labels = set(files_below(label_folder))
    names = [(layout.label_of(name), Pair(name, folder / path, None)) for name, path in pictures]
    complete = [pair._replace(label=label_folder / label) for label, pair in names if label in labels]
    missing = [(label, pair) for label, pair in names if label not in labels]
    if not missing or (complete and spec.skips_unlabelled):
        return complete
    label, pair = missing[0]
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    remedy = "; pass --skip_unlabelled to leave such pictures out" if complete else ""
    beside = _beside(label, labels)
    raise UserError(f"{pair.image} has no label: {label_folder / label} does not exist{more}{beside}{remedy}")


def _folders(layout: Layout, root: Path) -> list[tuple[str, Layout]]:
    """The folders that the pattern of ``layout`` matches: (what its ``*`` stand for, layout of the folder).

    Without a pattern the only one is ("", ``layout``). A folder whose labels are elsewhere or absent is found
    later.
    """
    if not is_pattern(layout.pictures):
        return [("", layout)]
    regex = re.compile("([^/]*)".join(map(re.escape, layout.pictures.split("*"))))
    found = []
    for folder in sorted(root.glob(layout.pictures)):
        path = folder.relative_to(root).as_posix()
        if folder.is_dir() and (match := regex.fullmatch(path)):
            labels = layout.labels
            for number, words in enumerate(match.groups(), 1):
                labels = labels and labels.replace(f"{{{number}}}", words)
            found.append(("/".join(match.groups()), replace(layout, pictures=path, labels=labels)))
    return found


def is_pattern(pictures: str) -> bool:
    """Whether ``pictures`` of a layout stands for several folders."""
    return "*" in pictures


def _is_present(layout: Layout, root: Path) -> bool:
    """Whether the folder of pictures exists, or one that the pattern matches."""
    return bool(_folders(layout, root)) if is_pattern(layout.pictures) else (root / layout.pictures).is_dir()


def _refuse_overlap(spec: DatasetSpec, split: str, root: Path, pairs: Sequence[Pair]) -> None:
    """Raise a :class:`UserError` if a picture is in another split of a declared data set, too."""
    taken = {pair.image for pair in pairs}
    for other in spec.splits.keys() - {split}:
        try:
            others = _pairs_of(spec, other, spec.splits[other], root, labelled=False)
        except UserError:  # A split that is not used may be absent.
            continue
        if both := sorted(taken & {pair.image for pair in others}):
            raise UserError(
                f"{spec.declared['file']}: datasets.{spec.name}.splits: {len(both)} pictures are in both "
                f"{split} and {other}, first {both[0]}"
            )


def _beside(label: str, present: set[str]) -> str:
    """A hint for a missing ``label`` that names up to two of the ``present`` files of its picture, or ""."""
    stem = re.sub(r"_label\w*ids$", "", Path(label).with_suffix("").as_posix(), flags=re.IGNORECASE)
    starts = tuple(stem + end for end in "._-")
    others = sorted(path for path in present if path.startswith(starts))[:2]
    if not others:
        return ""
    return f"; files beside it that are no labels: {', '.join(path.rpartition('/')[2] for path in others)}"


def as_found(spec: DatasetSpec, split: str, root: Path) -> DatasetSpec:
    """``spec`` with the coding of the split's labels in ``root``, because a layout may have its own coding.

    Raises :class:`UserError` if train and val of "trainval" have different codings.
    """
    parts = ("train", "val") if split == "trainval" else (split,)
    layouts = [each for part in parts for each in _found_layouts(spec, spec.split(part), root)]
    codings = list(dict.fromkeys(layout.coding or spec.coding for layout in layouts))
    if len(codings) > 1:
        raise UserError(
            f"{root}: the labels of {' and '.join(parts)} of {spec.name} are stored in different codings "
            f"({' and '.join(each.name for each in codings)}); keep one form of the data set there"
        )
    return replace(spec, coding=codings[0])


def _found_layouts(spec: DatasetSpec, files: Split, root: Path) -> list[Layout]:
    """The layouts in which the labels of ``files`` are found."""
    if files.parts:
        return [layout for part in files.parts for layout in _found_layouts(spec, part, root)]
    return [_find_layout(spec, files, root, labelled=True)]


def left_out(spec: DatasetSpec, split: str, root: Path, pairs: Sequence[Pair]) -> str | None:
    """A line about the pictures that :func:`list_pairs` left out because they have no label, if any."""
    if not spec.skips_unlabelled:
        return None
    taken = {pair.image for pair in pairs}
    others = [pair.image for pair in list_pairs(spec, split, root, labelled=False) if pair.image not in taken]
    if not others:
        return None
    return f"{spec.name} {split}: {len(others)} pictures without a label are left out, first {others[0]}"


def evenly_spaced(items: Sequence[Any], count: int) -> list[Any]:
    """``count`` of the ``items`` at equal distances, beginning with the first; all if there are fewer."""
    count = min(count, len(items))
    return [items[place * len(items) // count] for place in range(count)]


def check_sizes(pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    """(width, height) of every picture, read from the file headers only.

    Raises :class:`UserError` for the first pair of different sizes, or the first unreadable file.
    """

    def size(pair: Pair) -> tuple[int, int]:
        image_size = read_size(pair.image)
        if pair.label is not None and (label_size := read_size(pair.label, "label")) != image_size:
            picture, label = ("x".join(map(str, each)) for each in (image_size, label_size))
            raise UserError(
                f"{pair.image} is {picture} but its label {pair.label} is {label}; remove the pair"
            )
        return image_size

    return threaded_map(size, pairs, threads=16)


def _fold_by_city(spec: DatasetSpec, split: str, root: Path, labelled: bool) -> list[Pair]:
    """The train or val pairs of another division (``--cv``), which divides by city.

    The cities form a ring: the official val cities, then the train cities. Val gets as many cities as in the
    official division, from ``fold / (city_folds + 1)`` of the way round on. Train gets the others.
    """
    official = replace(spec, fold=0)
    cities: dict[tuple[str, str], list[Pair]] = {}
    for part in ("val", "train"):
        for pair in list_pairs(official, part, root, labelled):
            city, folder, _ = pair.name.partition("/")
            if not folder:
                raise UserError(
                    f"--cv {spec.fold}: divides {spec.name} by the folders its pictures are in, but "
                    f"{pair.image} is in none; use --cv 0"
                )
            cities.setdefault((part, city), []).append(pair)
    every = list(cities)
    count = sum(part == "val" for part, _ in every)
    first = spec.fold * len(every) // (spec.city_folds + 1)
    val = {every[number % len(every)] for number in range(first, first + count)}
    return sorted(pair for city in every if (city in val) == (split == "val") for pair in cities[city])


def _find_layout(spec: DatasetSpec, files: Split, root: Path, labelled: bool) -> Layout:
    # Lists are used only if no split has a folder of its own, because they could name pictures that are in
    # the folder of another split.
    of_all_splits = [layout for split in spec.splits.values() for layout in split.every_layout]
    divided = any(_is_present(layout, root) for layout in of_all_splits if not layout.listed)
    flat = [layout for layout in files.layouts if layout.listed and not divided]
    folders = [layout for layout in files.layouts if not layout.listed]
    present = [layout for layout in folders if _is_present(layout, root)]
    present += [layout for layout in flat if holds_pictures(root / layout.pictures, layout)]
    if not present and spec.declared:
        raise UserError(
            f'{spec.declared["file"]}: datasets.{spec.name}: pictures = "{files.layouts[0].pictures}" is no '
            f"folder in {root}"
        )
    if not present:
        places = " or ".join(dict.fromkeys(str(root / layout.pictures) for layout in folders))
        missing = [f"{places}: no such folder; it should hold the pictures"] if folders else []
        missing += [
            f"{root / layout.pictures}: holds no pictures itself, outside of folders" for layout in flat
        ]
        raise UserError(", ".join(missing))
    complete = [
        layout
        for layout in present
        if not labelled or all((root / each.labels).is_dir() for _, each in _folders(layout, root))
    ]
    if not complete:
        places = " or ".join(dict.fromkeys(str(root / layout.labels) for layout in present))
        raise UserError(
            f"{places}: no such folder; it should hold the labels of {root / present[0].pictures}"
        )
    if not labelled or len(complete) == 1:
        return complete[0]
    # Layouts of the same folders differ in the names of their labels.
    return next((layout for layout in complete if _has_labels(layout, root)), complete[0])


def _has_labels(layout: Layout, root: Path) -> bool:
    """Whether a file in the folders of labels has a name like the labels of ``layout``."""
    return any(
        path.endswith(layout.label_suffix)
        for _, each in _folders(layout, root)
        for path in files_below(root / each.labels)
    )
