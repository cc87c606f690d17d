"""Checkpoints of published systems, above all of the RobustNet family: which network they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from network.backbone import BACKBONES
from network.backbone.base import Backbone
from network.backbone.caffe_resnet import INFIX as CAFFE
from network.backbone.resnet import ResNetBackbone
from network.factory import ARCHITECTURES, FAMILY_PREFIX, architecture_from_arch
from network.legacy_dasac import dasac_checkpoint, dasac_model
from network.legacy_deeplabv2 import deeplabv2_checkpoint
from network.sites import NO_SITES, NUM_SITES
from utils import distributed
from utils.errors import UserError
from utils.legacy import (
    CLASSIFIER_KEY,
    FamilyCommand,
    family_command,
    family_entries,
    from_family,
    projections,
)
from utils.legacy_dasac import dasac_weights
from utils.legacy_deeplabv2 import deeplabv2_entries, from_deeplabv2
from utils.run.checkpoint import NETWORK_PREFIX, network_state

# Not those of ``network.legacy_deeplabv2`` and ``network.legacy_dasac``, some of which have the entries of
# others.
FAMILY_BACKBONES = [name for name in BACKBONES if CAFFE not in name and not name.startswith("vgg")]
# Entries that only the aggregation head (DIIA) has.
AGGREGATION_PREFIX = "head.attention."
FAMILY_OF_HEAD = {"aggregation": "DIIA", "deeplabv3plus": "RobustNet"}
TRUNK_PREFIX = "backbone."
# Of the recognised entries of a backbone, at least this share must be there to call a file one of it.
LEAST_OVERLAP = 0.5
# Codes that leave no entries, and compute the same.
PLAIN_CODES = frozenset({1, 2, 3})


def starting_weights(content: Any, path: Path | str, wt_layer: Sequence[int]) -> dict[str, Tensor]:
    """What a published system's file at ``path`` holds for a network with ``wt_layer``, by a method's names.

    That is ``network.*``, of BlindNet's files ``projections.*``, and of DA-SAC's what its teacher is.

    Raises:
        UserError: the file is neither ours nor of a system known here.
    """
    if (entries := deeplabv2_entries(content)) is not None:
        return {f"{NETWORK_PREFIX}{key}": value for key, value in from_deeplabv2(entries).items()}
    if (weights := dasac_weights(content)) is not None:
        return dasac_model(weights)
    entries = family_entries(content)
    if entries is None:
        raise UserError(
            f"{path}: not an UrbanDG checkpoint, nor one of RobustNet, AdaptSegNet, MaxSquare, SNR, DA-SAC "
            "or their kin; train one with train.py (weights of a backbone alone: --backbone_weights)"
        )
    network = from_family(entries, wt_layer)
    return {f"{NETWORK_PREFIX}{key}": value for key, value in network.items()} | projections(entries)


def family_checkpoint(content: Any, path: Path | str, stated: Mapping[str, Any]) -> dict[str, Any]:
    """What a published system's file at ``path`` holds, as a checkpoint of ours: network, model, arguments.

    The architecture is recognised from the names and shapes of the entries; what they do not tell comes from
    ``stated`` (arguments of ``create_network``), then from the training command line in the file, then, for
    the output stride, from the first architecture the family has with this backbone. One line is printed.

    Raises:
        UserError: not such a file; statement or command line contradict the entries; or nothing tells what
            the sites hold.
    """
    if (entries := deeplabv2_entries(content)) is not None:
        return deeplabv2_checkpoint(entries, path, stated)
    if (weights := dasac_weights(content)) is not None:
        return dasac_checkpoint(weights, path)
    state = network_state({"model": starting_weights(content, path, NO_SITES)})
    command = family_command(content)
    architecture = _architecture(command, path) if "backbone" not in stated and command.arch else {}
    name = _recognise_backbone(state, path, stated, architecture)
    output_stride, stride_origin = _output_stride(name, stated, command)
    with torch.device("meta"):
        trunk = BACKBONES[name](name, output_stride, NO_SITES, False)
    possible = _possible_codes(trunk, state)
    wt_layer, code_origin = _resolve_codes(trunk, possible, path, stated.get("wt_layer"), command.wt_layer)
    config = {
        "backbone": name,
        "head": _recognise_head(state),
        "num_classes": family_entries(content)[CLASSIFIER_KEY].shape[0],
        "output_stride": output_stride,
        "wt_layer": wt_layer,
        "partial_dilation": _is_partially_dilated(name),
        "per_image_input": stated.get("per_image_input", bool(command.image_in)),
    }
    if distributed.is_main():
        codes = " ".join(map(str, wt_layer))
        entries = family_entries(content)
        kind = "BlindNet" if projections(entries) else FAMILY_OF_HEAD[config["head"]]
        print(
            f"{path}: {kind} checkpoint, {name}, "
            f"output stride {output_stride} ({stride_origin}), --wt_layer {codes} ({code_origin})",
            flush=True,
        )
    return {
        "network": config,
        "model": starting_weights(content, path, wt_layer),
        "arguments": {"dataset": command.dataset or []},
    }


def _recognise_head(state: Mapping[str, Tensor]) -> str:
    aggregates = any(key.startswith(AGGREGATION_PREFIX) for key in state)
    return "aggregation" if aggregates else "deeplabv3plus"


def _is_partially_dilated(backbone: str) -> bool:
    family = [a for a in ARCHITECTURES.values() if a["backbone"] == backbone]
    return any(a.get("partial_dilation", False) for a in family)


def _architecture(command: FamilyCommand, path: Path | str) -> dict[str, Any]:
    try:
        return architecture_from_arch(command.arch)
    except UserError:
        raise UserError(
            f"{path}: was trained with --arch {command.arch}, which is unknown here; state --arch or "
            "--backbone and --output_stride"
        ) from None


@cache
def _own_convolutions(backbone: str) -> set[tuple[str, tuple[int, ...]]]:
    with torch.device("meta"):
        trunk = BACKBONES[backbone](backbone, 32, NO_SITES, False)
    return _convolutions({f"{TRUNK_PREFIX}{key}": value for key, value in trunk.state_dict().items()})


def _convolutions(state: Mapping[str, Tensor]) -> set[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the convolutions of a backbone, which no site changes."""
    return {
        (key, tuple(value.shape))
        for key, value in state.items()
        if key.startswith(TRUNK_PREFIX) and value.dim() == 4
    }


