"""What the RobustNet family's checkpoints hold, and their names of a network's entries and ours, both ways.

The program also takes those of AdaptSegNet, MaxSquare and SNR (``utils.legacy_deeplabv2``), and DA-SAC's
(``utils.legacy_dasac``):

python -m utils.legacy import theirs.pth ours.pth [--arch NAME] [--wt_layer 0 0 2 2 2 0 0]
python -m utils.legacy export ours.pth theirs.pth
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, NoReturn, TypeVar

from torch import Tensor

from utils.run.tensor_file import DISTRIBUTED_PREFIX, state_of

Value = TypeVar("Value")

# Family prefix, our prefix. The last ones are DIIA's, whose first head is a coarse one.
HEAD_PREFIXES = (
    ("aspp.features.", "head.aspp.branches."),
    ("aspp.img_conv.", "head.aspp.image_pooling."),
    ("bot_aspp.", "head.aspp_projection."),
    ("bot_fine.", "head.low_level_projection."),
    ("final1.", "head.decoder."),
    ("final2.0.", "head.classifier."),
    ("dsn.", "auxiliary."),
    ("encoder_boundary.", "head.edges.encoder."),
    ("decoder_boundary.", "head.edges.decoder."),
    ("final1_boundary.", "head.edges.refinement."),
    ("final2_boundary.0.", "head.edges.classifier."),
    ("encoder_struct.", "head.layout.encoder."),
    ("final1_struct.", "head.layout.refinement."),
    ("final2_struct.0.", "head.layout.classifier."),
    ("query_conv.", "head.attention.query."),
    ("key_conv.", "head.attention.key."),
    ("value_conv.", "head.attention.value."),
    ("up_conv.", "head.attention.content."),
    ("gamma", "head.attention.gamma"),
    ("aspp_sg.features.", "head.final.aspp.branches."),
    ("aspp_sg.img_conv.", "head.final.aspp.image_pooling."),
    ("bot_aspp_sg.", "head.final.aspp_projection."),
    ("bot_fine_sg.", "head.final.low_level_projection."),
    ("final1_sg.", "head.final.decoder."),
    ("final2_sg.0.", "head.final.classifier."),
)
# BlindNet's projection heads, which only its training uses: entries of the method, not of the network.
PROJECTION_KEY = re.compile(r"ProjectionHead_cls_(\d)\.proj\.(\d\.\w+)")
PROJECTIONS_PREFIX = "projections."
# An entry that only ShuffleNetV2 and MNASNet have: the convolution of layer4 directly under it. The family
# wraps its ShuffleNet's stem and layer4 once more (its MNASNet never ran, so nobody has a checkpoint of it).
SHUFFLENET_KEY = "backbone.layer4.0.weight"
# An entry that only the family's ShuffleNet has: the convolution of its stem.
SHUFFLENET_STEM_KEY = "layer0.layer.0.0.weight"
# A site of the family's ShuffleNet, its layer, and the layer's BatchNorm that the site takes the place of.
SHUFFLENET_REPLACED = ((2, "layer0", "layer0.layer.0.1."), (6, "layer4", "layer4.layer.1."))
# Class weights of the family's losses, which it keeps among the network's entries.
LOSS_PREFIXES = ("criterion.", "criterion_aux.")
CLASSIFIER_KEY = "final2.0.weight"
NO_CODES = (0,) * 7
# BlindNet's name of a data set that is read in two views ends so.
TWO_VIEWS_SUFFIX = "_jitter"


class FamilyCommand(NamedTuple):
    """What the training command line stored in a family file says; ``None`` is unsaid.

    Attributes:
        arch: value of ``--arch``.
        wt_layer: seven codes.
        dataset: training data sets.
        image_in: whether each picture is normalised by its own mean and deviation.
    """

    arch: str | None = None
    wt_layer: list[int] | None = None
    dataset: list[str] | None = None
    image_in: bool | None = None


class _CommandParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def renamed(key: str, prefixes: Iterable[tuple[str, str]]) -> str:
    """``key`` with the first of ``prefixes``, (before, after), that fits replaced; as it is if none does."""
    before, after = next((pair for pair in prefixes if key.startswith(pair[0])), ("", ""))
    return after + key.removeprefix(before)


def family_entries(content: object) -> dict[str, Tensor] | None:
    """The network's entries in the ``content`` of a family file, by bare names; ``None`` of another."""
    bare = state_of(content) or {}
    return bare if CLASSIFIER_KEY in bare else None


