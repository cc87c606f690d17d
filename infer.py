"""Segment any picture, folder of pictures, video or known data set with the network of a checkpoint.

    python infer.py --snapshot logs/default/my_run/best.pth --input street.jpg --output results
    python infer.py --snapshot best.pth --input pictures/ --output results --inference_mode sliding --flip
    python infer.py --snapshot best.pth --val_dataset cityscapes mapillary --data_root /data --output results

Writes OUTPUT/<kind>/<same relative name>.png, for a video OUTPUT/<kind>/<its name>/000001.png and so on,
and for --val_dataset OUTPUT/<data set>/<kind>/<name>.png.
Kinds: trainids (0..18, also if the network has fewer classes), labelids (Cityscapes' ids, for its server),
color, overlay (color over the picture), confidence (grey, white is certain).
"""

from __future__ import annotations

import argparse
import os
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath

import torch
from PIL import Image
from torch import Tensor

import config
from datasets.domains import split_pictures
from datasets.flags import add_division_arguments, add_root_argument
from network import stated_architecture
from network.folding import fold_batch_norms
from network.restore import load_network
from network.segmentor import SegmentationNet
from utils.declare import Flag
from utils.device import NUMBERED, device_name, memory_format, select_device
from utils.distributed import launched
from utils.errors import UserError, printable, run_program, say_error
from utils.files import check_inside
from utils.flags.family import dataset_name
from utils.flags.parser import FlagParser
from utils.flags.program import add_averaging_arguments
from utils.images import read_image
from utils.memory import enough_memory
from utils.precision import autocast, choose_precision
from utils.progress import progress_bar
from utils.scoring.classes import CITYSCAPES, LABEL_ID_OF_TRAIN_ID, ClassSet
from utils.scoring.pictures import (
    ResultFolder,
    Source,
    counted,
    find_sources,
    has_more_pictures,
    read_ahead,
    source_pictures,
    what_is_left_out,
)
from utils.scoring.sliding_window import (
    MODES,
    Inference,
    Predict,
    Prediction,
    predict_picture,
    scaled_pictures,
)
from utils.scoring.visualize import colour_picture, confidence_picture, overlay_picture

KINDS = ("trainids", "labelids", "color", "overlay", "confidence")
MOST_THREADS = 8
"""Threads that read and that write pictures for a GPU."""
LESS_MEMORY = "use --inference_mode sliding with a smaller --crop_size or --tile_batch, or smaller --scales"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    # No abbreviations: the family's scripts may pass flags of train.py, which could be the start of one here.
    parser = FlagParser(__doc__, training=config.training_parser, allow_abbrev=False)
    add = partial(Flag, parser)
    # once: not read from a run's args.json, where --snapshot, --resume, --save, --crop_size mean others.
    add("--snapshot", str, required=True, metavar="FILE", once=True, everyday=True).means(
        "Use the network of this checkpoint."
    )
    add("--teacher", False).means("Use the teacher's weights of a checkpoint of --method sac.")
    what = partial(Flag, parser.add_mutually_exclusive_group(required=True), everyday=True)
    what("--input", Path, metavar="PATH", replaces=("val_dataset",)).means(
        "Segment this picture, video, or folder of them with its sub-folders."
    )
    what("--val_dataset", dataset_name, nargs="+", replaces=("input",)).means(
        "Segment the pictures of these data sets. Their labels are not needed."
    )
    add("--output --results", Path, required=True, metavar="DIR", everyday=True).means("Write results here.")
    add("--mod", "").means("Write results to OUTPUT/NAME.")
    kinds = {"nargs": "+", "choices": KINDS, "default": ["color", "overlay"]}
    add("--save", str, **kinds, once=True, everyday=True).means("Write these kinds of results.")
    add("--resume", False, once=True, everyday=True).means("Skip pictures whose results are all there.")
    group = parser.add_argument_group("what the network sees")
    view = partial(Flag, group)
    view("--inference_mode", "whole", choices=MODES, everyday=True).means(
        "Segment the whole picture at once, or a large picture in overlapping tiles (sliding). pooling is "
        "whole, but averages probabilities, not logits."
    )
    view("--crop_size", 1024, once=True).means("sliding: use tiles of this side in pixels.")
    view("--sliding_overlap", 1 / 3).means("sliding: cover this share of a tile twice.")
    add_averaging_arguments(group)
    view("--single_scale", None, action="store_const", dest="scales", const=[1.0]).means("Use --scales 1.0.")
    view("--no_flip", False, action="store_false", dest="flip").means("Do not mirror. This is the default.")
    view("--tile_batch", 4).means("Segment this many tiles in one forward.")
    group = parser.add_argument_group("data, for --val_dataset")
    add_root_argument(group)
    Flag(group, "--split", "val", choices=("train", "val", "test")).means("Segment this split.")
    add_division_arguments(group)
    config.add_checkpoint_arguments(parser)
    args = config.parse_program(parser, arguments)
    check_inside(args.mod, "--mod")
    return args


