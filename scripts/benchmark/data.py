"""The cost of a training sample in a loader's process, compared with Pillow's decoding of its picture."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from datasets.files.prepared import Settings, prepared
from datasets.files.segmentation import Draw, SegmentationSet
from datasets.sampling.class_uniform import epoch_draws, scan
from scripts.benchmark.inputs import decode, training_set, write_gtav
from scripts.benchmark.timing import Row, one_core, processor_seconds
from scripts.prepare import prepare

DRAWS = 24
"""Number of samples. They have all scales; half of them are around a centroid, and half are jittered."""

TILE, CLASS_UNIFORM = 1024, 0.5


def rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Measure GTAV samples: all made on the CPU, with photometric changes on the device, and from copies."""
    with tempfile.TemporaryDirectory() as folder, one_core():
        root = Path(folder)
        write_gtav(root, args.pictures, args.crop_size)
        on_cpu = training_set(root, args.crop_size)
        on_device = training_set(root, args.crop_size, ["--photometric", "device"])
        for name, settings in (("lossless", Settings()), ("jpeg", Settings(quality=95))):
            prepare(on_cpu.spec, "train", root, root / name, settings)
        figures = {
            "sample": (on_cpu, 1.6),
            "sample, photometric on the device": (on_device, 1.2),
            "sample, prepared": (prepared(on_cpu, root / "lossless"), 0.6),
            "sample, prepared, on the device": (prepared(on_device, root / "lossless"), 0.6),
            "sample, prepared as JPEG 95": (prepared(on_cpu, root / "jpeg"), None),
            "sample, prepared as JPEG 95, on the device": (prepared(on_device, root / "jpeg"), 0.6),
        }
        sets = {name: dataset for name, (dataset, _) in figures.items()}
        costs, reference = measured(sets, draws_of(on_cpu), args.repeats)
    return [
        Row(name, costs[name], "Pillow's decoding of the picture", reference, target)
        for name, (_, target) in figures.items()
    ]


def draws_of(dataset: SegmentationSet) -> list[Draw]:
    """Draws of an epoch of many pictures: some of whole pictures, others around a centroid of a class."""
    centroids = scan(dataset, TILE, threads=1)
    # This is enough for draws of every class. The few pictures are used again and again.
    draws = epoch_draws(50 * DRAWS, 0, 0, centroids, CLASS_UNIFORM)
    order = np.random.default_rng(0).permutation(len(draws))[:DRAWS]
    return [draws[number]._replace(index=draws[number].index % len(dataset)) for number in order]


def measured(
    sets: Mapping[str, SegmentationSet], draws: list[Draw], repeats: int
) -> tuple[dict[str, float], float]:
    """Mean seconds per sample over all ``draws``, for each set and for the reference."""
    first = next(iter(sets.values()))
    totals = np.zeros(1 + len(sets))
    for draw in draws:
        functions = [partial(decode, first.pair(draw.index).image)]
        functions += [partial(dataset.__getitem__, draw) for dataset in sets.values()]
        totals += processor_seconds(functions, repeats)
    reference, *costs = (totals / len(draws)).tolist()
    return dict(zip(sets, costs, strict=True)), reference
