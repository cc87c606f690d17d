"""The checkpoints of RobustNet, BlindNet and DIIA: theirs to ours, and back."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from network.backbone import BACKBONES, create_backbone
from network.backbone.resnet import CAFFE_INFIX
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
# A file is of a backbone if their convolutions (name and shape) overlap by at least this: common / all.
LEAST_OVERLAP = 0.5
# In BlindNet's command lines the name of a data set ends so if it is read in two views.
TWO_VIEWS_SUFFIX = "_jitter"
# Head -> the family's names of the networks that have it. DIIA's code cannot build its other networks, except
# DeepR101V3PlusD_OS8. There layer4 is larger than edges and layout, so the attention mixes up positions.
FAMILY_HEADS = {
    "deeplabv3plus": tuple(ARCHITECTURES),
    "aggregation": ("DeepR50V3PlusD", "DeepR101V3PlusD"),
}


class FamilyCommand(NamedTuple):
    """These flags in the training command line that a family file holds; ``None`` if one is not there."""

    arch: str | None = None
    wt_layer: list[int] | None = None
    dataset: list[str] | None = None
    image_in: bool | None = None


class _CommandParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def family_command(content: Mapping[str, object]) -> FamilyCommand:
    """The command line in the ``content`` of a family file; unsaid if there is none or it cannot be parsed.

    Without ``--wt_layer`` the family trains with no site.
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

    The entries, the training command line and the user tell the codes of the sites. With these codes
    :meth:`model` leaves out the entries that the network does not use.

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

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """The entries under our names, with those that sites may leave unused."""
        return from_family(self.entries)

    @cached_property
    def backbone(self) -> str:
        """The backbone with these convolutions; if some are missing or in excess, the nearest one."""
        return self.nearest_backbone(self.state, FAMILY_BACKBONES, LEAST_OVERLAP)

    @property
    def trained(self) -> dict[str, Any]:
        """The architecture in the training command line; empty if it is unknown or has another backbone."""
        known = ARCHITECTURES.get((self.command.arch or "").removeprefix(FAMILY_PREFIX), {})
        return known if known.get("backbone") == self.backbone else {}

    @property
    def training_sets(self) -> list[str]:
        return self.command.dataset or []

    def network(self, stated: Mapping[str, Any]) -> dict[str, Any]:
        """As the base class says. The training command line tells what neither entries nor ``stated`` tell.

        If nothing tells the output stride, it is that of the family's first architecture with this backbone.
        """
        self._check_backbone(stated)
        output_stride, stride_origin = self._output_stride(stated)
        wt_layer, code_origin = self._codes(output_stride, stated.get("wt_layer"))
        aggregates = any(key.startswith("head.attention.") for key in self.state)  # Only DIIA's head does.
        kind = "BlindNet" if projections(self.entries) else "DIIA" if aggregates else "RobustNet"
        self.announce(
            f"{kind} checkpoint, {self.backbone}, output stride {output_stride} ({stride_origin}), "
            f"--wt_layer {' '.join(map(str, wt_layer))} ({code_origin})"
        )
        return {
            "backbone": self.backbone,
            "head": "aggregation" if aggregates else "deeplabv3plus",
            "num_classes": self.entries[CLASSIFIER_KEY].shape[0],
            "output_stride": output_stride,
            "wt_layer": wt_layer,
            "partial_dilation": any(
                architecture.get("partial_dilation", False)
                for architecture in self._architectures()
                if architecture["output_stride"] == output_stride
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
        if self.command.wt_layer is not None:
            told["wt_layer"], _ = self._codes()
        if self.command.arch is not None:
            trained = self.trained
            told |= {key: trained[key] for key in ("output_stride", "partial_dilation") if key in trained}
        return told

    def _check_backbone(self, stated: Mapping[str, Any]) -> None:
        """Raise a UserError if ``stated`` or the training command line has another backbone."""
        trained = {}
        if self.command.arch and "backbone" not in stated:
            try:
                trained = architecture_from_arch(self.command.arch)
            except UserError:
                raise UserError(
                    f"{self.path}: was trained with --arch {self.command.arch}, which is unknown here; state "
                    "--arch or --backbone and --output_stride"
                ) from None
        for source, origin in ((stated, "the flags say"), (trained, "the training command line in it says")):
            if source.get("backbone", self.backbone) != self.backbone:
                raise UserError(
                    f"{self.path}: its entries are of {self.backbone}, {origin} {source['backbone']}; "
                    "state its own --arch"
                )

    def _architectures(self) -> list[dict[str, Any]]:
        """The family's architectures with this backbone."""
        return [each for each in ARCHITECTURES.values() if each["backbone"] == self.backbone]

    def _output_stride(self, stated: Mapping[str, Any]) -> tuple[int, str]:
        """The output stride and where it comes from."""
        if "output_stride" in stated:
            return stated["output_stride"], "as stated"
        if self.trained:
            return self.trained["output_stride"], "trained so"
        usual = [architecture["output_stride"] for architecture in self._architectures()]
        return (usual or [16])[0], "the usual one; --output_stride or --arch say otherwise"

    def _codes(self, output_stride: int = 32, stated: Sequence[int] | None = None) -> tuple[list[int], str]:
        """The codes of the sites and where they come from."""
        with torch.device("meta"):
            trunk = create_backbone(self.backbone, output_stride)
        return resolve_codes(trunk, self.state, self.path, stated, self.command.wt_layer)

    @classmethod
    def content_of(cls, checkpoint: Mapping[str, Any], path: Path | str) -> dict[str, Any]:
        config = checkpoint["network"]
        words = ["train.py", "--arch", _family_arch(config, path)]
        words += ["--wt_layer", *map(str, config["wt_layer"])]
        if sources := checkpoint.get("arguments", {}).get("dataset"):
            words += ["--dataset", *sources]
        if config.get("per_image_input"):
            words.append("--image_in")
        entries = prefixed(DISTRIBUTED_PREFIX, to_family(network_state(checkpoint)))
        # The family's loader demands an epoch and a score.
        return {"state_dict": entries, "epoch": 0, "mean_iu": 0, "command": shlex.join(words)}


def _family_arch(config: Mapping[str, Any], path: Path | str) -> str:
    """The family's name of the network; a UserError if it has none that computes the same."""
    backbone, output_stride, head = config["backbone"], config["output_stride"], config["head"]
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
            theirs, ours = ("wholly", "in part") if dilation else ("in part", "wholly")
            raise UserError(
                f"{path}: the family's {backbone} is dilated {theirs}, this one {ours}: not the same network"
            )
        if same and name in FAMILY_HEADS.get(head, ()):
            return f"{FAMILY_PREFIX}{name}"
    raise UserError(f"{path}: the family has no {head} on {backbone} at output stride {output_stride}")
