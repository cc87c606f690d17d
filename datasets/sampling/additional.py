"""Pictures outside a split that training may draw: more frames of its sequences, coarsely labelled ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from datasets.definitions.spec import DatasetSpec, Layout
from datasets.files.pairing import Pair, check_sizes
from datasets.files.segmentation import SegmentationSet
from datasets.sampling.class_uniform import Additional, TileCentroids
from utils import distributed
from utils.errors import UserError
from utils.scoring.classes import TRAIN_ID_NAMES


def additional_pictures(
    source: SegmentationSet,
    centroids: TileCentroids,
    distance: int,
    classes: Sequence[int],
    open_split: Callable[[str], SegmentationSet],
    scan: Callable[[SegmentationSet], TileCentroids],
) -> Additional | None:
    """Add additional pictures to ``source``, and return what sampling may draw of them.

    ``distance`` is ``--maxSkip``: the split gets the frames exactly so far before and behind its own frames
    in their sequences. ``classes`` are ``--coarse_boost_classes``: coarsely labelled pictures are drawn too,
    but only around centroids of these classes. ``centroids`` are those of the split; ``open_split`` and
    ``scan`` give the pictures and centroids of other splits.

    Returns None if nothing is asked for or the data set has no such pictures. In the second case it prints a
    line.
    """
    dataset = source.spec
    has_coarse = "train_extra" in dataset.splits
    for flag, asked, has in (
        ("--maxSkip", distance, dataset.nearby_frames),
        ("--coarse_boost_classes", classes, has_coarse),
    ):
        if asked and not has and distributed.is_main():
            print(f"{flag}: ignored, {dataset.name} has no such pictures", flush=True)
    points = [centroids.points]
    own = len(source)
    if distance and dataset.nearby_frames:
        pairs = nearby_frames(dataset, source.pairs, frames_root(source), distance)
        check_sizes(pairs)
        frames = source.with_pairs(f"frames{distance}", pairs)
        points.append(_shifted(scan(frames).points, len(source)))
        source.pairs = [*source.pairs, *pairs]
    if classes and has_coarse:
        coarse = open_split("train_extra")
        found = scan(coarse).points
        absent = [TRAIN_ID_NAMES[train_id] for train_id in classes if train_id not in found[:, 0]]
        if absent and distributed.is_main():
            print(f"--coarse_boost_classes: no coarse label shows {', '.join(absent)}", flush=True)
        points.append(_shifted(found[np.isin(found[:, 0], classes)], len(source)))
        source.boost = coarse.pairs
    if len(points) == 1:
        return None
    if distributed.is_main():
        added = f"{len(source) - own} frames and {len(source.boost)} coarsely labelled pictures"
        print(f"{dataset.name}: {added} beside {own} pictures of {source.split}", flush=True)
    every = np.concatenate(points)
    every = every[np.argsort(every[:, 0], kind="stable")]
    return Additional(len(source) - own, TileCentroids(every, centroids.pixels, centroids.pictures))


def _shifted(points: np.ndarray, by: int) -> np.ndarray:
    return points + np.array([0, by, 0, 0])


def frames_root(source: SegmentationSet) -> Path:
    """The root of additional frames: what the environment variable says, else the root of the data set."""
    variable = source.spec.frames_variable
    root = Path(os.environ.get(variable) or source.root).expanduser()
    if not root.is_dir():
        raise UserError(f"environment variable {variable} is {root}: no such folder; correct or unset it")
    return root


def nearby_frames(spec: DatasetSpec, pairs: Sequence[Pair], root: Path, distance: int) -> list[Pair]:
    """The frames ``distance`` before and after each of ``pairs`` in its sequence, sorted by name.

    The number of a frame is the last one in its name (``ulm_000000_000019``). Frames without a picture or a
    label are left out, and so are frames that are already in ``pairs``. Raises :class:`UserError` if no frame
    is left.
    """
    layouts = [layout for layout in spec.nearby_frames if (root / layout.pictures).is_dir()]
    known = {pair.name for pair in pairs}
    names: set[str] = set()
    for pair in pairs:
        sequence, _, number = pair.name.rpartition("_")
        if sequence and number.isdecimal():
            near = (int(number) - distance, int(number) + distance)
            names.update(f"{sequence}_{frame:0{len(number)}d}" for frame in near if frame >= 0)
    found = [frame for name in sorted(names - known) if (frame := _frame(name, layouts, root))]
    if not found:
        raise UserError(
            f"--maxSkip {distance}: {root} has no labelled frames so far from the training frames of "
            f"{spec.name}; set {spec.frames_variable} to the folder that has them"
        )
    return found


def _frame(name: str, folders: Sequence[Layout], root: Path) -> Pair | None:
    for layout in folders:
        image = root / layout.pictures / (name + layout.picture_suffixes[0])
        label = root / layout.labels / (name + layout.label_suffix)
        if image.is_file() and label.is_file():
            return Pair(name, image, label)
    return None
