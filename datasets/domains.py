"""The data of one run: opening data sets as the command line says, and scoring networks on them."""

from __future__ import annotations

import argparse
import functools
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

from datasets import toycity
from datasets.definitions.catalog import evaluation_transform, spec, windows
from datasets.definitions.plausibility import unlikely_classes
from datasets.definitions.spec import DatasetSpec
from datasets.files.pairing import check_sizes, left_out, list_pairs
from datasets.files.roots import resolve_root
from datasets.files.segmentation import SegmentationSet, Transform
from datasets.files.split_lists import divided_by
from datasets.sampling.class_uniform import TileCentroids, scan
from datasets.sampling.corrupted import corrupted_loader, variants_of
from datasets.sampling.loaders import Loader, evaluation_loader
from utils import distributed
from utils.device import pins_memory
from utils.memory import enough_memory
from utils.progress import print_notices
from utils.scoring.classes import CITYSCAPES_19, CITYSCAPES_SETS, ClassSet
from utils.scoring.evaluation import evaluate
from utils.scoring.metrics import ConfusionMatrix, class_scores
from utils.scoring.pictures import Source
from utils.scoring.reliability import Reliability
from utils.scoring.scores import DomainScore, results, subset_means
from utils.scoring.sliding_window import Inference, averaged

PICTURES_PER_BATCH = 4
"""How many pictures are scored together on a GPU, if ``--bs_mult_val`` is not given."""


