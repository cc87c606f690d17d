"""From a checkpoint file back to the network it holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from network.factory import create_network
from network.segmentor import SegmentationNet
from utils.checkpoint import load_checkpoint, load_state, network_state
from utils.errors import UserError


def load_network(
    path: Path | str, stated: Mapping[str, Any] | None = None
) -> tuple[SegmentationNet, dict[str, Any]]:
    """The network of a checkpoint, in evaluation mode on the CPU, and the checkpoint itself.

    The architecture comes from the checkpoint alone; what the command line has ``stated`` (arguments of
    ``create_network``) is only compared with it.

    Raises:
        UserError: unreadable checkpoint, keys that do not fit, or a statement that contradicts the
            checkpoint.
    """
    checkpoint = load_checkpoint(path)
    own = checkpoint["network"]
    for name, value in (stated or {}).items():
        if own[name] != value:
            raise UserError(
                f"{path}: was trained with {name} {own[name]}, the flags say {value}; drop or correct them"
            )
    network = create_network(**own)
    load_state(network, network_state(checkpoint), path)
    return network.eval(), checkpoint