def _recognise_backbone(
    state: Mapping[str, Tensor], path: Path | str, stated: Mapping[str, Any], command: Mapping[str, Any]
) -> str:
    """The backbone whose convolutions these are; of a file with some missing or in excess the nearest one."""
    found = _convolutions(state)
    overlap = {}
    for name in FAMILY_BACKBONES:
        own = _own_convolutions(name)
        overlap[name] = len(own & found) / len(own | found)
    nearest = max(overlap, key=overlap.__getitem__)
    if overlap[nearest] < LEAST_OVERLAP:
        raise UserError(f"{path}: its entries are of no backbone known here; they are {', '.join(overlap)}")
    for source, origin in ((stated, "the flags say"), (command, "the training command line in it says")):
        if source.get("backbone", nearest) != nearest:
            raise UserError(
                f"{path}: its entries are of {nearest}, {origin} {source['backbone']}; state its own --arch"
            )
    return nearest


def _output_stride(backbone: str, stated: Mapping[str, Any], command: FamilyCommand) -> tuple[int, str]:
    """The output stride and where it comes from."""
    if "output_stride" in stated:
        return stated["output_stride"], "as stated"
    known = ARCHITECTURES.get((command.arch or "").removeprefix(FAMILY_PREFIX), {})
    if known.get("backbone") == backbone:
        return known["output_stride"], "trained so"
    usual = [a["output_stride"] for a in ARCHITECTURES.values() if a["backbone"] == backbone]
    return (usual or [16])[0], "the usual one; --output_stride or --arch say otherwise"


