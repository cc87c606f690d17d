"""Copy data sets once into a form that is faster to train from: ``python -m scripts.prepare``.

Labels become train ids, pictures are not compressed, or as JPEG, and resized once if asked for; the originals
stay as they are. Then ``train.py --prepared DIR``. Killed half way it goes on where it was. Copies of other
pictures, as another ``--cv`` or ``--gtav_split`` has them, stay beside the new ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from config import DATASET_ROOTS
from datasets.definitions.catalog import CATALOG
from datasets.definitions.spec import DatasetSpec
from datasets.domains import divided_spec
from datasets.files.pairing import Pair, as_found, check_sizes, left_out, list_pairs
from datasets.files.parallel import in_processes
from datasets.files.prepared import SETTINGS_FILE, Settings, copy_of, folder_of, read_settings, write_copy
from datasets.files.roots import resolve_root
from datasets.flags import add_division_arguments, add_skip_argument
from utils.errors import Parser, UserError, run_program
from utils.files import HALF_WRITTEN, check_writable, write_json
from utils.lock import lock_folder

# A copy, by the name of its pair.
_COPY = re.compile(r"(.*)\.[0-9a-f]{16}\.(ppm|jpg|png)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the splits named on the command line."""
    parser = Parser(
        prog="python -m scripts.prepare",
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
    add_skip_argument(parser)
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
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="remove the split's copies made with another --quality or --height, and those of other pictures",
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="default: one per core")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(arguments)
    check_options(options)
    settings = Settings(options.quality, options.height)
    for name in options.dataset:
        spec = divided_spec(name, options.cv, options.gtav_split, options.skip_unlabelled)
        root = resolve_root(spec, options.data_root, DATASET_ROOTS)
        copies = prepare(
            spec, options.split, root, options.output, settings, options.processes, options.overwrite
        )
        size = sum(path.stat().st_size for copy in copies for path in (copy.image, copy.label))
        done = f"{len(copies)} pictures and labels in {options.output}, {size / 1e9:.2f} GB"
        print(f"{spec.name} {options.split}: {done}, read from {root.absolute()}", flush=True)
    return 0


def check_options(options: argparse.Namespace) -> None:
    """Raise a UserError for numbers that make no sense."""
    for name, least, greatest in (("quality", 1, 100), ("height", 1, None), ("processes", 1, None)):
        value = getattr(options, name)
        if value is not None and (value < least or (greatest is not None and value > greatest)):
            limits = f"from {least} to {greatest}" if greatest else f"{least} or more"
            raise UserError(f"--{name} {value}: must be {limits}")


def prepare(
    spec: DatasetSpec,
    split: str,
    root: Path,
    output: Path,
    settings: Settings,
    processes: int = 1,
    overwrite: bool = False,
) -> list[Pair]:
    """Make what is missing of the copies of one split, remove those out of date, and return all.

    Copies of other pictures, as another division of the data set has them, stay unless ``overwrite``.

    Raises:
        UserError: naming the setting, folder or file that is wrong; or copies with other settings are there,
            without ``overwrite``, or another process is making some.
    """
    folder = folder_of(output, spec, split)
    check_writable(folder / SETTINGS_FILE, "--output")
    pairs, spec = list_pairs(spec, split, root), as_found(spec, split, root)
    if line := left_out(spec, split, root, pairs):
        print(line, flush=True)
    check_sizes(pairs)
    if read_settings(folder) is None and any(folder.glob("[!.]*")):
        raise UserError(f"--output {output}: {folder} holds other files; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    busy = f"--output {output}: another process is preparing {spec.name} {split} there; wait for it"
    with lock_folder(folder, busy):
        note_settings(folder, settings, overwrite)
        copies = [copy_of(pair, folder, settings, spec.coding) for pair in pairs]
        remove_others(folder, copies, overwrite)
        write = partial(write_copy, settings=settings, coding=spec.coding)
        in_processes(write, pairs, copies, processes=processes, description=f"{spec.name} {split}")
    return copies


def note_settings(folder: Path, settings: Settings, overwrite: bool) -> None:
    """Write down how the copies in ``folder`` are made.

    Raises:
        UserError: it holds copies with other settings, without ``overwrite``.
    """
    there = read_settings(folder)
    if there is not None and there != settings and not overwrite:
        made = " ".join(there.flags) or "neither --quality nor --height"
        raise UserError(
            f"{folder}: holds copies made with {made}; make these alike, replace them with --overwrite, or "
            "name another --output"
        )
    write_json(folder / SETTINGS_FILE, dataclasses.asdict(settings), "free space or choose another --output")


def remove_others(folder: Path, copies: Sequence[Pair], every: bool) -> None:
    """Remove from ``folder`` what is half written, and the copies of the same pictures that are none of
    ``copies``: those are out of date; with ``every``, also those of other pictures.
    """
    wanted = {path for copy in copies for path in (copy.image, copy.label)}
    names = {copy.name for copy in copies}
    for part in (folder / "pictures", folder / "labels"):
        for path in list(part.rglob(HALF_WRITTEN)):
            path.unlink()
        for path in [path for path in part.rglob("*") if path not in wanted and path.is_file()]:
            copy = _COPY.fullmatch(path.relative_to(part).as_posix())
            if copy and (every or copy[1] in names):
                path.unlink()


if __name__ == "__main__":
    run_program(main)
