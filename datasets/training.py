"""The training data of one run: labelled source domains and, for adaptation, unlabelled target domains."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datasets.domains import Domains, cache_folder
from datasets.files.prepared import prepared
from datasets.files.segmentation import Draw, RandomUse, SegmentationSet, Transform
from datasets.flags import division_flags
from datasets.sampling.additional import additional_pictures
from datasets.sampling.class_uniform import epoch_draws
from datasets.sampling.loaders import (
    EpochDraws,
    TrainingSampler,
    domain_uniform,
    evaluation_loader,
    image_uniform,
    training_loader,
)
from datasets.sampling.replacement import BadSamples, Sources
from datasets.sampling.statistics import renormalisation, statistics_of
from datasets.sampling.target import target_batches, target_seed
from transforms.multi_crop import MultiCropTransform
from transforms.pipeline import WEAK_JITTER, CovarianceTransform, MaxSquareTransform, TrainTransform
from utils import distributed
from utils.errors import UserError
from utils.images import read_size
from utils.progress import print_notices
from utils.seeding import generator


def training_transform(
    args: argparse.Namespace,
    views: Sequence[str],
    color_jitter: Sequence[float] = WEAK_JITTER,
    labelled: bool = True,
) -> Transform:
    """The training transform that ``--augmentation`` and the flags around it ask for.

    Pictures without a label are neither padded nor rotated: only a label can mark pixels that were filled in.
    """
    crop_size = args.crop_size if labelled else args.target_crop_size or args.crop_size
    if args.augmentation == "maxsquare":
        return MaxSquareTransform(crop_size, views)
    return TrainTransform(
        crop_size,
        args.scale_min,
        args.scale_max,
        args.color_aug,
        args.gblur,
        args.bblur,
        args.rrotate if labelled else 0.0,
        args.crop_nopad or not labelled,
        views,
        pre_size=args.pre_size,
        color_jitter=args.color_jitter or color_jitter,
        marks_padding=labelled and args.crop_padding == "mean",
        on_device=args.photometric == "device",
    )


MOST_CLASSES_WITH_PADDING = 254
"""A label has to hold the classes, the ignore label and a mark for the padding in 8 bits."""


class TrainingLoaders:
    """The training data of one run, in epochs of the source domains.

    The method declares ``views``, ``color_jitter``, ``domains`` and ``target_transform`` (see
    ``methods.common.base.Method``). With "target" among ``domains``, ``--target_dataset`` is opened without
    labels. An epoch has ``steps_per_epoch`` training steps. ``digest`` is computed from the names of all
    training pictures. Raises :class:`UserError` with the setting, folder or file that is wrong.
    """

    def __init__(
        self,
        data: Domains,
        args: argparse.Namespace,
        views: tuple[str, ...],
        color_jitter: Sequence[float] = WEAK_JITTER,
        domains: tuple[str, ...] = ("source",),
        target_transform: str | None = None,
    ) -> None:
        self.data, self.args = data, args
        self.bad_samples = BadSamples(args.max_bad_samples)
        transform = training_transform(args, views, color_jitter)
        if args.crop_padding == "mean" and len(data.classes.of) > MOST_CLASSES_WITH_PADDING:
            raise UserError(
                f"--crop_padding mean: works with at most {MOST_CLASSES_WITH_PADDING} classes; use black"
            )
        sources = [data.open(name, args.city_mode, transform, args.seed) for name in args.dataset]
        if args.prepared:
            sources = [prepared(each, Path(args.prepared), division_flags(args)) for each in sources]
        self.covariance_sets = [
            data.open(name, "train", CovarianceTransform(), args.seed, labelled=False)
            for name in args.covstat_val_dataset or args.dataset
        ]
        adapts, grouped = "target" in domains, target_transform == "multi_crop"
        # The loaders of source and target work at the same time, so each gets half of the processes.
        workers = -(-data.workers // 2) if adapts else data.workers
        if grouped:
            unlabelled = MultiCropTransform(args.target_crop_size or args.crop_size, args.group_size)
        else:
            unlabelled = training_transform(args, views, color_jitter, labelled=False)
        targets = [
            data.open(name, args.target_split, unlabelled, target_seed(args.seed), labelled=False)
            for name in (args.target_dataset if adapts else ())
        ]
        per_group = args.processes_per_group if grouped else 1
        self.target = target_batches(targets, args, workers, per_group) if adapts else None
        if args.renormalise in ("published", "measured"):
            renormalise(sources, targets, args)
        print_notices(*notices(args, grouped), *scored_targets(targets, data, args))
        # This reads every label once and keeps the result. A bad label value is found now, not hours later.
        draws = [self._draws_of_epoch(source) for source in sources]
        compose = image_uniform if args.image_uniform_sampling else domain_uniform
        share = distributed.rank(), distributed.world_size()
        self.sampler = TrainingSampler(partial(compose, draws, args.seed), args.bs_mult, *share, args.seed)
        if len(self.sampler) < args.accumulate:
            raise UserError(
                f"--accumulate {args.accumulate}: an epoch has only {len(self.sampler)} batches; lower it or "
                "--bs_mult"
            )
        self.steps_per_epoch = len(self.sampler) // args.accumulate
        self.batches_per_epoch = self.steps_per_epoch * args.accumulate
        self.parts = len(sources) if args.step_per_domain else 1
        opened = sources + targets
        names = [[each.spec.name, *(pair.name for pair in (*each.pairs, *each.boost))] for each in opened]
        # The digest is of names, not of paths, so that files may be moved.
        self.digest = hashlib.sha256(json.dumps(names).encode()).hexdigest()
        self.loader = training_loader(Sources(sources, args.max_bad_samples), self.sampler, workers, data.pin)

    def _draws_of_epoch(self, source: SegmentationSet) -> EpochDraws:
        """The function that lists the draws of one source domain in an epoch."""
        args = self.args
        open_split = partial(self.data.open, source.spec.name, transform=source.transform, seed=args.seed)
        pictures, centroids = len(source), self.data.scan(source)
        self.data.check_classes(source, centroids.pixels)
        names, train_ids = source.classes.class_names, source.classes.train_ids
        expected = source.classes.classes_of(source.spec.class_sets[0])
        missing = [names[c] for c in expected if centroids.pixels[train_ids[c]] == 0]
        if missing:
            print_notices(f"{source.spec.name}: no training pixel of {', '.join(missing)}")
        width, height = read_size(source.pairs[0].image)
        if args.class_uniform_pct and args.class_uniform_tile >= max(width, height):
            print_notices(
                f"--class_uniform_tile {args.class_uniform_tile}: {source.spec.name}'s first picture is "
                f"{width} x {height}, so each picture is one tile; smaller tiles find rare classes better"
            )
        additional = additional_pictures(
            source, centroids, args.maxSkip, args.coarse_boost_classes, open_split, self.data.scan
        )
        return partial(
            epoch_draws,
            pictures,
            seed=args.seed,
            centroids=centroids,
            fraction=args.class_uniform_pct,
            max_cu_epoch=args.max_cu_epoch,
            additional=additional,
            train_ids=train_ids,
        )

    def batches(self, epoch: int, first_batch: int = 0) -> Iterator[dict[str, dict[str, Any]]]:
        """This process's batches of one epoch, from number ``first_batch`` on, each as {domain: batch}.

        With ``--step_per_domain`` every batch is divided into parts, one per source domain, and each part
        gets its own target batch. The target has epochs of its own; its batches are numbered through the run.
        """
        self.sampler.set_position(epoch, first_batch)
        first = epoch * self.batches_per_epoch + first_batch
        for place, batch in enumerate(map(self.bad_samples.note, self.loader), first):
            size = len(batch["name"]) // self.parts
            for part in range(self.parts):
                samples = slice(part * size, (part + 1) * size)
                by_domain = {"source": {name: values[samples] for name, values in batch.items()}}
                if self.target is not None:
                    target = self.target.batch(place * self.parts + part)
                    by_domain["target"] = self.bad_samples.note(target)
                yield by_domain

    def covariance_pairs(self, trial: int) -> Iterator[Iterator[dict[str, Any]]]:
        """For each data set that covariance statistics use: this process's pictures in round ``trial``.

        A batch is one whole picture and its jittered view.
        """
        for opened in self.covariance_sets:
            wanted = self.args.covstat_images
            if trial == 0 and len(opened) < wanted:
                print_notices(
                    f"--covstat_images {wanted}: {opened.spec.name} has only {len(opened)} pictures; each "
                    "round of statistics takes all of them"
                )
            rng = generator(self.args.seed, trial, 0, RandomUse.COVARIANCE_PICTURES)
            chosen = rng.permutation(len(opened))[:wanted].tolist()
            draws = [Draw(index, trial, place) for place, index in enumerate(chosen)]
            dataset = Sources([opened], self.args.max_bad_samples)
            share = distributed.rank(), distributed.world_size()
            loader = evaluation_loader(dataset, 1, self.data.workers, *share, self.data.pin, draws)
            yield map(self.bad_samples.note, loader)


def sizes_of_step(args: argparse.Namespace, target_transform: str | None) -> dict[str, int]:
    """How many source and target pictures all processes together use in one training step.

    These numbers must stay the same when a run is resumed with another number of processes. The crops of
    one target picture count as one picture.
    """
    processes, domains = distributed.world_size(), len(args.dataset)
    of_sources = args.bs_mult * processes * (1 if args.image_uniform_sampling else domains)
    of_target = 0
    if args.target_dataset:
        parts = domains if args.step_per_domain else 1
        per_group = args.processes_per_group if target_transform == "multi_crop" else 1
        of_target = (args.target_bs_mult or args.bs_mult) * (processes // per_group) * parts
    return {
        "source pictures per step": of_sources * args.accumulate,
        "of the target": of_target * args.accumulate,
    }


def renormalise(
    sources: Sequence[SegmentationSet], targets: Sequence[SegmentationSet], args: argparse.Namespace
) -> None:
    """Add to every sample of ``sources`` the entry ``renormalisation``, float32 2 x 3.

    It gives pictures of the source the channel statistics of the first target data set (see
    :func:`datasets.sampling.statistics.renormalisation`). Raises :class:`UserError` if there is no target.
    """
    if not targets:
        raise UserError(
            f"--renormalise {args.renormalise}: gives sources the channel statistics of a target, but the "
            f"method {args.method} uses none; drop the flag or choose another --method"
        )
    published, folder = args.renormalise == "published", cache_folder(args)
    with distributed.main_process_first():
        of_target = statistics_of(targets[0], published, folder)
        for source in sources:
            of_source = statistics_of(source, published, folder)
            source.constants["renormalisation"] = renormalisation(of_source, of_target)


def scored_targets(
    targets: Sequence[SegmentationSet], data: Domains, args: argparse.Namespace
) -> Iterator[str]:
    """A line for every target data set whose val pictures are also used for adaptation."""
    for target in targets if args.target_split == "train" else ():
        if (name := target.spec.name) in args.val_dataset:
            scored = data.open(name, "val", target.transform, labelled=False)
            if {pair.image for pair in target.pairs} & {pair.image for pair in scored.pairs}:
                yield (
                    f"--target_dataset {name}: pictures that are scored are also trained on, without labels; "
                    'call the score "transductive"'
                )


def notices(args: argparse.Namespace, grouped: bool) -> Iterator[str]:
    """A line for every setting that has no effect, or that makes a score mean less than it seems to.

    ``grouped``: target pictures come as groups of crops.
    """
    if grouped and args.photometric == "device":
        yield "--photometric device: has no effect on target crops, which the loader's processes change"
    if args.city_mode == "trainval":
        yield (
            f"--city_mode trainval: the val pictures of {' '.join(args.dataset)} are trained on too, "
            "so their scores say nothing about unseen pictures"
        )
    # The published scripts pass 10000, which means: in all epochs.
    if args.max_cu_epoch < 10_000 and not (args.coarse_boost_classes or args.maxSkip):
        yield f"--max_cu_epoch {args.max_cu_epoch}: has no effect without --coarse_boost_classes or --maxSkip"
    targets = args.target_dataset or []
    if targets and args.target_split != "train":
        yield (
            f"--target_split {args.target_split}: pictures of {' '.join(targets)} that may be scored are "
            "also trained on, without labels"
        )
    for name in targets:
        if name in args.dataset:
            why = "is also a source domain, with labels, so there is nothing to adapt to"
            yield f"--target_dataset {name}: {why}"
