"""The cost of a picture's class centroids, compared with Pillow's decoding of its label."""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch

from datasets.files.segmentation import SegmentationSet
from datasets.sampling.class_uniform import tile_centroids
from scripts.benchmark.data import TILE
from scripts.benchmark.inputs import decode, training_set, write_gtav
from scripts.benchmark.timing import Row, one_core, processor_seconds


def rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Measure reading and scanning labels that are stored as colours."""
    with tempfile.TemporaryDirectory() as folder, one_core():
        root = Path(folder)
        write_gtav(root, args.pictures, args.crop_size)
        dataset = training_set(root, args.crop_size)
        totals = np.zeros(2)
        for index in range(len(dataset)):
            functions = [partial(decode, dataset.pair(index).label), partial(scan_one, dataset, index)]
            totals += processor_seconds(functions, 5 * args.repeats)
    reference, cost = (totals / len(dataset)).tolist()
    return [Row("centroids", cost, "Pillow's decoding of the label", reference, 1.3)]


def scan_one(dataset: SegmentationSet, index: int) -> None:
    """Do with one label what the scan of a data set does."""
    tile_centroids(dataset.read_label(index), TILE)