def family_command(content: Mapping[str, object]) -> FamilyCommand:
    """The command line in the ``content`` of a family file; nothing said if there is none to be understood.

    The family's command lines that leave ``--wt_layer`` out train with no site.
    """
    command = content.get("command")
    if not isinstance(command, str):
        return FamilyCommand()
    # The other flags that begin alike, because argparse takes abbreviations.
    parser = _CommandParser(add_help=False)
    for name in ("arch", "wt_reg_weight", "wt_bound"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--wt_layer", type=int, nargs="*", default=list(NO_CODES))
    parser.add_argument("--dataset", nargs="*")
    parser.add_argument("--image_in", action="store_true")
    try:
        said, _ = parser.parse_known_args(shlex.split(command))
    except ValueError:
        return FamilyCommand()
    known = said.arch is not None and len(said.wt_layer) == len(NO_CODES)
    dataset = said.dataset and [name.removesuffix(TWO_VIEWS_SUFFIX) for name in said.dataset]
    return FamilyCommand(said.arch, said.wt_layer if known else None, dataset, said.image_in)


def our_key(key: str) -> str:
    """Our name of a family ``key``, with or without ``module.``; a key of no rule comes back without it."""
    key = key.removeprefix(DISTRIBUTED_PREFIX)
    for theirs, ours in HEAD_PREFIXES:
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    # A residual network's stem is one list: convolution, norm, ReLU, convolution, norm, ReLU ...
    if match := re.fullmatch(r"layer0\.(\d)\.(\w+)", key):
        number, kind = divmod(int(match[1]), 3)
        return f"backbone.{('conv', 'bn')[kind]}{number + 1}.{match[2]}"
    if match := re.fullmatch(r"layer(\d)\.(?:\d+\.)?instance_norm_layer\.(\w+)", key):
        return f"backbone.site_norms.{int(match[1]) + 2}.{match[2]}"
    if match := re.fullmatch(r"layer(\d)\.(?:layer\.)?(.+)", key):
        stage = "stem" if match[1] == "0" else f"layer{match[1]}"
        return f"backbone.{stage}.{match[2]}"
    return key


def from_family(state: Mapping[str, Value], wt_layer: Sequence[int] = NO_CODES) -> dict[str, Value]:
    """The network's entries of a family state dict under our names, without what the network never uses.

    That is the class weights of its losses, the projection heads of its training (:func:`projections`), and
    the BatchNorms that its ShuffleNet keeps beside a normalisation layer in their place: one that has entries
    of its own, or one that ``wt_layer`` tells of.
    """
    bare = {key.removeprefix(DISTRIBUTED_PREFIX): value for key, value in state.items()}
    unused = LOSS_PREFIXES
    if SHUFFLENET_STEM_KEY in bare:
        unused += tuple(
            norm
            for site, layer, norm in SHUFFLENET_REPLACED
            if wt_layer[site] or f"{layer}.instance_norm_layer.weight" in bare
        )
    return {
        our_key(key): value
        for key, value in bare.items()
        if not key.startswith(unused) and not PROJECTION_KEY.fullmatch(key)
    }


def projections(state: Mapping[str, Value]) -> dict[str, Value]:
    """The projection heads in a family state dict, under our BlindNet's names; empty for any other system."""
    found = {}
    for key, value in state.items():
        if match := PROJECTION_KEY.fullmatch(key.removeprefix(DISTRIBUTED_PREFIX)):
            found[f"{PROJECTIONS_PREFIX}{match[1]}.{match[2]}"] = value
    return found


def to_family(state: Mapping[str, Value]) -> dict[str, Value]:
    """One of our networks' state dicts under the family's names, without ``module.``."""
    return {_family_key(key, state): value for key, value in state.items()}


def _family_key(key: str, keys: Iterable[str]) -> str:
    for theirs, ours in HEAD_PREFIXES:
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    if match := re.fullmatch(r"backbone\.(conv|bn)(\d)\.(\w+)", key):
        return f"layer0.{3 * (int(match[2]) - 1) + ('conv', 'bn').index(match[1])}.{match[3]}"
    if match := re.fullmatch(r"backbone\.site_norms\.(\d)\.(\w+)", key):
        stage = int(match[1]) - 2
        ours = "backbone.stem." if stage == 0 else f"backbone.layer{stage}."
        if stage in (0, 4) and SHUFFLENET_KEY in keys:
            return f"layer{stage}.instance_norm_layer.{match[2]}"
        last = max(int(other.split(".")[2]) for other in keys if other.startswith(ours))
        return f"layer{stage}.{last}.instance_norm_layer.{match[2]}"
    wrapper = "layer." if SHUFFLENET_KEY in keys else ""
    key = key.replace("backbone.stem.", f"layer0.{wrapper}").replace("backbone.layer4.", f"layer4.{wrapper}")
    return key.removeprefix("backbone.")


if __name__ == "__main__":
    # As a program this module stands above the network, as a module below it: hence imported here alone.
    from network.conversion import main
    from utils.errors import run_program

    run_program(main)
