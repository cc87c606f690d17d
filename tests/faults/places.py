"""Rows: names, links, permissions and folders."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.spoiling import SPOILT
from tests.faults.table import COPIES, Place, Row, as_it_is
from tests.inference import save, street

NAMES, LINKS, ROOTS, RIGHTS = "hostile names", "links", "wrong roots", "missing permissions"
# Names that a file system allows: a line break, an escape of the terminal, no UTF-8, what looks like a flag.
_HOSTILE = {
    "a line break": "new\nline",
    "an escape sequence": "red\x1b[31m",
    "no UTF-8": os.fsdecode(b"caf\xe9"),
    "a flag": "--output",
    "spaces and quotes": " a  'b' \"c\" ",
    "braces and percents": "{0} %s $HOME",
    "200 letters": "n" * 200,
}


def _named(stem: str, spoil: bool) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        path = save(street(), place.root / "in" / f"{stem}.png")
        if spoil:
            SPOILT["empty"](path)

    return make


def _in_dataset(stem: str, spoil: bool) -> Callable[[Place], None]:
    """Data whose first validation pair is called ``stem``."""

    def make(place: Place) -> None:
        for path in place.pair()[1:3]:
            named = path.rename(path.with_stem(stem))
            if spoil and named.is_relative_to(place.dataset() / "images"):
                SPOILT["cut in half"](named)

    return make


def _result(stem: str) -> Callable[[Place], None]:
    def right(place: Place) -> None:
        assert place.written() == {f"trainids/{stem}.png"}

    return right


def _scored(place: Place) -> None:
    assert place.written() == {"scores.json"}


def _names() -> Iterator[Row]:
    for what, stem in _HOSTILE.items():
        shown = ascii(stem)[1:-1] if not stem.isprintable() else stem
        right = _result(stem)
        yield Row(NAMES, f"a picture's name has {what}", "infer.py", make=_named(stem, False), right=right)
        make, words = _named(stem, True), (shown, "remove")
        yield Row(NAMES, f"the name of a broken picture has {what}", "infer.py", "", words, make)
    for what in ("a line break", "no UTF-8"):
        stem = _HOSTILE[what]
        make = _in_dataset(stem, False)
        yield Row(NAMES, f"a val picture's name has {what}", "valid.py", make=make, right=_scored)
        words, make = (ascii(stem)[1:-1], "remove"), _in_dataset(stem, True)
        for workers in (0, 1):
            what_for = f"the name of a broken val picture has {what}, --num_workers {workers}"
            yield Row(NAMES, what_for, "valid.py", f"--num_workers {workers}", words, make)
    for flag, program in (("--exp", "train.py"), ("--date", "train.py"), ("--mod", "infer.py")):
        words = (f"{flag} ../up", "inside")
        yield Row(NAMES, f"{flag} leads out of its folder", program, f"{flag} ../up", words)
    yield Row(NAMES, "--exp is an absolute path", "train.py", "--exp {root}/up", ("--exp", "inside"))
    yield Row(
        NAMES,
        "a list of pictures leads out of its folder",
        "valid.py",
        "--gtav_split {root}/lists",
        ("../../../etc/passwd", "absent"),
        make=_flat("../../../etc/passwd"),
    )
    flags, words = "--gtav_split {root}/lists --cv 1", ("--cv 1", "in none", "--cv 0")
    for program in ("scripts.prepare", "scripts.check"):
        yield Row(ROOTS, "two divisions at once", program, flags, words, _flat())


def _flat(listed: str | None = None) -> Callable[[Place], None]:
    """Data in one folder, with a list of its validation pictures, or of what is ``listed``."""

    def make(place: Place) -> None:
        _flatten(place.dataset())
        ids = listed or "\n".join(path.stem for path in (place.dataset() / "images").glob("*.png"))
        (place.root / "lists").mkdir()
        (place.root / "lists" / "gtav_val.txt").write_text(ids)

    return make


def _flatten(data: Path) -> None:
    for part in ("images", "labels"):
        for path in [*(data / part / "valid").rglob("*.png")]:
            path.rename(data / part / path.name)
        for split in ("train", "valid"):
            shutil.rmtree(data / part / split)


def _links() -> Iterator[Row]:
    def loop(place: Place) -> None:
        as_it_is(place)
        (place.root / "in" / "again").symlink_to(place.root / "in")
        (place.dataset() / "images" / "valid" / "again").symlink_to(place.dataset() / "images" / "valid")

    def root_loop(place: Place) -> None:
        (place.data / "gtav").symlink_to("gtav")
        (place.root / "in" / "loop").symlink_to("loop")

    right = _result("street")
    yield Row(LINKS, "a folder holds a link to itself", "infer.py", make=loop, right=right)
    yield Row(LINKS, "a folder holds a link to its parent", "valid.py", make=loop, right=_scored)
    yield Row(LINKS, "the data set is a link to itself", "valid.py", "", ("gtav", "--data_root"), root_loop)
    flags = "--input {in}/loop"
    yield Row(LINKS, "the input is a link to itself", "infer.py", flags, ("in/loop", "no such"), root_loop)

    def results_elsewhere(place: Place) -> None:
        as_it_is(place)
        (place.out / "trainids").symlink_to(place.root / "data")

    words = ("trainids", "symbolic link", "another --output")
    yield Row(
        LINKS,
        "results would go through a link",
        "infer.py",
        "",
        words,
        results_elsewhere,
        leaves=("trainids",),
    )


def _without(*folders: str) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        for folder in folders:
            shutil.rmtree(place.dataset() / folder)

    return make


def _emptied(folder: str) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        for path in (place.dataset() / folder).rglob("*.png"):
            path.unlink()

    return make


def _file_for_folder(place: Place) -> None:
    place.dataset()
    (place.data / "file").write_text("")
    (place.data / "cityscapes").write_text("")


def _nothing(place: Place) -> None:
    """No data at all."""


def _roots() -> Iterator[Row]:
    for program in ("train.py", "valid.py", "scripts.check", "scripts.importance", "scripts.prepare"):
        flags = "--data_root {root}/nowhere"
        yield Row(ROOTS, "no such folder", program, flags, ("nowhere", "no such folder"))
        words = ("has no folder gtav", "--data_root", "GTAV_DIR")
        yield Row(ROOTS, "an empty folder", program, "", words, _nothing)
        words = ("data/file", "no such folder")
        yield Row(ROOTS, "a file", program, "--data_root {data}/file", words, _file_for_folder)
    words = ("has no folder gtav", "give the folder that it is in")
    yield Row(ROOTS, "the data set itself for its parent", "valid.py", "--data_root {data}/gtav", words)
    flags, words = "--val_dataset cityscapes", ("has no folder cityscapes", "--data_root")
    yield Row(ROOTS, "a file for a data set", "valid.py", flags, words, _file_for_folder)
    yield Row(ROOTS, "no pictures' folder", "valid.py", "", ("images/valid", "no such"), _without("images"))
    yield Row(ROOTS, "no labels' folder", "train.py", "", ("labels/train", "no such"), _without("labels"))
    yield Row(ROOTS, "no pictures", "train.py", "", ("images/train", "no pictures"), _emptied("images/train"))
    yield Row(ROOTS, "no labels", "train.py", "", ("labels/train", "has no label"), _emptied("labels/train"))
    yield Row(ROOTS, "an unknown data set", "scripts.check", "--dataset atlantis", ("atlantis", "gtav"))
    yield Row(ROOTS, "an unknown data set", "scripts.prepare", "--dataset atlantis", ("atlantis", "gtav"))
    yield Row(ROOTS, "an unknown data set", "valid.py", "--val_dataset atlantis", ("atlantis", "gtav"))
    yield Row(ROOTS, "no such input", "infer.py", "--input {root}/nowhere", ("--input", "nowhere"))
    yield Row(ROOTS, "an empty input folder", "infer.py", "", ("in: no picture or video", ".png"), _nothing)
    words = ("in: no picture or video", "1 in all: notes.txt")
    yield Row(ROOTS, "an input folder without a picture", "infer.py", "", words, _text_input)
    words = ("notes.txt", "cannot be read")
    yield Row(ROOTS, "the input is a text file", "infer.py", "--input {in}/notes.txt", words, _text_input)
    for program, flag in (
        ("infer.py", "--output"),
        ("train.py", "--ckpt"),
        ("scripts.report", "--output"),
        ("scripts.prepare", "--output"),
    ):
        words = (flag, "out/file")
        yield Row(
            ROOTS, f"{flag} is a file", program, f"{flag} {{out}}/file", words, _output_file, leaves=("file",)
        )
    yield Row(ROOTS, "--output is a folder", "valid.py", "--output {out}", ("--output", "cannot be written"))
    flags = "{root}/nowhere --output {out}"
    yield Row(ROOTS, "a run that is not there", "scripts.report", flags, ("nowhere", "finished"), alone=True)
    words = ("city", "was not made by the toy city", "another --root")
    flags = "--root {out}"
    yield Row(
        ROOTS, "a folder of somebody else", "datasets.toycity", flags, words, _foreign_gtav, leaves=("gtav/",)
    )
    words, left = ("gtav/val", "holds other files", "another folder"), ("copies/gtav/val/mine.txt",)
    yield Row(ROOTS, "a folder of somebody else", "scripts.prepare", "", words, _foreign_copies, leaves=left)
    yield Row(
        ROOTS,
        "copies made otherwise",
        "scripts.prepare",
        "",
        ("--quality 80", "--overwrite"),
        _noted('{"quality": 80, "height": null}'),
        leaves=COPIES,
    )
    for what, note in (
        ("half a note of how copies were made", '{"qual'),
        ("a foreign note", '{"colour": 1}'),
    ):
        words, make = ("settings.json", "remove"), _noted(note)
        yield Row(ROOTS, what, "scripts.prepare", "", words, make, leaves=COPIES)
    words = ("--root",)
    yield Row(ROOTS, "--root is below a file", "datasets.toycity", "--root /dev/null/x", words)
    yield Row(
        ROOTS, "--json is a folder", "scripts.benchmark", "--json {out}", ("--json", "cannot be written")
    )


def _text_input(place: Place) -> None:
    (place.root / "in" / "notes.txt").write_text("no picture")


def _output_file(place: Place) -> None:
    as_it_is(place)
    (place.out / "file").write_text("")


def _foreign_copies(place: Place) -> None:
    as_it_is(place)
    folder = place.out / "copies" / "gtav" / "val"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("")


def _noted(note: str) -> Callable[[Place], None]:
    """A folder of copies that says so of how they were made."""

    def make(place: Place) -> None:
        as_it_is(place)
        folder = place.out / "copies" / "gtav" / "val"
        folder.mkdir(parents=True)
        (folder / "settings.json").write_text(note)

    return make


def _foreign_gtav(place: Place) -> None:
    (place.out / "gtav").mkdir()
    (place.out / "gtav" / "mine.txt").write_text("")


def _rights() -> Iterator[Row]:
    def closed(path: Callable[[Place], Path], mode: int = 0) -> Callable[[Place], None]:
        def make(place: Place) -> None:
            as_it_is(place)
            path(place).chmod(mode)

        return make

    for program in ("train.py", "valid.py", "scripts.check", "scripts.prepare"):
        make = closed(lambda place: place.pair().image)
        yield Row(
            RIGHTS, "a picture", program, "", ("images/valid", "Permission denied"), make, unprivileged=True
        )
        make = closed(lambda place: place.pair().label)
        yield Row(
            RIGHTS, "a label", program, "", ("labels/valid", "Permission denied"), make, unprivileged=True
        )
    make = closed(lambda place: place.picture)
    yield Row(
        RIGHTS, "a picture", "infer.py", "", ("street.png", "Permission denied"), make, unprivileged=True
    )
    make = closed(lambda place: place.root / "in")
    yield Row(
        RIGHTS, "the input folder", "infer.py", "", ("in", "Permission denied"), make, unprivileged=True
    )
    make = closed(lambda place: place.dataset() / "images" / "valid")
    yield Row(
        RIGHTS,
        "the pictures' folder",
        "valid.py",
        "",
        ("images/valid", "Permission denied"),
        make,
        unprivileged=True,
    )
    make = closed(lambda place: place.dataset())
    yield Row(RIGHTS, "the data set's folder", "valid.py", "", ("data/gtav",), make, unprivileged=True)
    make = closed(lambda place: place.data)
    yield Row(RIGHTS, "the data sets' folder", "valid.py", "", ("data",), make, unprivileged=True)
    make = closed(lambda place: place.out, 0o500)
    for program, flag in (
        ("train.py", "--ckpt"),
        ("valid.py", "--output"),
        ("infer.py", "out"),
        ("scripts.importance", "--output"),
        ("scripts.prepare", "--output"),
        ("datasets.toycity", "--root"),
        ("scripts.report", "--output"),
        ("scripts.benchmark", "--json"),
    ):
        yield Row(RIGHTS, "to write the results", program, "", (flag,), make, unprivileged=True)


ROWS = [*_names(), *_links(), *_roots(), *_rights()]
