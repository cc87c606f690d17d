"""Segment any picture, folder of pictures, video or known data set with the network of a checkpoint.

    python infer.py --snapshot logs/default/my_run/best.pth --input street.jpg --output results
    python infer.py --snapshot best.pth --input pictures/ --output results --inference_mode sliding --flip
    python infer.py --snapshot best.pth --val_dataset cityscapes mapillary --data_root /data --output results

Writes OUTPUT/<kind>/<same relative name>.png, for a video OUTPUT/<kind>/<its name>/000001.png and so on,
and for --val_dataset OUTPUT/<data set>/<kind>/<name>.png.
Kinds: trainids (0..18, of a network with fewer classes too), labelids (Cityscapes' ids, for its server),
color, overlay (color over the picture), confidence (grey, white is certain).
"""

from __future__ import annotations

import argparse
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import config
from datasets.definitions.labels import LABEL_ID_OF_TRAIN_ID, NETWORK_CLASS_SETS, PALETTE
from datasets.domains import split_pictures
from datasets.files.reading import read_image
from datasets.flags import add_division_arguments
from network import stated_architecture
from network.flags import add_network_arguments
from network.restore import load_network
from network.segmentor import SegmentationNet
from utils.device import memory_format, select_device
from utils.errors import Parser, UserError, printable, run_program, say_error
from utils.files import check_inside
from utils.flags.family import dataset_name
from utils.flags.program import add_averaging_arguments, add_device_arguments, add_process_arguments
from utils.flags.ranges import check_ranges
from utils.memory import enough_memory
from utils.progress import progress_bar
from utils.scoring.evaluation import autocast
from utils.scoring.pictures import (
    Source,
    counted,
    find_sources,
    has_more_pictures,
    read_ahead,
    source_pictures,
    what_is_left_out,
)
from utils.scoring.result_folder import ResultFolder
from utils.scoring.sliding_window import MODES, Predict, Prediction, Windows, predict_picture, scaled_pictures
from utils.scoring.visualize import colour_picture, confidence_picture, overlay_picture