def _possible_codes(trunk: Backbone, state: Mapping[str, Tensor]) -> dict[int, frozenset[int]]:
    """Site -> codes that its entries allow."""
    possible = {}
    for site in trunk.site_channels:
        in_stem = isinstance(trunk, ResNetBackbone) and site < 3
        layer = TRUNK_PREFIX + (trunk.stem_norm(site) if in_stem else f"site_norms.{site}")
        if f"{layer}.sw_mean_weight" in state:
            codes = frozenset({5})
        elif f"{layer}.running_var" in state:
            codes = frozenset({0})
        elif f"{layer}.weight" in state:
            codes = frozenset({4})
        else:
            codes = PLAIN_CODES if in_stem else PLAIN_CODES | {0}
        possible[site] = codes
    return possible


def _resolve_codes(
    trunk: Backbone,
    possible: Mapping[int, frozenset[int]],
    path: Path | str,
    stated: Sequence[int] | None,
    command: Sequence[int] | None,
) -> tuple[list[int], str]:
    """The seven codes and where they come from."""
    if stated is not None:
        return _checked(stated, possible, path, "the flags say"), "as stated"
    if command is not None:
        built = _built_codes(trunk, possible, command, path)
        return _checked(built, possible, path, "the training command line in it says"), "trained so"
    # Every published recipe has one code at all of its sites, and with a residual network one in the stem:
    # where that one shows, the entries tell the others.
    seen = {code for codes in possible.values() if len(codes) == 1 for code in codes}
    hidden = [site for site, codes in possible.items() if len(codes) > 1]
    in_stem = any(possible[site] == PLAIN_CODES for site in hidden)
    if hidden and (in_stem or not seen):
        tell = ", ".join(f"{site}: {_words(codes)}" for site, codes in possible.items())
        raise UserError(
            f"{path}: a RobustNet checkpoint of {trunk.name} whose entries do not tell what all sites hold "
            f"({tell}); state --wt_layer as it was trained, e.g. 0 0 2 2 2 0 0"
        )
    codes = [min(possible.get(site, {0})) for site in range(NUM_SITES)]
    places = ", ".join(map(str, hidden))
    condition = f", if sites {places} have none of 1, 2, 3; otherwise state --wt_layer" if hidden else ""
    return codes, f"by its entries{condition}"


def _words(codes: frozenset[int]) -> str:
    return " or ".join(map(str, sorted(codes)))


def _checked(
    codes: Sequence[int], possible: Mapping[int, frozenset[int]], path: Path | str, origin: str
) -> list[int]:
    """``codes``; a UserError if the entries do not allow them."""
    for site, allowed in possible.items():
        if codes[site] not in allowed:
            raise UserError(
                f"{path}: its entries allow code {_words(allowed)} at site {site}, {origin} {codes[site]}; "
                "state --wt_layer as it was trained"
            )
    return list(codes)


def _built_codes(
    trunk: Backbone, possible: Mapping[int, frozenset[int]], codes: Sequence[int], path: Path | str
) -> list[int]:
    """The codes that the family's network had for its own ``--wt_layer``, parts of which it ignored.

    That is sites that a backbone does not have, MobileNetV2's site 6, and switchable whitening in MobileNetV2
    and in ShuffleNetV2's blocks.
    """
    built = [code if site in possible else 0 for site, code in enumerate(codes)]
    for site, code in enumerate(built):
        if family_lacks(trunk.name, site, code) and 5 not in possible[site]:
            if trunk.name.startswith("shufflenet") and site in (2, 6):
                raise UserError(
                    f"{path}: was trained with code 5 at site {site}, where the family's ShuffleNetV2 then "
                    "normalises nothing; that network is not supported"
                )
            built[site] = 0
    return built


def family_lacks(backbone: str, site: int, code: int) -> bool:
    """Whether the family's backbone has no layer for ``code`` at ``site``."""
    if backbone.startswith("mobilenet") and site == 6:
        return code != 0
    return code == 5 and backbone.startswith(("mobilenet", "shufflenet"))
