"""Pictures outside a split that training may draw: more frames of its sequences, coarsely labelled ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from datasets.definitions.spec import Layout
from datasets.files.pairing import Pair, check_sizes
from datasets.files.segmentation import SegmentationSet
from datasets.sampling.class_uniform import Additional, TileCentroids
from utils.errors import UserError
from utils.progress import print_notices


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
    ``scan`` give the pictures and centroids of other splits. Returns None if nothing is asked for, or if the
    data set has no such pictures; a printed line then says so.
    """
    dataset, own, points = source.spec, len(source), [centroids.points]
    has_coarse = "train_extra" in dataset.splits
    for flag, asked, has in (
        ("--maxSkip", distance, dataset.nearby_frames),
        ("--coarse_boost_classes", classes, has_coarse),
    ):
        if asked and not has:
            print_notices(f"{flag}: ignored, {dataset.name} has no such pictures")
    # The picture indices of a scan start at 0. Here they follow those of the pictures before.
    if distance and dataset.nearby_frames:
        pairs = nearby_frames(source, distance)
        check_sizes(pairs)
        frames = source.with_pairs(f"frames{distance}", pairs)
        points.append(scan(frames).points + [0, own, 0, 0])
        source.pairs = [*source.pairs, *pairs]
    if classes and has_coarse:
        coarse = open_split("train_extra")
        found = scan(coarse).points
        absent = [source.spec.classes.names[train_id] for train_id in classes if train_id not in found[:, 0]]
        if absent:
            print_notices(f"--coarse_boost_classes: no coarse label shows {', '.join(absent)}")
        points.append(found[np.isin(found[:, 0], classes)] + [0, len(source), 0, 0])
        source.boost = coarse.pairs
    if len(points) == 1:
        return None
    added = f"{len(source) - own} frames and {len(source.boost)} coarsely labelled pictures"
    print_notices(f"{dataset.name}: {added} beside {own} pictures of {source.split}")
    every = np.concatenate(points)
    every = every[np.argsort(every[:, 0], kind="stable")]
    return Additional(len(source) - own, TileCentroids(every, centroids.pixels, centroids.pictures))


def nearby_frames(source: SegmentationSet, distance: int) -> list[Pair]:
    """The frames ``distance`` before and after each picture of ``source`` in its sequence, sorted by name.

    They are in the folder that an environment variable says, else in that of the data set. The number of a
    frame is the last one in its name (``ulm_000000_000019``). Frames without a picture or a label are left
    out, and so are the pictures of ``source``. Raises :class:`UserError` if no frame is left.
    """
    variable = f"{source.spec.root_name.upper()}_AUG_DIR"
    root = Path(os.environ.get(variable) or source.root).expanduser()
    if not root.is_dir():
        raise UserError(f"environment variable {variable} is {root}: no such folder; correct or unset it")
    layouts = [layout for layout in source.spec.nearby_frames if (root / layout.pictures).is_dir()]
    known = {pair.name for pair in source.pairs}
    names: set[str] = set()
    for pair in source.pairs:
        sequence, _, number = pair.name.rpartition("_")
        if sequence and number.isdecimal():
            near = (int(number) - distance, int(number) + distance)
            names.update(f"{sequence}_{frame:0{len(number)}d}" for frame in near if frame >= 0)
    found = [frame for name in sorted(names - known) if (frame := _frame(name, layouts, root))]
    if not found:
        raise UserError(
            f"--maxSkip {distance}: {root} has no labelled frames so far from the training frames of "
            f"{source.spec.name}; set {variable} to the folder that has them"
        )
    return found


def _frame(name: str, layouts: Sequence[Layout], root: Path) -> Pair | None:
    for layout in layouts:
        image = root / layout.pictures / (name + layout.picture_suffixes[0])
        label = root / layout.labels / layout.label_of(name)
        if image.is_file() and label.is_file():
            return Pair(name, image, label)
    return None
