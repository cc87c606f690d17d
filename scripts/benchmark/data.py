"""The cost of training samples and of class centroids in one process, compared with Pillow's decoding."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from datasets.files.prepared import Settings, prepared
from datasets.files.segmentation import Draw, SegmentationSet
from datasets.sampling.class_uniform import epoch_draws, scan, tile_centroids
from scripts.benchmark.inputs import decode, training_set, write_gtav
from scripts.benchmark.timing import Row, medians, one_core
from scripts.prepare import prepare

DRAWS = 24
"""Number of samples. They have all scales; half of them are around a centroid, and half are jittered."""

TILE, CLASS_UNIFORM = 1024, 0.5


def mean_seconds(groups: Iterable[Sequence[Callable[[], object]]], repeats: int) -> list[float]:
    """Processor seconds of each function of a group: the median of its calls, mean over all ``groups``."""
    return np.mean([medians(group, repeats, time.process_time) for group in groups], axis=0).tolist()


def sample_rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
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
        groups = [
            [
                partial(decode, on_cpu.pair(draw.index).image),
                *(partial(dataset.__getitem__, draw) for dataset, _ in figures.values()),
            ]
            for draw in draws_of(on_cpu)
        ]
        reference, *costs = mean_seconds(groups, args.repeats)
    return [
        Row(name, cost, "Pillow's decoding of the picture", reference, target)
        for (name, (_, target)), cost in zip(figures.items(), costs, strict=True)
    ]


def draws_of(dataset: SegmentationSet) -> list[Draw]:
    """Draws of an epoch of many pictures: some of whole pictures, others around a centroid of a class."""
    centroids = scan(dataset, TILE, threads=1)
    # This is enough for draws of every class. The few pictures are used again and again.
    draws = epoch_draws(50 * DRAWS, 0, 0, centroids, CLASS_UNIFORM)
    order = np.random.default_rng(0).permutation(len(draws))[:DRAWS]
    return [draws[number]._replace(index=draws[number].index % len(dataset)) for number in order]


def centroid_rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Measure reading and scanning labels that are stored as colours, as the scan of a data set does."""
    with tempfile.TemporaryDirectory() as folder, one_core():
        write_gtav(Path(folder), args.pictures, args.crop_size)
        dataset = training_set(Path(folder), args.crop_size)
        groups = [
            [partial(decode, pair.label), partial(scan_one, dataset, index)]
            for index, pair in enumerate(dataset.pairs)
        ]
        reference, cost = mean_seconds(groups, 5 * args.repeats)
    return [Row("centroids", cost, "Pillow's decoding of the label", reference, 1.3)]


def scan_one(dataset: SegmentationSet, index: int) -> None:
    """Do with one label what the scan of a data set does."""
    tile_centroids(dataset.read_label(index), TILE)