def find_work(args: argparse.Namespace) -> list[tuple[ResultFolder, list[Source]]]:
    """What to segment and where to: ``--input`` as a whole, or each ``--val_dataset`` to a folder of its own.

    Raises a UserError if an input or data set is not there, or if a folder cannot take the results.
    """
    root, kinds = args.output / args.mod, tuple(dict.fromkeys(args.save))
    if args.input is not None:
        excluded = [args.output, root, *(root / kind for kind in KINDS)]
        sources, others = find_sources(args.input, excluded)
        if others:
            print(printable(f"{args.input}: {what_is_left_out(others)}"), flush=True)
        work = [(ResultFolder(root, kinds), sources)]
    else:
        work = [
            (ResultFolder(root / name, kinds), split_pictures(name, args, config.DATASET_ROOTS))
            for name in dict.fromkeys(args.val_dataset)
        ]
    for folder, sources in work:
        folder.check(sources)
    return work


@dataclass(frozen=True)
class Picture:
    """One picture, ready for the network: its result's name, the picture itself, and its resized copies."""

    name: PurePath
    image: Image.Image
    scaled: list[Tensor]


def read_pictures(
    source: Source, settings: Inference, is_finished: Callable[[PurePath], bool], first_only: list[Path]
) -> Iterator[Picture | UserError | None]:
    """Yield the pictures of ``source``: an error for one that cannot be read, ``None`` for a finished one.

    A file that holds several pictures, of which only the first is read, is added to ``first_only``.
    """
    try:
        for name, read in source_pictures(source, read_image):
            if is_finished(name):
                yield None
            else:
                image = read()
                if not source.is_video and has_more_pictures(source.path):
                    first_only.append(source.path)
                yield Picture(name, image, scaled_pictures(image, settings))
    except UserError as error:
        yield error
    except Exception as error:
        # On damaged files decoders raise nearly anything, and the other files can still be read.
        failure = UserError(f"{source.path}: cannot be read ({error}); replace or remove it")
        failure.__cause__ = error
        yield failure


def prediction_function(network: SegmentationNet, args: argparse.Namespace, device: torch.device) -> Predict:
    """The network on its device as a function of 8-bit pictures."""
    layout = memory_format(args.channels_last, device)
    network.to(device, memory_format=layout)
    fold_batch_norms(network)
    if args.compile:
        network.compile_for_any_size()

    def predict(pictures: Tensor) -> Tensor:
        with autocast(args.amp, device):
            return network.predict(pictures.contiguous(memory_format=layout))

    return predict