KINDS = ("trainids", "labelids", "color", "overlay", "confidence")
KINDS_OF_ANY_CLASSES = {"trainids", "confidence"}
WAITING_WRITES = 4
LESS_MEMORY = "use --inference_mode sliding with a smaller --crop_size or --tile_batch, or smaller --scales"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    # No abbreviations: flags of train.py, which the family's scripts may pass, are not short forms of these.
    parser = Parser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--snapshot", required=True, help="checkpoint; tells which network it holds")
    parser.add_argument(
        "--teacher", action="store_true", help="the teacher's weights of a checkpoint of --method sac"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--input", type=Path, help="picture, video, or folder of them (with sub-folders)")
    what.add_argument(
        "--val_dataset", nargs="+", type=dataset_name, help="data sets; their labels are not needed"
    )
    parser.add_argument("--output", "--results", required=True, type=Path, help="folder of the results")
    parser.add_argument("--mod", default="", metavar="NAME", help="put them into the folder NAME in there")
    parser.add_argument(
        "--save",
        nargs="+",
        choices=KINDS,
        default=["color", "overlay"],
        help="results (default: color overlay)",
    )
    parser.add_argument("--resume", action="store_true", help="skip pictures whose results are all there")
    group = parser.add_argument_group("what the network sees")
    group.add_argument(
        "--inference_mode",
        choices=MODES,
        default="whole",
        help="whole = the whole picture at once (default); sliding = overlapping tiles, for large pictures; "
        "pooling = as whole, but averages probabilities in place of logits",
    )
    group.add_argument(
        "--crop_size", type=int, default=1024, help="sliding: side of a tile in pixels (default 1024)"
    )
    group.add_argument(
        "--sliding_overlap",
        type=float,
        default=1 / 3,
        help="sliding: share of a tile covered twice (default 1/3)",
    )
    add_averaging_arguments(group)
    group.add_argument(
        "--single_scale", action="store_const", dest="scales", const=[1.0], help="the same as --scales 1.0"
    )
    group.add_argument("--no_flip", action="store_false", dest="flip", help="do not (default)")
    group.add_argument(
        "--tile_batch", type=int, default=4, help="tiles of crop_size in one forward (default 4)"
    )
    group = parser.add_argument_group("data, for --val_dataset")
    group.add_argument("--data_root", help="folder that holds every data set in a folder of its name")
    group.add_argument("--split", default="val", choices=("train", "val", "test"), help="which pictures")
    add_division_arguments(group)
    add_network_arguments(parser, NETWORK_CLASS_SETS)
    add_device_arguments(parser)
    add_process_arguments(parser)
    args, further = parser.parse_known_args(arguments)
    args.without_effect = config.training_flags(parser.prog, further)
    check_ranges(args)
    check_inside(args.mod, "--mod")
    return args


def find_work(args: argparse.Namespace) -> list[tuple[ResultFolder, list[Source]]]:
    """What to segment and where to: ``--input`` as a whole, or each ``--val_dataset`` to a folder of its own.

    Raises:
        UserError: an input or data set that is not there, or a folder that cannot take the results.
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
    """One picture, ready for the network: its result's name, itself, and its size at every scale."""

    name: PurePath
    image: Image.Image
    scaled: list[Tensor]


def read_pictures(
    sources: Sequence[Source],
    windows: Windows,
    is_finished: Callable[[PurePath], bool],
    with_more: list[Path],
) -> Iterator[Picture | UserError | None]:
    """The pictures of all sources; in place of an unreadable one the error, of a finished one ``None``.

    Files of which only the first picture is read are added to ``with_more``.
    """
    for source in sources:
        try:
            for name, read in source_pictures(source, read_image):
                if is_finished(name):
                    yield None
                else:
                    image = read()
                    if not source.is_video and has_more_pictures(source.path):
                        with_more.append(source.path)
                    yield Picture(name, image, scaled_pictures(image, windows))
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
    run = torch.compile(network.predict) if args.compile else network.predict

    def predict(pictures: Tensor) -> Tensor:
        with autocast(args.amp, device):
            return run(pictures.contiguous(memory_format=layout))

    return predict


def train_ids_of(num_classes: int, kinds: Iterable[str], snapshot: str) -> np.ndarray:
    """The train id of every class of a network, uint8 (256,); the class itself if nothing says which it is.

    Raises:
        UserError: ``kinds`` of results that such a network cannot have.
    """
    if num_classes in NETWORK_CLASS_SETS:
        return NETWORK_CLASS_SETS[num_classes].train_id_of_class
    if not KINDS_OF_ANY_CLASSES.issuperset(kinds):
        raise UserError(
            f"{snapshot}: has {num_classes} classes, no colours for them; --save trainids confidence"
        )
    return np.arange(256, dtype=np.uint8)


def write(
    folder: ResultFolder, train_id_of_class: np.ndarray, picture: Picture, prediction: Prediction
) -> None:
    """Draw and write the results of one picture."""
    train_ids = train_id_of_class[prediction.classes]
    colours = colour_picture(train_ids, PALETTE)
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
) -> int:
    """Segment ``pictures``, ``write`` the results, report what goes wrong; returns how many were written."""
    written = 0
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(2) as writers:
        for picture in pictures:
            if isinstance(picture, UserError):
                report(picture)
            elif picture is not None:
                try:
                    waiting.append(writers.submit(write, picture, predict(picture)))
                    written += 1
                except UserError as error:
                    report(error)
            while len(waiting) > WAITING_WRITES:
                waiting.popleft().result()
        while waiting:
            waiting.popleft().result()
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; 1 if a picture failed, else 0."""
    args = parse_arguments(arguments)
    windows = Windows(
        args.inference_mode,
        args.crop_size,
        args.sliding_overlap,
        tuple(args.scales),
        args.flip,
        args.tile_batch,
    )
    if args.without_effect:
        print(f"{' '.join(args.without_effect)}: for training, no effect here", flush=True)
    device = select_device(args.device)
    work = find_work(args)
    stated = stated_architecture(vars(args))
    network, _ = load_network(args.snapshot, stated, args.partial_load, args.teacher)
    train_id_of_class = train_ids_of(network.config["num_classes"], args.save, args.snapshot)

    # Searching the fastest algorithms pays where the same size comes again and again.
    torch.backends.cudnn.benchmark = args.inference_mode == "sliding"
    predict = prediction_function(network, args, device)

    def predict_one(picture: Picture) -> Prediction:
        size = (picture.image.height, picture.image.width)
        with enough_memory(str(picture.name), LESS_MEMORY):
            return predict_picture(predict, picture.scaled, size, windows, device, "confidence" in args.save)

    failures: list[str] = []

    def report(error: UserError) -> None:
        # The text alone: an error kept would keep its picture and scores in memory.
        failures.append(str(error))
        if args.debug:
            traceback.print_exception(error)

    written = 0
    with_more: list[Path] = []
    for folder, sources in work:
        is_finished = folder.has if args.resume else lambda name: False
        pictures = read_pictures(sources, windows, is_finished, with_more)
        total = None if any(source.is_video for source in sources) else len(sources)
        with progress_bar(read_ahead(pictures), total=total, unit="picture") as progress:
            written += segment(progress, predict_one, partial(write, folder, train_id_of_class), report)
    for failure in failures:
        say_error(failure)
    if with_more:
        print(printable(f"only the first picture is read of files that hold several, {counted(with_more)}"))
    kinds = ", ".join(dict.fromkeys(args.save))
    print(f"{args.output / args.mod}: {written} pictures written, {len(failures)} failed ({kinds})")
    return 1 if failures else 0


if __name__ == "__main__":
    run_program(main)
