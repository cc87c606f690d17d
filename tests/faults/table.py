"""What a row of the table of bad inputs is, and the place that its program runs in."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from datasets.definitions.catalog import spec
from datasets.files.pairing import Pair, list_pairs
from tests.programs import TRAIN


@dataclass(frozen=True)
class Place:
    """A folder of its own for one row.

    ``root``/in holds pictures for infer.py, ``root``/data the data sets, and ``root``/out what the program
    writes. ``city`` is a toy city and ``checkpoints`` a folder of checkpoints, which nobody may change.
    """

    root: Path
    city: Path
    checkpoints: Path

    def __post_init__(self) -> None:
        for name in ("in", "data", "out"):
            (self.root / name).mkdir()

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def out(self) -> Path:
        return self.root / "out"

    def dataset(self, name: str = "gtav") -> Path:
        """A data set below ``data``, copied from the toy city at the first call."""
        folder = self.data / name
        if not folder.exists():
            shutil.copytree(self.city / name, folder)
        return folder

    def pair(self, split: str = "val", name: str = "gtav") -> Pair:
        """The first picture of a split, and its label."""
        return list_pairs(spec(name), split, self.dataset(name))[0]

    @cached_property
    def picture(self) -> Path:
        """A picture for infer.py, the only one in ``root``/in."""
        return Path(shutil.copy(self.pair().image, self.root / "in" / "street.png"))

    def words(self, flags: str) -> list[str]:
        """Words of a command line; {in}, {data}, {out}, {root} and {checkpoints} are the folders' names."""
        folders = {name: self.root / name for name in ("in", "data", "out")}
        return [
            word.format(root=self.root, checkpoints=self.checkpoints, **folders) for word in flags.split()
        ]

    def written(self) -> set[str]:
        """Every file that the program left below ``out``; what it learnt of the labels does not count."""
        files = (path.relative_to(self.out) for path in self.out.rglob("*") if not path.is_dir())
        return {file.as_posix() for file in files if file.parts[0] != "cache"}


TOYCITY_RUNS = Path(__file__).resolve().parents[2] / "experiments" / "toycity.toml"
# Program -> flags that make it do a little work, and end well, on what a place holds.
PROGRAMS: dict[str, str] = {
    "train.py": f"{' '.join(TRAIN)} --data_root {{data}} --ckpt {{out}} --max_iter 1",
    "valid.py": "--snapshot {checkpoints}/tiny.pth --data_root {data} --val_dataset gtav --num_workers 0 "
    "--evaluation_height 32 --output {out}/scores.json",
    "infer.py": "--snapshot {checkpoints}/tiny.pth --input {in} --output {out} --save trainids",
    "scripts.check": "--dataset gtav --data_root {data} --pictures --threads 1",
    "scripts.importance": "--snapshot {checkpoints}/tiny.pth --dataset gtav --split val --data_root {data} "
    "--num_workers 0 --output {out}/weights.json",
    "scripts.prepare": "--dataset gtav --split val --data_root {data} --output {out}/copies --processes 1",
    "datasets.toycity": "--root {out}/city --train 1 --val 1 --size 32x64 --processes 1",
    "scripts.report": "{checkpoints}/run --data_root {data} --evaluation_height 32 --pictures 1 --hardest 0 "
    "--output {out}",
    "scripts.experiments": f"{TOYCITY_RUNS} --ckpt {{out}} --dry_run",
    "scripts.benchmark": "losses --backbone mobilenet_v2 --crop_size 64 --repeats 1 --json {out}/bench.json",
    "network.legacy": "",
}


# What a run has written by the time it meets a file that is only read then.
RUN = ("default/tiny/",)
# Copies of what is not bad; those of one run are not made again by the next.
COPIES = ("copies/gtav/val/",)


def as_it_is(place: Place) -> None:
    """Data and a picture that nothing is wrong with."""
    place.dataset()
    assert place.picture.is_file()


@dataclass(frozen=True)
class Row:
    """One input.

    Attributes:
        category: of the summary.
        what: is wrong with it, or odd about it.
        program: one of :data:`PROGRAMS`.
        flags: after those of :data:`PROGRAMS`, which they override.
        words: that the one line on stderr has to hold.
        make: puts the input in place.
        right: of an input that is legal though odd, says whether what came out is right; it is an error
            without.
        leaves: how files below ``out`` begin that an error may leave: results of what is not bad.
        unprivileged: it takes somebody who is not root to see it.
        slow: one of many alike, which runs with --faults only.
        alone: the flags of :data:`PROGRAMS` are left out.
    """

    category: str
    what: str
    program: str
    flags: str = ""
    words: tuple[str, ...] = ()
    make: Callable[[Place], None] = as_it_is
    right: Callable[[Place], None] | None = None
    leaves: tuple[str, ...] = ()
    unprivileged: bool = False
    slow: bool = False
    alone: bool = False

    @property
    def name(self) -> str:
        return f"{self.program}: {self.what}"

    def command_line(self, place: Place) -> list[str]:
        return place.words(self.flags if self.alone else f"{PROGRAMS[self.program]} {self.flags}")