class Domains:
    """Opens splits of the data sets in the catalog, and scores networks on them."""

    def __init__(
        self,
        args: argparse.Namespace,
        configured: Mapping[str, str],
        toycity_root: Path,
        classes: ClassSet = CITYSCAPES_19,
        inference: Inference | None = None,
        precision: str = "float32",
    ) -> None:
        """``args`` has the flags of ``datasets.flags.add_data_arguments``, and ``configured`` the roots in
        config.py. Labels hold the numbers of ``classes``, those of a network. Predictions are averaged
        as ``inference`` says before they are scored; by default the network sees the whole picture once,
        or the windows of the protocol.
        ``precision`` says in words how the network computes.
        """
        self.args, self.configured = args, configured
        settings = inference or Inference("pooling")
        self.inference = windows(settings, args.protocol, args.evaluation_height)
        self.precision = precision
        self.classes = classes
        self.workers: int = default_workers() if args.num_workers is None else args.num_workers
        self.pin: bool = pins_memory(args.device)
        self.batch_size: int = args.bs_mult_val or (PICTURES_PER_BATCH if self.pin else 1)
        # --cv applies to the data sets that a run trains on. The others keep their official val pictures.
        self._divided: list[str] = vars(args).get("dataset") or vars(args).get("val_dataset") or []
        self._folders: dict[str, Path] = {}
        self._sizes: dict[tuple[str, str], list[tuple[int, int]]] = {}
        self._left_out: dict[tuple[str, str], str | None] = {}
        self._checked: set[tuple[str, str]] = set()
        if args.data_root and Path(args.data_root).resolve() == Path(toycity_root).resolve():
            flags = (vars(args).get(flag) or [] for flag in ("dataset", "val_dataset", "target_dataset"))
            folders = {spec(name).root_name for names in flags for name in names}
            absent = toycity.absent(Path(args.data_root), folders)
            with distributed.main_process_first():
                if absent and distributed.is_main():
                    toycity.generate(Path(args.data_root), domains=absent)

    @property
    def protocol_words(self) -> str:
        """A sentence for the reader of a score: how it was made."""
        args = self.args
        height = f" at height {args.evaluation_height}" if args.evaluation_height else ""
        inference = f", {self.inference.description}" if self.inference.description else ""
        absent = f", absent classes: {args.absent_classes}"
        division = f", division {args.cv} of {' '.join(self._divided)}" if args.cv else ""
        classes = "" if self.classes == CITYSCAPES_19 else f", networks of {self.classes.name}"
        precision = "" if self.precision == "float32" else f", in {self.precision}"
        return f"protocol {args.protocol}{height}{inference}{absent}{division}{classes}{precision}"

    @property
    def folder_lines(self) -> list[str]:
        """One line for the folder of each opened data set, and one for each split with left-out pictures."""
        read = [f"{name}: read from {folder}" for name, folder in self._folders.items()]
        return [*read, *filter(None, self._left_out.values())]

    def spec(self, name: str) -> DatasetSpec:
        """The data set called ``name``, divided into splits as the flags say."""
        cv = self.args.cv if name in self._divided else 0
        return divided_spec(name, cv, self.args.gtav_split, self.args.skip_unlabelled)

    def open(
        self, name: str, split: str, transform: Transform, seed: int = 0, labelled: bool = True
    ) -> SegmentationSet:
        """One split of a data set. Each picture has a label of the same size, unless ``labelled`` is false.

        Raises :class:`UserError` with the setting, folder or file that is wrong.
        """
        dataset = self.spec(name)
        root = resolve_root(dataset, self.args.data_root, self.configured)
        self._folders[name] = root.absolute()
        opened = SegmentationSet(dataset, split, root, transform, seed, labelled, self.classes)
        if labelled and (name, split) not in self._sizes:
            self._sizes[name, split] = check_sizes(opened.pairs)
            self._left_out[name, split] = left_out(dataset, split, root, opened.pairs)
        return opened

    def evaluation_loader(
        self,
        name: str,
        split: str = "val",
        corruptions: Sequence[str] = (),
        most: int | None = None,
    ) -> Loader:
        """A loader of this process's share of a split, at the size that the protocol prescribes.

        With ``corruptions``, each picture also comes under each of them, at each severity. With ``most``
        there are at most so many pictures, at equal distances in their order.
        """
        transform = evaluation_transform(spec(name), self.args.protocol, self.args.evaluation_height)
        opened = self.open(name, split, transform)
        alike = (transform.crop or transform.size) and not transform.whole_label
        sizes = [()] * len(opened) if alike else self._sizes[name, split]
        kinds = [(*size, pair.group) for size, pair in zip(sizes, opened.pairs, strict=True)]
        share = distributed.rank(), distributed.world_size()
        settings = self.batch_size, self.workers, *share, self.pin
        if corruptions:
            return corrupted_loader(opened, corruptions, *settings, kinds=kinds)
        draws = [n * len(opened) // most for n in range(most)] if most and most < len(opened) else None
        return evaluation_loader(opened, *settings, draws, kinds)

    def score(
        self,
        name: str,
        predict: Callable[[torch.Tensor], torch.Tensor],
        loader: Loader,
        device: torch.device,
        amp: str = "off",
        sources: Sequence[str] = (),
        temperatures: Sequence[float] = (),
    ) -> DomainScore:
        """Score ``predict`` (see ``utils.scoring.evaluation``) on the domain ``name``.

        The pictures of all processes count, and predictions are averaged as ``inference`` says. ``loader``
        comes from :meth:`evaluation_loader`; ``sources`` are the domains that the network was trained on.
        With ``temperatures``, reliability is measured as well, with logits divided by each of them.
        """
        class_sets = self._class_sets(name, sources)
        predict = averaged(predict, self.inference)
        groups = sorted({pair.group for pair in loader.dataset.pairs})
        variants = variants_of(loader.dataset)
        measures = {group: self._measures(class_sets[0], temperatures, device) for group in groups}
        measures |= {variant: self._measures(class_sets[0], (), device) for variant in variants}
        lower = ["--evaluation_height"]
        if max(self.inference.scales) > 1:
            lower.append(f"--scales {' '.join(map(str, self.inference.scales))}")
        if self.batch_size > 1:
            lower.append(f"--bs_mult_val {self.batch_size}")
        remedy = f"to score with less, lower {' or '.join(lower)}, or use --amp bf16"
        with enough_memory(name, remedy):
            evaluate(predict, loader, measures, device, amp, title=name)
        of_all = (measures[group] for group in groups)
        total = [functools.reduce(operator.add, each) for each in zip(*of_all, strict=True)]
        pixels = np.zeros(len(self.classes.of), dtype=np.int64)
        pixels[list(self.classes.train_ids)] = total[0].numpy().sum(1)
        self.check_classes(loader.dataset, pixels)
        of_groups = {group: self._scores(class_sets, *measures[group]) for group in groups if group}
        corruptions: dict[str, dict[int, float]] = {}
        for group, (corruption, severity) in variants.items():
            miou = self._scores(class_sets, *measures[group]).miou
            corruptions.setdefault(corruption, {})[severity] = miou
        return replace(self._scores(class_sets, *total), groups=of_groups, corruptions=corruptions)

    def _measures(
        self, main: ClassSet, temperatures: Sequence[float], device: torch.device
    ) -> tuple[ConfusionMatrix] | tuple[ConfusionMatrix, Reliability]:
        """What is measured of a group of pictures that are scored on the classes of ``main``."""
        number, merged = len(self.classes.train_ids), self.classes.merged_classes(main)
        matrix = ConfusionMatrix(number, device)
        if not temperatures:
            return (matrix,)
        averages = self.inference.gives_probabilities
        return matrix, Reliability(number, device, temperatures, averages, merged)

    def _scores(
        self,
        class_sets: Sequence[ClassSet],
        matrix: ConfusionMatrix,
        reliability: Reliability | None = None,
    ) -> DomainScore:
        """The scores of measures, averaged over the first of ``class_sets`` and over the others."""
        classes, (main, *subsets) = self.classes, class_sets
        of_main, merged = classes.classes_of(main), classes.merged_classes(main)
        false_classes = self.args.absent_classes == "zero"
        scores = class_scores(matrix.numpy(), of_main, merged, false_classes)
        means = subset_means(scores, {len(each.train_ids): classes.classes_of(each) for each in subsets})
        confidence = reliability and reliability.scores(of_main, false_classes)
        return DomainScore(scores, int(matrix.pictures), means, reliability=confidence)

    def _class_sets(self, name: str, sources: Sequence[str]) -> list[ClassSet]:
        """The class sets of the scores: first the domain's own, then smaller ones for further means."""
        main, *subsets = spec(name).class_sets
        if main != CITYSCAPES_19:
            return [main, *subsets]
        if self.classes == CITYSCAPES_19:
            # Networks trained on SYNTHIA are compared on its smaller class sets, of 16 and 13 classes.
            subsets += [each for source in sources for each in spec(source).class_sets[1:]]
        else:
            subsets += CITYSCAPES_SETS
        smaller = (each for each in subsets if len(each.train_ids) < len(self.classes.train_ids))
        return [main, *dict.fromkeys(smaller)]

    def results(self, scores: Mapping[str, DomainScore], checkpoint: str, **extra: Any) -> dict[str, Any]:
        """The content of ``results.json``: the scores and everything that says how they were made."""
        division = {"cv": self.args.cv} if self.args.cv else {}
        how = {
            "evaluation_height": self.args.evaluation_height,
            "scales": list(self.inference.scales),
            "flip": self.inference.flip,
            "absent_classes": self.args.absent_classes,
            "precision": self.precision,
            **division,
            "num_classes": len(self.classes.train_ids),
            "folders": {name: folder.as_posix() for name, folder in self._folders.items()},
        }
        return results(scores, self.classes.class_names, self.args.protocol, checkpoint, **how, **extra)

    def scan(self, dataset: SegmentationSet) -> TileCentroids:
        """The tile centroids of a training run's data set; every label is read once, and the result kept."""
        with distributed.main_process_first():
            return scan(dataset, self.args.class_uniform_tile, cache_folder(self.args))

    def check_labels(self, loaders: Iterable[Loader]) -> None:
        """Read every label of the loaders once, so that a bad value is found before the training starts."""
        for loader in loaders:
            self.check_classes(loader.dataset, self.scan(loader.dataset).pixels)

    def check_classes(self, dataset: SegmentationSet, pixels: np.ndarray) -> None:
        """Print a warning if the classes of a split have unusual shares, once for each split.

        ``pixels`` is the number of pixels of each train id, int64 (classes,). Raises :class:`UserError` if no
        pixel has a class.
        """
        if (split := (dataset.spec.name, dataset.split)) not in self._checked:
            self._checked.add(split)
            print_notices(*unlikely_classes(dataset.spec, dataset.split, pixels, self.classes.train_ids))


def divided_spec(name: str, cv: int, gtav_split: str | None, skip_unlabelled: bool = False) -> DatasetSpec:
    """The data set called ``name``, divided into splits as ``--cv`` and ``--gtav_split`` say.

    ``skip_unlabelled`` leaves out pictures without a label, which are otherwise an error.
    """
    dataset = replace(spec(name), skips_unlabelled=True) if skip_unlabelled else spec(name)
    if gtav_split and dataset.name == "gtav":
        dataset = divided_by(dataset, Path(gtav_split))
    return dataset.cross_validation(cv)


def split_pictures(name: str, args: argparse.Namespace, configured: Mapping[str, str]) -> list[Source]:
    """The pictures of one split, for programs that only predict: nothing looks for their labels.

    ``args`` has ``data_root``, ``split`` and the flags of ``datasets.flags.add_division_arguments``.
    Raises :class:`UserError` with the setting, folder or file that is wrong.
    """
    dataset = divided_spec(name, args.cv, args.gtav_split)
    root = resolve_root(dataset, args.data_root, configured)
    pairs = list_pairs(dataset, args.split, root, labelled=False)
    print(f"{name} {args.split}: {len(pairs)} pictures, read from {root.absolute()}", flush=True)
    return [Source(pair.image, PurePath(pair.name), is_video=False) for pair in pairs]


def cache_folder(args: argparse.Namespace) -> Path:
    """The folder of results that later runs use again, because they take long to compute."""
    return Path(args.ckpt) / "cache"


def default_workers() -> int:
    """The default number of loader processes: this process's share of the usable cores, from 1 to 32."""
    # A container or a scheduler may give fewer cores than the machine has. Only Linux tells.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(32, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))
