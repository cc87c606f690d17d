"""From a checkpoint file back to the network it holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from network.factory import create_network
from network.legacy import family_checkpoint, starting_weights
from network.segmentor import SegmentationNet
from utils.checkpoint import is_own, load_state, network_state, read_file
from utils.errors import UserError
from utils.legacy import PROJECTIONS_PREFIX, family_command


def load_network(
    path: Path | str, stated: Mapping[str, Any] | None = None, partial: bool = False
) -> tuple[SegmentationNet, dict[str, Any]]:
    """The network of a checkpoint, in evaluation mode on the CPU, and the checkpoint itself.

    The architecture comes from the checkpoint alone; what the command line has ``stated`` (arguments of
    ``create_network``) is only compared with it. A file of the RobustNet family does not tell everything: see
    ``network.legacy.family_checkpoint``. With ``partial`` only the entries that fit are taken.

    Raises:
        UserError: unreadable checkpoint, keys that do not fit, or a statement that contradicts the
            checkpoint.
    """
    stated = stated or {}
    checkpoint = read_file(path)
    if not is_own(checkpoint):
        checkpoint = family_checkpoint(checkpoint, path, stated)
    network = create_network(**checkpoint["network"])
    own = network.config
    for name, value in stated.items():
        if own[name] != value:
            raise UserError(
                f"{path}: was trained with {name} {own[name]}, the flags say {value}; drop or correct them"
            )
    load_state(network, network_state(checkpoint), path, partial)
    return network.eval(), checkpoint


def load_start(method: nn.Module, path: Path | str, partial: bool = False) -> None:
    """Load the weights a run starts from into ``method``, which holds its network as ``network``.

    A file of the RobustNet family, as it is or imported, holds the network, and BlindNet's files its
    projection heads, which a method that has ``projections`` takes too; the rest of ``method`` is left as it
    is. With ``partial`` only the entries that fit are taken.

    Raises:
        UserError: unreadable checkpoint, another network, or keys that do not fit (without ``partial``).
    """
    content = read_file(path)
    if not partial:
        refuse_another_network(content, method.network.config, path)
    if is_own(content) and "method" in content:
        load_state(method, content["model"], path, partial)
        return
    if not is_own(content):
        content = {"model": starting_weights(content, path, method.network.config["wt_layer"])}
    load_state(method.network, network_state(content), path, partial)
    prefix = PROJECTIONS_PREFIX
    heads = {k.removeprefix(prefix): v for k, v in content["model"].items() if k.startswith(prefix)}
    if heads and any(key.startswith(prefix) for key in method.state_dict()):
        load_state(method.projections, heads, path, partial)


def refuse_another_network(content: Mapping[str, Any], config: Mapping[str, Any], path: Path | str) -> None:
    """Raise a UserError if the network that a file was made with is not that of ``config``.

    Some networks have the same entries (normalisation without parameters, strides), so entries alone do not
    tell. A file of the RobustNet family says it in its command line, if it holds one.
    """
    if is_own(content):
        made_with = content["network"]
    else:
        command = family_command(content)
        made_with = {} if command.wt_layer is None else {"wt_layer": list(command.wt_layer)}
    for name, value in made_with.items():
        if name in config and config[name] != value:
            raise UserError(
                f"{path}: was trained with {name} {value}, this network has {config[name]}; "
                "state the same, or take what fits with --partial_load"
            )
