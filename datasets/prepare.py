"""Copy data sets once into a form that is faster to train from: ``python -m datasets.prepare``.

Labels become train ids, pictures are not compressed, or as JPEG, and resized once if asked for; the originals
stay as they are. Then ``train.py --prepared DIR``. Killed half way it goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from config import DATASET_ROOTS
from datasets.catalog import CATALOG, DatasetSpec
from datasets.domains import divided_spec
from datasets.flags import add_division_arguments
from datasets.pairing import Pair, check_sizes, list_pairs
from datasets.prepared import SETTINGS_FILE, Settings, copy_of, folder_of, read_settings, write_copy
from datasets.roots import resolve_root
from utils.errors import Parser, UserError, run_program
from utils.files import atomic_write
from utils.progress import progress_bar

# What this program makes, and what it leaves when it is killed.
_OURS = re.compile(r".*\.[0-9a-f]{16}\.(ppm|jpg|png)$|\.writing-")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the splits named on the command line."""
    parser = Parser(
        prog="python -m datasets.prepare",
        description=__doc__.partition(":")[0],
    )
    parser.add_argument("--dataset", nargs="+", required=True, metavar="NAME", help=", ".join(CATALOG))
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="where to; made if need be")
    parser.add_argument("--data_root", metavar="DIR", help="folder of all data sets, each in DIR/<name>")
    parser.add_argument(
        "--split",
        default="train",
        choices=["train", "val", "trainval"],
        help="which pictures (default train)",
    )
    add_division_arguments(parser)
    parser.add_argument(
        "--quality",
        type=int,
        help="pictures as JPEG of this quality, 1 to 100, colours at full size: small, but not what they "
        "were (default: not compressed, nothing lost)",
    )
    parser.add_argument(
        "--height",
        type=int,
        help="resize pictures and labels to this height, which training counts as scale 1 (default: as is)",
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="default: one per core")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(arguments)
    check_options(options)
    settings = Settings(options.quality, options.height)
    for name in options.dataset:
        spec = divided_spec(name, options.cv, options.gtav_split)
        root = resolve_root(spec, options.data_root, DATASET_ROOTS)
        copies = prepare(spec, options.split, root, options.output, settings, options.processes)
        size = sum(path.stat().st_size for copy in copies for path in (copy.image, copy.label))
        done = f"{len(copies)} pictures and labels in {options.output}, {size / 1e9:.2f} GB"
        print(f"{spec.name} {options.split}: {done}", flush=True)
    return 0


def check_options(options: argparse.Namespace) -> None:
    """Raise a UserError for numbers that make no sense."""
    for name, least, greatest in (("quality", 1, 100), ("height", 1, None), ("processes", 1, None)):
        value = getattr(options, name)
        if value is not None and (value < least or (greatest is not None and value > greatest)):
            limits = f"from {least} to {greatest}" if greatest else f"{least} or more"
            raise UserError(f"--{name} {value}: must be {limits}")


def prepare(
    spec: DatasetSpec, split: str, root: Path, output: Path, settings: Settings, processes: int = 1
) -> list[Pair]:
    """Make what is missing of the copies of one split, remove those out of date, and return all.

    Raises:
        UserError: naming the setting, folder or file that is wrong.
    """
    pairs = list_pairs(spec, split, root)
    check_sizes(pairs)
    folder = folder_of(output, spec, split)
    if read_settings(folder) is None and any(folder.glob("[!.]*")):
        raise UserError(f"--output {output}: {folder} holds other files; name another folder")
    with atomic_write(folder / SETTINGS_FILE) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(settings)))
    copies = [copy_of(pair, folder, settings, spec.coding) for pair in pairs]
    remove_others(folder, copies)
    work = partial(_write, settings=settings, spec=spec)
    with ProcessPoolExecutor(processes) as executor:
        try:
            done = executor.map(work, pairs, copies, chunksize=4)
            for _ in progress_bar(done, total=len(pairs), desc=f"{spec.name} {split}", unit="picture"):
                pass
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
    return copies


def _write(pair: Pair, copy: Pair, settings: Settings, spec: DatasetSpec) -> None:
    write_copy(pair, copy, settings, spec.coding)


def remove_others(folder: Path, copies: Iterable[Pair]) -> None:
    """Remove what this program made in ``folder`` but for ``copies``."""
    wanted = {path for copy in copies for path in (copy.image, copy.label)}
    for part in ("pictures", "labels"):
        for path in list((folder / part).rglob("*")):
            if path not in wanted and _OURS.match(path.name) and path.is_file():
                path.unlink()


if __name__ == "__main__":
    run_program(main)