def write(classes: ClassSet, folder: ResultFolder, picture: Picture, prediction: Prediction) -> None:
    """Draw and write the results of one picture. ``classes`` are those of the network."""
    train_ids = classes.train_id_of_class[prediction.classes]
    colours = colour_picture(train_ids, classes.of.palette)
    makers: dict[str, Callable[[], Image.Image]] = {
        "trainids": lambda: Image.fromarray(train_ids),
        "labelids": lambda: Image.fromarray(LABEL_ID_OF_TRAIN_ID[train_ids]),
        "color": lambda: colours,
        "overlay": lambda: overlay_picture(picture.image, colours),
        "confidence": lambda: confidence_picture(prediction.confidence),
    }
    folder.write(picture.name, {kind: makers[kind]() for kind in folder.kinds})


def segment(
    pictures: Iterable[Picture | UserError | None],
    predict: Callable[[Picture], Prediction],
    write: Callable[[Picture, Prediction], None],
    report: Callable[[UserError], None],
    threads: int,
) -> int:
    """Segment ``pictures``, ``write`` the results with ``threads``, and report what goes wrong.

    Returns how many results were written.
    """
    written = 0
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(threads) as writers:
        for picture in pictures:
            if isinstance(picture, UserError):
                report(picture)
            elif picture is not None:
                try:
                    waiting.append(writers.submit(write, picture, predict(picture)))
                    written += 1
                except UserError as error:
                    report(error)
            while len(waiting) > 2 * threads:
                waiting.popleft().result()
        while waiting:
            waiting.popleft().result()
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; 1 if a picture failed, else 0."""
    args = parse_arguments(arguments)
    mode, scales = args.inference_mode, tuple(args.scales)
    settings = Inference(mode, args.crop_size, args.sliding_overlap, scales, args.flip, args.tile_batch)
    config.name_flags_without_effect(args)
    if launched()[0] > 1:
        raise UserError("infer.py: works in one process; start it without torchrun")
    device = select_device(args.device)
    print(f"computes on {device_name(device)} in {choose_precision(args, device)}", flush=True)
    work = find_work(args)
    stated = stated_architecture(vars(args))
    network, _ = load_network(args.snapshot, stated, args.partial_load, args.teacher, args.backbone_weights)
    if "labelids" in args.save and network.classes.of != CITYSCAPES:
        raise UserError(
            f"--save labelids: these are ids of Cityscapes, but {args.snapshot} has the classes of "
            f"{network.classes.of.in_words}; use --save trainids"
        )
    write_one = partial(write, network.classes)
    # Searching the fastest algorithms pays where the same size comes again and again.
    torch.backends.cudnn.benchmark = mode == "sliding"
    predict = prediction_function(network, args, device)

    def predict_one(picture: Picture) -> Prediction:
        size = (picture.image.height, picture.image.width)
        with enough_memory(str(picture.name), LESS_MEMORY):
            return predict_picture(predict, picture.scaled, size, settings, device, "confidence" in args.save)

    # On a CPU the network needs the cores.
    readers = min(MOST_THREADS, os.cpu_count() or 1) if device.type in NUMBERED else 1
    failures: list[str] = []

    def report(error: UserError) -> None:
        # Only the text is kept: the error itself would keep its picture and scores in memory.
        failures.append(str(error))
        if args.debug:
            traceback.print_exception(error)

    written = 0
    first_only: list[Path] = []
    for folder, sources in work:
        is_finished = folder.has if args.resume else lambda name: False
        pictures = (read_pictures(source, settings, is_finished, first_only) for source in sources)
        total = None if any(source.is_video for source in sources) else len(sources)
        with progress_bar(read_ahead(pictures, readers), total=total, unit="picture") as progress:
            written += segment(progress, predict_one, partial(write_one, folder), report, max(2, readers))
    for failure in failures:
        say_error(failure)
    if first_only:
        print(printable(f"only the first picture is read of files that hold several, {counted(first_only)}"))
    kinds = ", ".join(dict.fromkeys(args.save))
    print(f"{args.output / args.mod}: {written} pictures written, {len(failures)} failed ({kinds})")
    return 1 if failures else 0


program = partial(run_program, main)
"""The command urbandg-infer."""

if __name__ == "__main__":
    program()
