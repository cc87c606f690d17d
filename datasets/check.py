"""Check data sets on this machine before training on them: ``python -m datasets.check --dataset gtav``.

For every split: each picture has a label of its own size, and the label holds only values of its coding.
Ends with a table of pixels per class, or with the first thing that is wrong (exit code 1).
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from config import DATASET_ROOTS, add_division_arguments
from datasets.catalog import CATALOG, DatasetSpec, spec
from datasets.labels import IGNORE_LABEL, TRAIN_ID_NAMES
from datasets.pairing import check_sizes, list_pairs
from datasets.parallel import threaded_map
from datasets.reading import read_image, read_label
from datasets.roots import resolve_root
from datasets.split_lists import divided_by
from utils.errors import run_program


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the checks named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", nargs="+", required=True, metavar="NAME", help=", ".join(CATALOG))
    parser.add_argument(
        "--data_root", metavar="DIR", help="folder that holds all data sets, each in DIR/<name>"
    )
    parser.add_argument(
        "--split", nargs="+", default=["train", "val"], choices=["train", "val", "test", "train_extra"]
    )
    add_division_arguments(parser)
    parser.add_argument("--pictures", action="store_true", help="also decode every picture (slow)")
    parser.add_argument("--threads", type=int, help="default: one per core")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(arguments)
    for name in options.dataset:
        dataset = spec(name)
        if options.gtav_split and name == "gtav":
            dataset = divided_by(dataset, Path(options.gtav_split))
        dataset = dataset.cross_validation(options.cv)
        root = resolve_root(dataset, options.data_root, DATASET_ROOTS)
        # Sub-domains need not have every split; those asked for by default are checked where they exist.
        present = [split for split in options.split if split in dataset.splits]
        for split in present or options.split:
            pairs = list_pairs(dataset, split, root)
            sizes = Counter(check_sizes(pairs))
            if options.pictures:
                threaded_map(lambda pair: read_image(pair.image).size, pairs, "pictures", options.threads)
            described = f"{dataset.name} {split}"
            counts = threaded_map(
                lambda pair, dataset=dataset: np.bincount(
                    read_label(pair.label, dataset.coding).ravel(), minlength=256
                ),
                pairs,
                f"labels of {described}",
                options.threads,
            )
            print(f"{described}: {len(pairs)} pairs in {root}")
            print("  sizes: " + ", ".join(f"{w}x{h} ({n})" for (w, h), n in sizes.most_common(5)))
            print(class_table(np.stack(counts), dataset), flush=True)


def class_table(counts: np.ndarray, dataset: DatasetSpec) -> str:
    """Pixels per class as text; ``counts`` int (pictures, 256) by train id."""
    total = counts.sum()
    rows = [f"  {'class':<14}{'pixels':>16}{'share':>9}{'pictures':>10}"]
    for train_id, name in (*enumerate(TRAIN_ID_NAMES), (IGNORE_LABEL, "ignored")):
        if train_id not in dataset.coding.classes and train_id != IGNORE_LABEL:
            continue
        pixels = counts[:, train_id]
        share = 100 * pixels.sum() / total
        rows.append(f"  {name:<14}{pixels.sum():>16,}{share:>8.2f}%{np.count_nonzero(pixels):>10}")
    return "\n".join(rows)


if __name__ == "__main__":
    run_program(main)
