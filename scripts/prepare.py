"""Copy data sets once into a form that is faster to train from: ``python -m scripts.prepare``.

``train.py --prepared DIR`` then trains from the copies. Their labels are train ids. Their pictures are not
compressed, or are JPEG, and are resized if asked for. The originals do not change. If the program was killed,
the next start makes the copies that are missing. Copies of other pictures, made with another ``--cv`` or
``--gtav_split``, stay beside the new ones.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from config import DATASET_ROOTS
from datasets.definitions.catalog import CATALOG, use_catalogs
from datasets.definitions.spec import DatasetSpec
from datasets.domains import divided_spec
from datasets.files.pairing import Pair, as_found, check_sizes, left_out, list_pairs
from datasets.files.parallel import in_processes
from datasets.files.prepared import SETTINGS_FILE, Settings, copy_of, folder_of, read_settings, write_copy
from datasets.files.roots import resolve_root
from datasets.flags import add_division_arguments, add_root_argument, add_skip_argument
from utils.declare import Flag, check_ranges
from utils.errors import Parser, UserError, run_program
from utils.files import HALF_WRITTEN, check_writable, write_json
from utils.lock import lock_folder

# The file of a copy; the first group is the name of its pair.
_COPY = re.compile(r"(.*)\.[0-9a-f]{16}\.(ppm|jpg|png)")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m scripts.prepare", description=__doc__.partition(":")[0])
    parser.add_argument("--dataset", nargs="+", required=True, metavar="NAME", help=", ".join(CATALOG))
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder of the copies")
    add_root_argument(parser)
    splits = ["train", "val", "trainval"]
    parser.add_argument("--split", default="train", choices=splits, help="which pictures (default train)")
    add_division_arguments(parser)
    add_skip_argument(parser)
    Flag(parser, "--quality", int, at_least=1, at_most=100).means(
        "Store JPEG pictures of this quality with colours at full size: small files, but not lossless. The "
        "default is not compressed and lossless."
    )
    Flag(parser, "--height", int, at_least=1).means(
        "Resize pictures and labels to this height, which training takes as scale 1. The default is none."
    )
    Flag(parser, "--overwrite", False).means(
        "remove the split's copies with another --quality or --height, and copies of other pictures"
    )
    Flag(parser, "--processes", os.cpu_count(), at_least=1).means("Use this many, by default one per core.")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(arguments)
    check_ranges(parser, options)
    use_catalogs(options.catalog)
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


def prepare(
    spec: DatasetSpec,
    split: str,
    root: Path,
    output: Path,
    settings: Settings,
    processes: int = 1,
    overwrite: bool = False,
) -> list[Pair]:
    """Make the missing copies of one split, remove copies that are out of date, and return all copies.

    Copies of other pictures, which another division of the data set has, stay unless ``overwrite``. Raises a
    UserError if a setting, folder or file is wrong, if there are copies with other settings and no
    ``overwrite``, or if another process is making copies.
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
        there = read_settings(folder)
        if there not in (None, settings) and not overwrite:
            made = " ".join(there.flags) or "neither --quality nor --height"
            raise UserError(
                f"{folder}: holds copies made with {made}; use the same flags, replace the copies with "
                "--overwrite, or name another --output"
            )
        content = dataclasses.asdict(settings)
        write_json(folder / SETTINGS_FILE, content, "free space or choose another --output")
        copies = [copy_of(pair, folder, settings, spec.coding) for pair in pairs]
        remove_others(folder, copies, overwrite)
        write = partial(write_copy, settings=settings, coding=spec.coding)
        in_processes(write, pairs, copies, processes=processes, description=f"{spec.name} {split}")
    return copies


def remove_others(folder: Path, copies: Sequence[Pair], every: bool) -> None:
    """Remove from ``folder`` files that are half written, and copies that are out of date.

    Copies of the same pictures that are not among ``copies`` are out of date. With ``every``, copies of other
    pictures are removed as well.
    """
    wanted = {path for copy in copies for path in (copy.image, copy.label)}
    names = {copy.name for copy in copies}
    for part in (folder / "pictures", folder / "labels"):
        for path in [path for path in part.rglob("*") if path not in wanted and path.is_file()]:
            copy = _COPY.fullmatch(path.relative_to(part).as_posix())
            if path.match(HALF_WRITTEN) or (copy and (every or copy[1] in names)):
                path.unlink()


if __name__ == "__main__":
    run_program(main)
