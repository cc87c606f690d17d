"""The checkpoints of RobustNet, BlindNet and DIIA: theirs to ours, and back."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from network.backbone import BACKBONES, create_backbone
from network.backbone.caffe_resnet import INFIX as CAFFE_INFIX
from network.factory import ARCHITECTURES, FAMILY_PREFIX, architecture_from_arch
from network.legacy.foreign import ForeignFile, prefixed
from network.legacy.robustnet_names import from_family, projections, to_family
from network.legacy.robustnet_sites import family_lacks, resolve_codes
from network.sites import NO_SITES
from utils.errors import UserError
from utils.run.checkpoint import NETWORK_PREFIX, network_state
from utils.run.tensor_file import DISTRIBUTED_PREFIX, state_of

CLASSIFIER_KEY = "final2.0.weight"
# Without Caffe ResNets and VGG: their entries look like those of torchvision's ResNets, and their files
# belong to other families.
FAMILY_BACKBONES = [name for name in BACKBONES if CAFFE_INFIX not in name and not name.startswith("vgg")]
# Entries that only the aggregation head (DIIA) has.
AGGREGATION_PREFIX = "head.attention."
# A file is of a backbone if their convolutions (name and shape) overlap by at least this: common / all.
LEAST_OVERLAP = 0.5
# BlindNet's name of a data set that is read in two views ends so.
TWO_VIEWS_SUFFIX = "_jitter"
# Head -> the family's names of the networks that have it. DIIA's code cannot build its other networks, except
# DeepR101V3PlusD_OS8. There layer4 is larger than edges and layout, so the attention mixes up positions.
FAMILY_HEADS = {
    "deeplabv3plus": tuple(ARCHITECTURES),
    "aggregation": ("DeepR50V3PlusD", "DeepR101V3PlusD"),
}


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


def family_command(content: Mapping[str, object]) -> FamilyCommand:
    """The command line in the ``content`` of a family file.

    All fields are ``None`` if there is no command line, or if it cannot be parsed. The family's command lines
    that leave ``--wt_layer`` out train with no site.
    """
    command = content.get("command")
    if not isinstance(command, str):
        return FamilyCommand()
    parser = _CommandParser(add_help=False)
    parser.add_argument("--arch")
    parser.add_argument("--wt_layer", type=int, nargs="*", default=list(NO_SITES))
    parser.add_argument("--dataset", nargs="*")
    parser.add_argument("--image_in", action="store_true")
    try:
        said, _ = parser.parse_known_args(shlex.split(command))
    except ValueError:
        return FamilyCommand()
    known = said.arch is not None and len(said.wt_layer) == len(NO_SITES)
    dataset = said.dataset and [name.removesuffix(TWO_VIEWS_SUFFIX) for name in said.dataset]
    return FamilyCommand(said.arch, said.wt_layer if known else None, dataset, said.image_in)


@dataclass(frozen=True)
class RobustNetFile(ForeignFile):
    """A checkpoint of RobustNet, BlindNet or DIIA.

    First its entries tell the backbone. Then the entries, the training command line and the user tell the
    codes of the sites. With these codes :meth:`model` leaves out the entries that the network does not use.

    Attributes:
        entries: those of the network by their bare names.
        command: what the training command line in the file says.
    """

    entries: dict[str, Tensor]
    command: FamilyCommand

    @classmethod
    def recognised(cls, content: object, path: Path | str) -> RobustNetFile | None:
        bare = state_of(content) or {}
        return cls(path, bare, family_command(content)) if CLASSIFIER_KEY in bare else None

    def network(self, stated: Mapping[str, Any]) -> dict[str, Any]:
        """As the base class says.

        The entries tell the architecture by their names and shapes. What they do not tell comes from
        ``stated``, then from the training command line in the file. If nothing tells the output stride, it is
        that of the family's first architecture with this backbone.
        """
        state = from_family(self.entries)
        name = self._backbone(state, stated)
        output_stride, stride_origin = self._output_stride(name, stated)
        wt_layer, code_origin = self._codes(state, name, output_stride, stated.get("wt_layer"))
        aggregates = any(key.startswith(AGGREGATION_PREFIX) for key in state)
        kind = "BlindNet" if projections(self.entries) else "DIIA" if aggregates else "RobustNet"
        self.announce(
            f"{kind} checkpoint, {name}, output stride {output_stride} ({stride_origin}), "
            f"--wt_layer {' '.join(map(str, wt_layer))} ({code_origin})"
        )
        return {
            "backbone": name,
            "head": "aggregation" if aggregates else "deeplabv3plus",
            "num_classes": self.entries[CLASSIFIER_KEY].shape[0],
            "output_stride": output_stride,
            "wt_layer": wt_layer,
            "partial_dilation": any(
                architecture.get("partial_dilation", False)
                for architecture in ARCHITECTURES.values()
                if (architecture["backbone"], architecture["output_stride"]) == (name, output_stride)
            ),
            "per_image_input": stated.get("per_image_input", bool(self.command.image_in)),
        }

    def model(self, wt_layer: Sequence[int]) -> dict[str, Tensor]:
        """The entries by the names of our methods: ``network.*``, of BlindNet ``projections.*`` too."""
        return prefixed(NETWORK_PREFIX, from_family(self.entries, wt_layer)) | projections(self.entries)

    def told(self) -> dict[str, Any]:
        """What the training command line tells beside the entries, with the codes that the family built."""
        told: dict[str, Any] = {}
        if self.command.image_in is not None:
            told["per_image_input"] = self.command.image_in
        if self.command.arch is None:
            return told
        state = from_family(self.entries)
        backbone = self.nearest_backbone(state, FAMILY_BACKBONES, LEAST_OVERLAP)
        if self.command.wt_layer is not None:
            told["wt_layer"], _ = self._codes(state, backbone)
        trained = self._trained_with(backbone)
        return told | {key: trained[key] for key in ("output_stride", "partial_dilation") if key in trained}

    @property
    def training_sets(self) -> list[str]:
        return self.command.dataset or []

    def _backbone(self, state: Mapping[str, Tensor], stated: Mapping[str, Any]) -> str:
        """The backbone of the entries; a UserError if ``stated`` or the training command line has another."""
        trained = {}
        if self.command.arch and "backbone" not in stated:
            try:
                trained = architecture_from_arch(self.command.arch)
            except UserError:
                raise UserError(
                    f"{self.path}: was trained with --arch {self.command.arch}, which is unknown here; state "
                    "--arch or --backbone and --output_stride"
                ) from None
        nearest = self.nearest_backbone(state, FAMILY_BACKBONES, LEAST_OVERLAP)
        for source, origin in ((stated, "the flags say"), (trained, "the training command line in it says")):
            if source.get("backbone", nearest) != nearest:
                raise UserError(
                    f"{self.path}: its entries are of {nearest}, {origin} {source['backbone']}; "
                    "state its own --arch"
                )
        return nearest

    def _codes(
        self,
        state: Mapping[str, Tensor],
        backbone: str,
        output_stride: int = 32,
        stated: Sequence[int] | None = None,
    ) -> tuple[list[int], str]:
        """The codes of the sites and where they come from."""
        with torch.device("meta"):
            trunk = create_backbone(backbone, output_stride)
        return resolve_codes(trunk, state, self.path, stated, self.command.wt_layer)

    def _output_stride(self, backbone: str, stated: Mapping[str, Any]) -> tuple[int, str]:
        """The output stride and where it comes from."""
        if "output_stride" in stated:
            return stated["output_stride"], "as stated"
        if trained := self._trained_with(backbone):
            return trained["output_stride"], "trained so"
        known = (known for known in ARCHITECTURES.values() if known["backbone"] == backbone)
        usual = next((architecture["output_stride"] for architecture in known), 16)
        return usual, "the usual one; --output_stride or --arch say otherwise"

    def _trained_with(self, backbone: str) -> dict[str, Any]:
        """The architecture in the training command line; empty if it is unknown or has another backbone."""
        known = ARCHITECTURES.get((self.command.arch or "").removeprefix(FAMILY_PREFIX), {})
        return known if known.get("backbone") == backbone else {}

    @classmethod
    def content_of(cls, checkpoint: Mapping[str, Any], path: Path | str) -> dict[str, Any]:
        config, state = checkpoint["network"], network_state(checkpoint)
        words = ["train.py", "--arch", _family_arch(config, path)]
        words += ["--wt_layer", *map(str, config["wt_layer"])]
        if sources := checkpoint.get("arguments", {}).get("dataset"):
            words += ["--dataset", *sources]
        if config.get("per_image_input"):
            words.append("--image_in")
        # The family's loader demands an epoch and a score.
        score = {"epoch": 0, "mean_iu": 0}
        entries = prefixed(DISTRIBUTED_PREFIX, to_family(state))
        return {"state_dict": entries, **score, "command": shlex.join(words)}


def _family_arch(config: Mapping[str, Any], path: Path | str) -> str:
    """The family's name of the network; a UserError if it has none that computes the same."""
    backbone, output_stride = config["backbone"], config["output_stride"]
    if config.get("snr_stages"):
        raise UserError(f"{path}: has SNR, which the family has only with the head deeplabv2")
    if not config.get("auxiliary", True):
        raise UserError(f"{path}: has no auxiliary head, and all of the family's networks have one")
    lacking = [site for site, code in enumerate(config["wt_layer"]) if family_lacks(backbone, site, code)]
    if lacking:
        code = config["wt_layer"][lacking[0]]
        raise UserError(f"{path}: the family's {backbone} does nothing for code {code} at site {lacking[0]}")
    dilation = config.get("partial_dilation", False)
    for name, architecture in ARCHITECTURES.items():
        same = (architecture["backbone"], architecture["output_stride"]) == (backbone, output_stride)
        # At output stride 32 nothing is dilated.
        if same and output_stride < 32 and architecture.get("partial_dilation", False) != dilation:
            raise UserError(
                f"{path}: the family's {backbone} is dilated in part, this one wholly: not the same network"
            )
        if same and name in FAMILY_HEADS.get(config["head"], ()):
            return f"{FAMILY_PREFIX}{name}"
    raise UserError(
        f"{path}: the family has no {config['head']} on {backbone} at output stride {output_stride}"
    )
