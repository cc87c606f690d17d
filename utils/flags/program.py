"""Flags that say how the programs compute."""

from __future__ import annotations

from argparse import Action, ArgumentParser, BooleanOptionalAction, Namespace, _ActionsContainer
from functools import partial

from utils.declare import Flag
from utils.device import DEVICES
from utils.precision import AMP_WORDS, FLOAT32_WORDS


class Scales(Action):
    """``0.5 1.0`` and ``0.5,1.0`` as one list of numbers."""

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: list[list[float]],
        option: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, [scale for word in values for scale in word])


def scale_list(word: str) -> list[float]:
    """A word of ``--scales``: a number, or several with commas between."""
    return [float(number) for number in word.split(",")]


def add_averaging_arguments(group: _ActionsContainer) -> None:
    """Over which versions of a picture the network's answers are averaged."""
    Flag(group, "--scales", [1.0], type=scale_list, nargs="+", action=Scales, metavar="X").means(
        "Average over these sizes of the picture, 0.5 1.0 2.0 or 0.5,1.0,2.0."
    )
    Flag(group, "--flip", False).means("Average with the mirrored picture.")


def add_device_choice(group: _ActionsContainer) -> None:
    """Which device computes."""
    Flag(group, "--device", "auto", choices=DEVICES, free=True, everyday=True).means(
        "Compute on this device; auto takes the first that is there."
    )


def add_device_arguments(parser: ArgumentParser) -> None:
    """How it is computed, how errors are shown, and what the launcher of several processes passes."""
    group = parser.add_argument_group("device")
    add_device_choice(group)
    add = partial(Flag, group)
    add("--amp", "off", choices=AMP_WORDS, free=True, toy="auto", everyday=True).means(
        "Use mixed precision; auto where it gains."
    )
    add("--float32", "high", choices=FLOAT32_WORDS, free=True).means(
        "On NVIDIA's GPUs compute what is in float32 by TF32 (high), or in full precision (highest)."
    )
    add("--channels_last", None, action=BooleanOptionalAction, free=True).means(
        "Keep tensors in NHWC layout, which is faster on CPUs, where it is the default, and on GPUs with "
        "--amp; mps never does."
    )
    add("--compile", False, free=True).means("Compile the network with torch.compile.")
    add("--debug", False, once=True).means("Show the traceback of an error.")
    add = partial(Flag, parser.add_argument_group("processes"))
    add("--local_rank --local-rank", int, once=True).means("The launcher sets this.")
