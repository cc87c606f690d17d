"""Checkpoints that leave out the weights which a tuned network was loaded with.

Such a file names these base weights, and has a digest of what it leaves out. Everything else is in the file:
what is trained, all buffers, the heads, and the weights that a library resamples when it loads them, because
not every machine resamples them to the same bits. When the file is read, the base weights are loaded again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from network.factory import create_network
from network.pretrained import load_imagenet_weights
from network.segmentor import SegmentationNet
from network.tuning import TUNINGS
from network.tuning.low_rank import with_remainders
from utils.errors import UserError
from utils.run.checkpoint import NETWORK_PREFIX, TEACHER_PREFIX, check_parts
from utils.run.tensor_file import digest_of

SAVED = ("trained", "full")
ENTRY = "base"
"""The entry of a checkpoint that describes its base weights."""
BACKBONE = "backbone."
STATES = ("model", "average")
"""The entries of a checkpoint that are state dicts of the method; an average is laid over the model."""
PREFIXES = (NETWORK_PREFIX, TEACHER_PREFIX)
# Parts of the names of weights that depend on the size of the picture or of a patch.
RESAMPLED = ("pos_embed", "patch_embed", "relative_position_bias_table")


def left_out(network: SegmentationNet) -> list[str]:
    """The entries of the state dict of a tuned ``network`` that follow from its base weights."""
    backbone = network.backbone
    return [
        f"{BACKBONE}{name}"
        for name, parameter in backbone.named_parameters()
        if not (parameter.requires_grad or backbone.is_site_key(name) or any(r in name for r in RESAMPLED))
    ]


def base_record(
    network: SegmentationNet, loaded: Mapping[str, Tensor], file: str | Path | None
) -> dict[str, Any]:
    """The checkpoint entry about the base weights of a tuned ``network``.

    ``loaded`` is the state dict of its backbone from before it was tuned; ``file`` is where that came from,
    ``None`` if the name of the backbone told.
    """
    names = left_out(network)
    content = {name: loaded[name.removeprefix(BACKBONE)] for name in names}
    return {
        "backbone": network.config["backbone"],
        "file": None if file is None else Path(file).name,
        "entries": names,
        "digest": digest_of(content),
    }


def saves_all(network: SegmentationNet, wanted: str | None) -> bool:
    """Whether checkpoints of ``network`` hold all of it; ``wanted`` is the flag ``--save``.

    Raises a UserError if the base weights cannot be left out, although they should.
    """
    tuning = network.config.get("tuning")
    if wanted == "trained" and not tuning:
        raise UserError("--save trained: everything is trained here; drop it, or freeze weights with --tune")
    if wanted == "trained" and network.base is None:
        raise UserError(
            "--save trained: the frozen weights are not those of a known backbone, so nobody could load them "
            "again; drop it, or start from --pretrained or --backbone_weights"
        )
    if wanted is not None or not tuning:
        return wanted != "trained"
    return network.base is None or not TUNINGS[tuning["name"]].small_files


def as_saved(
    content: Mapping[str, Any], network: SegmentationNet, whole: bool, resumable: bool
) -> dict[str, Any]:
    """The ``content`` of a checkpoint with what it says about the base weights of ``network``.

    Unless ``whole``, the base weights are left out, and so is the state of the optimiser if the checkpoint
    need not be ``resumable``.
    """
    base = network.base
    result = dict(content) if base is None else {**content, ENTRY: base}
    if whole or base is None:
        return result
    without = {f"{prefix}{name}" for prefix in PREFIXES for name in base["entries"]}
    for entry in STATES:
        if state := result.get(entry):
            result[entry] = {key: value for key, value in state.items() if key not in without}
    if not resumable:
        del result["optimizer"]
    return result


def whole_model(
    checkpoint: Mapping[str, Any], path: Path | str, file: str | Path | None = None
) -> dict[str, Tensor]:
    """The method's state dict in the checkpoint ``path``, with the base weights that were left out.

    Args:
        checkpoint: its content.
        file: the base weights, the same that the run started from. By default they are downloaded, or found
            where an earlier download has put them.

    Raises:
        UserError: the base weights are not there, or are others than those that the run started from.
    """
    model, base = dict(checkpoint["model"]), checkpoint.get(ENTRY)
    if base is None or all(f"{NETWORK_PREFIX}{name}" in model for name in base.get("entries", ())):
        return model
    weights = _base_weights(checkpoint, path, file)
    for prefix in PREFIXES:
        stored = {key.removeprefix(prefix): value for key, value in model.items() if key.startswith(prefix)}
        if stored:
            filled = with_remainders(weights, stored)
            model |= {f"{prefix}{name}": value for name, value in filled.items()}
    return model


def _base_weights(
    checkpoint: Mapping[str, Any], path: Path | str, file: str | Path | None
) -> dict[str, Tensor]:
    """The entries of the network's state dict that the checkpoint ``path`` leaves out."""
    base = checkpoint[ENTRY]
    check_parts(base, {"backbone": str, "entries": list, "digest": str}, path)
    needs = f"{path}: needs the weights it was trained on"
    if base.get("file") and file is None:
        raise UserError(f"{needs}, of the file {base['file']}; pass it with --backbone_weights")
    network = create_network(**{**checkpoint["network"], "tuning": None})
    try:
        load_imagenet_weights(network, None if file is None else Path(file))
    except UserError as error:
        reason = str(error).partition(";")[0]
        raise UserError(f"{needs}: {reason}; pass them with --backbone_weights FILE") from None
    state = network.state_dict()
    weights = {name: state[name] for name in base["entries"] if name in state}
    if digest_of(weights) != base["digest"]:
        origin = file or f"those of {base['backbone']} that are found now"
        called = f" (the file was called {base['file']})" if base.get("file") else ""
        raise UserError(
            f"{needs}, but {origin} are others, with another digest; pass the right ones with "
            f"--backbone_weights FILE{called}"
        )
    return weights
