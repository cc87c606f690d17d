"""Check data sets on this machine before training on them: ``python -m scripts.check --dataset gtav``.

In every split that has labels, each picture must have a label of the same size that contains only values of
its coding. The program prints a table of pixels per class, or ends at the first error with exit code 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from config import DATASET_ROOTS
from datasets.definitions.catalog import CATALOG, use_catalogs
from datasets.definitions.label_coding import LabelCoding
from datasets.definitions.plausibility import unlikely_classes
from datasets.definitions.spec import DatasetSpec
from datasets.domains import divided_spec
from datasets.files.pairing import Pair, as_found, check_sizes, evenly_spaced, left_out, list_pairs
from datasets.files.parallel import threaded_map
from datasets.files.reading import read_label
from datasets.files.roots import resolve_root
from datasets.flags import add_division_arguments, add_root_argument, add_skip_argument
from utils.declare import Flag, check_ranges
from utils.errors import Parser, run_program
from utils.files import atomic_write, check_writable
from utils.images import read_image
from utils.scoring.classes import IGNORE_LABEL, Colour
from utils.scoring.visualize import colour_picture, overlay_picture, panel, with_legend

ROWS, WIDEST = 4, 400
"""Pictures per split on a sheet, and how wide they are at most, in pixels."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = Parser(prog="python -m scripts.check", description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", nargs="+", required=True, metavar="NAME", help=", ".join(CATALOG))
    add_root_argument(parser)
    splits = ["train", "val", "test", "train_extra"]
    shown = "check these splits (default train and val)"
    parser.add_argument("--split", nargs="+", default=splits[:2], choices=splits, help=shown)
    add_division_arguments(parser)
    add_skip_argument(parser)
    parser.add_argument("--pictures", action="store_true", help="also decode every picture (slow)")
    Flag(parser, "--threads", int, above=0).means("Read with this many threads; the default is one per core.")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="draw pictures, their labels and both into this PNG file"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(arguments)
    check_ranges(parser, options)
    use_catalogs(options.catalog)
    if options.sheet:
        check_writable(options.sheet, "--sheet")
    rows: list[list[Image.Image]] = []
    colours: dict[str, Colour] = {}
    for name in options.dataset:
        dataset = divided_spec(name, options.cv, options.gtav_split, options.skip_unlabelled)
        root = resolve_root(dataset, options.data_root, DATASET_ROOTS)
        colours |= zip(dataset.classes.names, dataset.classes.colours, strict=True)
        # A sub-domain may lack some of the default splits; only those that exist are checked.
        present = [split for split in options.split if split in dataset.splits]
        for split in present or options.split:
            pairs, coding = check_split(dataset, split, root, options.pictures, options.threads)
            rows += [sheet_row(pair, coding) for pair in evenly_spaced(pairs, ROWS) if options.sheet]
    if options.sheet:
        named = with_legend(panel(rows, ["picture", "label", "both"]), colours)
        with atomic_write(options.sheet, "free space or choose another --sheet") as temporary:
            named.save(temporary, "PNG")
        print(f"{options.sheet}: {len(rows)} pictures with their labels")


def check_split(
    dataset: DatasetSpec, split: str, root: Path, pictures: bool, threads: int | None
) -> tuple[list[Pair], LabelCoding]:
    """Check one split and print what it contains. With ``pictures`` every picture is decoded.

    Returns its pairs, and the coding of their labels.
    """
    labelled = dataset.split(split).labelled
    pairs = list_pairs(dataset, split, root, labelled)
    if labelled:
        dataset = as_found(dataset, split, root)
    sizes = Counter(check_sizes(pairs))
    if pictures:
        threaded_map(lambda pair: read_image(pair.image).size, pairs, "pictures", threads)
    described, kind = f"{dataset.name} {split}", "pairs" if labelled else "pictures without labels"
    print(f"{described}: {len(pairs)} {kind} in {root.absolute()}")
    if labelled and (line := left_out(dataset, split, root, pairs)):
        print(f"  {line}")
    print("  sizes: " + ", ".join(f"{w}x{h} ({n})" for (w, h), n in sizes.most_common(5)), flush=True)
    if not labelled:
        return pairs, dataset.coding

    def pixels(pair: Pair) -> np.ndarray:
        return np.bincount(read_label(pair.label, dataset.coding).ravel(), minlength=256)

    counts = np.stack(threaded_map(pixels, pairs, f"labels of {described}", threads))
    lines = unlikely_classes(dataset, split, counts.sum(0)[: len(dataset.classes)])
    print(class_table(counts, dataset), *lines, sep="\n", flush=True)
    return pairs, dataset.coding


def sheet_row(pair: Pair, coding: LabelCoding) -> list[Image.Image]:
    """A picture, its label in the colours of the classes, and both; at most :data:`WIDEST` wide."""
    picture = read_image(pair.image)
    label = np.full((picture.height, picture.width), IGNORE_LABEL, dtype=np.uint8)
    if pair.label is not None:
        label = read_label(pair.label, coding)
    colours = colour_picture(label, coding.of.palette)
    height = max(1, round(picture.height * min(1, WIDEST / picture.width)))
    size = (min(picture.width, WIDEST), height)
    picture, colours = picture.resize(size), colours.resize(size, Image.Resampling.NEAREST)
    return [picture, colours, overlay_picture(picture, colours)]


def class_table(counts: np.ndarray, dataset: DatasetSpec) -> str:
    """Pixels per class as text. ``counts`` is int (pictures, 256), by train id."""
    total = counts.sum()
    rows = [f"  {'class':<14}{'pixels':>16}{'share':>9}{'pictures':>10}"]
    of_coding = {*dataset.coding.classes, *dataset.coding.class_colours, IGNORE_LABEL}
    for train_id, name in (*enumerate(dataset.classes.names), (IGNORE_LABEL, "ignored")):
        if train_id in of_coding:
            pixels = counts[:, train_id]
            share = 100 * pixels.sum() / total
            rows.append(f"  {name:<14}{pixels.sum():>16,}{share:>8.2f}%{np.count_nonzero(pixels):>10}")
    return "\n".join(rows)


if __name__ == "__main__":
    run_program(main)
