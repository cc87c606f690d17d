"""Class lists and data sets that a user declares in a TOML file (``--catalog``); see docs/own-data.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from datasets.definitions import codings
from datasets.definitions.catalog_entry import Entry
from datasets.definitions.label_coding import LabelCoding, train_id_coding
from datasets.definitions.spec import DatasetSpec, Layout, Split
from utils.errors import UserError, closest
from utils.files import read_toml
from utils.scoring.classes import CITYSCAPES, ClassList, Colour, spread_colours

CODINGS = {
    "cityscapes": codings.CITYSCAPES_IDS,
    "gtav": codings.GTAV,
    "synthia": codings.SYNTHIA,
    "mapillary": codings.MAPILLARY,
    "bdd100k_ids": codings.BDD100K_IDS,
    "camvid": codings.CAMVID,
    "camvid_32": codings.CAMVID_32,
    "idd": codings.IDD_IDS,
    "wilddash2": codings.WILDDASH2,
    "train_ids": codings.TRAIN_IDS,
}
"""Published codings that ``labels = "NAME"`` may name."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
MOST_CLASSES = 255
IGNORED = "ignored"
NAME = re.compile(r"[\w-]+")


@dataclass
class Catalog:
    """Class lists and data sets by their names."""

    classes: dict[str, ClassList] = field(default_factory=dict)
    datasets: dict[str, DatasetSpec] = field(default_factory=dict)


def read_catalog(file: Path, shipped: Mapping[str, DatasetSpec], known: Catalog) -> None:
    """Add what the TOML ``file`` declares to ``known``, which holds what files before it declared.

    Raises :class:`UserError` with the file and the key that is wrong.
    """
    try:
        content = Entry(file, "", read_toml(file), ("classes", "datasets"))
    except (OSError, ValueError) as error:
        raise UserError(f"--catalog {file}: cannot be read ({error}); give a TOML file") from None
    declared = content.table("classes")
    for name in declared.content:
        if name == CITYSCAPES.name or name in known.classes:
            declared.fail(name, "is the name of another list of classes; choose another name")
        known.classes[name] = _class_list(declared.table(name, ("names", "colours")), name)
    declared = content.table("datasets")
    for name in declared.content:
        if not NAME.fullmatch(name):
            declared.fail(name, "a data set's name has letters, digits, - and _ alone")
        if name in shipped or name in known.datasets:
            declared.fail(name, "is the name of another data set; choose another name")
        entry = declared.table(name, (*OWN_KEYS, "like"))
        others = {**shipped, **known.datasets}
        make = _like if "like" in entry.content else _own
        dataset = make(entry, name, others, {CITYSCAPES.name: CITYSCAPES, **known.classes})
        root = entry.text("root")
        facts = {"file": str(file), "table": entry.content}
        folder = file.resolve().parent / Path(root).expanduser() if root else dataset.root
        known.datasets[name] = replace(dataset, root=folder, declared=facts)


OWN_KEYS = ("classes", "map", "root", "labels", "colours", "palette", "others", "splits")
LIKE_KEYS = ("like", "classes", "map", "root")
SPLIT_KEYS = ("pictures", "label", "suffix", "group", "only", "without")


def _class_list(entry: Entry, name: str) -> ClassList:
    names = entry.texts("names")
    for each in names:
        if names.count(each) > 1:
            entry.fail("names", f'names "{each}" twice')
        if each == IGNORED:
            entry.fail("names", f'"{IGNORED}" is what pixels without a class are called; choose another name')
    if not 2 <= len(names) <= MOST_CLASSES:
        entry.fail("names", f"names {len(names)} classes; a list has 2 to {MOST_CLASSES}")
    if "colours" not in entry.content:
        return ClassList(name, tuple(names), spread_colours(len(names)))
    colours = entry.colours("colours")
    if len(colours) != len(names):
        entry.fail("colours", f"has {len(colours)} colours for {len(names)} names")
    if twice := [colour for colour in colours if colours.count(colour) > 1]:
        entry.fail("colours", f"has {list(twice[0])} twice")
    return ClassList(name, tuple(names), tuple(colours))


