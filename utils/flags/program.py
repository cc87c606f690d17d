"""Flags of the programs about how they compute."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from utils.device import DEVICES


class Scales(argparse.Action):
    """Numbers in words of one or several with commas between, as one list."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[list[float]],
        option: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, [scale for word in values for scale in word])


def scale_list(word: str) -> list[float]:
    """A word of ``--scales``: a number, or several with commas between."""
    return [float(number) for number in word.split(",")]


def add_averaging_arguments(group: argparse._ActionsContainer) -> None:
    """Over which versions of a picture the network's answers are averaged."""
    group.add_argument(
        "--scales",
        type=scale_list,
        nargs="+",
        action=Scales,
        default=[1.0],
        help="average over these sizes: 0.5 1.0 2.0 or 0.5,1.0,2.0 (default 1.0)",
    )
    group.add_argument("--flip", action="store_true", help="average with the mirrored picture")


def add_device_choice(group: argparse._ActionsContainer) -> None:
    """Which device computes."""
    group.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="what computes; auto: the first of cuda (NVIDIA, AMD), xpu (Intel), mps (Apple) and cpu that is "
        "there (default)",
    )


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """How it is computed, and how errors are shown."""
    group = parser.add_argument_group("device")
    add_device_choice(group)
    group.add_argument("--amp", choices=("off", "bf16", "fp16"), default="off", help="mixed precision")
    group.add_argument(
        "--channels_last",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="NHWC memory layout (faster on CPUs, and on GPUs with --amp; never on mps)",
    )
    group.add_argument("--compile", action="store_true", help="torch.compile the network")
    group.add_argument("--debug", action="store_true", help="show the traceback of an error")


def add_process_arguments(parser: argparse.ArgumentParser) -> None:
    """What the launcher of several processes passes."""
    group = parser.add_argument_group("processes")
    group.add_argument("--local_rank", "--local-rank", type=int, default=None, help="set by the launcher")