def _class_map(entry: Entry, names: Sequence[str] | None, to: ClassList) -> dict[str, str]:
    """``map``: name of a class in the labels -> name of a class of ``to``, or "ignored"."""
    given = entry.table("map")
    for name in given.content:
        target = given.text(name)
        if target not in (*to.names, IGNORED):
            given.fail(name, f'"{target}" is no class of {to.name}{closest(target, to.names)}')
        if names is not None and name not in names:
            given.fail(name, f"is no class of the labels{closest(name, names)}")
    return dict(given.content)


def _classes_of(entry: Entry, lists: Mapping[str, ClassList], default: ClassList) -> ClassList:
    name = entry.text("classes", default.name)
    if name not in lists and name != default.name:
        entry.fail("classes", f'"{name}" is no list of classes; known are {", ".join(lists)}')
    return lists.get(name, default)


def _like(
    entry: Entry, name: str, others: Mapping[str, DatasetSpec], lists: Mapping[str, ClassList]
) -> DatasetSpec:
    """Another data set, with other classes or in another folder."""
    Entry(entry.file, entry.path, entry.content, LIKE_KEYS)
    like = entry.text("like")
    if like not in others:
        entry.fail("like", f'"{like}" is no data set{closest(like, others)}')
    other = others[like]
    to = _classes_of(entry, lists, other.classes)
    if to == other.classes:
        if "map" in entry.content:
            entry.fail("map", f'needs classes = "...", a list that is not {to.name}')
        return replace(other, name=name)
    mapped = _class_map(entry, other.classes.names, to)

    def in_classes(split: Split) -> Split:
        layouts = (
            replace(layout, coding=_mapped(layout.coding, to, mapped)) if layout.coding else layout
            for layout in split.layouts
        )
        return replace(split, layouts=tuple(layouts), parts=tuple(map(in_classes, split.parts)))

    return replace(
        other,
        name=name,
        splits={each: in_classes(split) for each, split in other.splits.items()},
        folds=tuple({each: in_classes(split) for each, split in fold.items()} for fold in other.folds),
        coding=_mapped(other.coding, to, mapped),
        class_sets=(to.whole,),
        class_shares=None,
    )


def _mapped(coding: LabelCoding, to: ClassList, names: Mapping[str, str]) -> LabelCoding:
    """``coding`` with the classes of ``to``: those that ``names`` says, else those of the same name.

    Other classes are ignored.
    """

    def train_id(old: int) -> int | None:
        name = names.get(coding.of.names[old], coding.of.names[old])
        return to.names.index(name) if name in to.names else None

    values: dict[int, tuple[int, ...]] = {}
    colours: dict[int, tuple[Colour, ...]] = {}
    ignored, ignored_colours = list(coding.ignored), list(coding.ignored_colours)
    for old, of_class in coding.classes.items():
        if (new := train_id(old)) is None:
            ignored += of_class
        else:
            values[new] = (*values.get(new, ()), *of_class)
    for colour, old in coding.colours.items():
        new = train_id(old) if old < len(coding.of) else None
        if new is None:
            ignored_colours.append(colour)
        else:
            colours[new] = (*colours.get(new, ()), colour)
    return replace(
        coding,
        name=f"{coding.name} as {to.name}",
        classes=values,
        ignored=tuple(ignored),
        ignored_colours=tuple(ignored_colours),
        class_colours=colours,
        of=to,
    )


def _own(
    entry: Entry, name: str, others: Mapping[str, DatasetSpec], lists: Mapping[str, ClassList]
) -> DatasetSpec:
    """A data set of the user's own."""
    Entry(entry.file, entry.path, entry.content, OWN_KEYS)
    of = _classes_of(entry, lists, CITYSCAPES)
    splits = entry.table("splits")
    if not splits.content:
        entry.fail("splits", 'is missing; write train = { pictures = "...", label = ".../{name}.png" }')
    for split in splits.content:
        if not NAME.fullmatch(split) or split == "trainval":
            splits.fail(split, "a split is called train, val, test or by letters and digits")
    files = {split: _split(splits, split) for split in splits.content}
    return DatasetSpec(name, name, files, _coding(entry, name, of), (of.whole,))


def _coding(entry: Entry, name: str, of: ClassList) -> LabelCoding:
    """How the labels are coded: ``labels``, ``colours``, ``palette`` and ``others``."""
    options = {
        "ignores_others": entry.one_of("others", ("error", IGNORED), "error") == IGNORED,
        "reads_indices": entry.one_of("palette", ("colours", "indices"), "colours") == "indices",
    }
    if isinstance(entry.content.get("labels"), str):
        published = CODINGS[entry.one_of("labels", tuple(CODINGS), "")]
        mapped = _class_map(entry, published.of.names, of)
        coding = published if of == published.of and not mapped else _mapped(published, of, mapped)
        return replace(coding, **options)
    if not {"labels", "colours"} & entry.content.keys():
        if "map" in entry.content:
            entry.fail("map", "needs labels or colours, which name classes")
        own = codings.TRAIN_IDS if of == CITYSCAPES else train_id_coding(of)
        options["reads_indices"] |= own.reads_indices and "palette" not in entry.content
        return replace(own, **options)
    tables = entry.table("labels"), entry.table("colours")
    written = dict.fromkeys(key for table in tables for key in table.content)
    mapped = _class_map(entry, tuple(written), of)

    def by_class(table: Entry, read: Any) -> dict[int | None, tuple[Any, ...]]:
        found: dict[int | None, tuple[Any, ...]] = {}
        seen: dict[Any, str] = {}
        for key in table.content:
            target = mapped.get(key, key)
            if target not in (*of.names, IGNORED):
                table.fail(key, f"is no class of {of.name}, nor in map{closest(target, of.names)}")
            for item in read(table)(key):
                if item in seen:
                    shown = list(item) if isinstance(item, tuple) else item
                    table.fail(key, f"{shown} is already that of {seen[item]}")
                seen[item] = key
            number = None if target == IGNORED else of.names.index(target)
            found[number] = (*found.get(number, ()), *read(table)(key))
        return found

    values = by_class(tables[0], lambda table: table.values)
    colours = by_class(tables[1], lambda table: table.colours)
    largest = max((value for each in values.values() for value in each), default=0)
    return LabelCoding(
        name,
        {number: each for number, each in values.items() if number is not None},
        values.get(None, ()),
        16 if largest > 255 else 8,
        ignored_colours=colours.get(None, ()),
        class_colours={number: each for number, each in colours.items() if number is not None},
        of=of,
        **options,
    )


def _split(splits: Entry, name: str) -> Split:
    """One split: a table, or a list of tables whose pictures together are the split."""
    content = splits.content[name]
    parts = content if isinstance(content, list) else [content]
    if not parts:
        splits.fail(name, "is empty; write at least one table")
    read = []
    for number, part in enumerate(parts, 1):
        path = f"{splits.path}.{name}" + (f"[{number}]" if isinstance(content, list) else "")
        read.append(_part(Entry(splits.file, path, part, SPLIT_KEYS)))
    if len({part.labelled for part in read}) > 1:
        splits.fail(name, "some of its tables have a label and some have none")
    return read[0] if len(read) == 1 and not read[0].group else Split(parts=tuple(read))


def _part(entry: Entry) -> Split:
    pictures, label = entry.text("pictures"), entry.text("label")
    if not pictures:
        entry.fail("pictures", "is missing; write the folder of the pictures")
    if "**" in pictures:
        entry.fail("pictures", "folders below are searched anyway; write the folder, or * for one level")
    layout = {"labels": None}
    if label is not None:
        folder, _, file = label.rpartition("/")
        prefix, found, suffix = file.partition("{name}")
        if not found or "{name}" in (folder + suffix):
            entry.fail(
                "label", f'"{label}" should end in a file with {{name}} in it, as "masks/{{name}}.png"'
            )
        for number in re.findall(r"\{(.*?)\}", folder):
            if not number.isdecimal() or not 1 <= int(number) <= pictures.count("*"):
                entry.fail("label", f'"{{{number}}}" stands for no * of pictures = "{pictures}"')
        layout = {"labels": folder or ".", "label_prefix": prefix, "label_suffix": suffix}
    suffixes = tuple(entry.texts("suffix")) if "suffix" in entry.content else PICTURE_SUFFIXES
    patterns = {key: entry.text(key, "") for key in ("only", "without")}
    for key, pattern in patterns.items():
        try:
            re.compile(pattern)
        except re.error as error:
            entry.fail(key, f"is no regular expression ({error})")
    group = entry.text("group", "")
    return Split(
        (Layout(pictures.rstrip("/"), picture_suffixes=suffixes, **layout),), **patterns, group=group
    )
