"""The cost of a network: its parameters, and its multiply-accumulate operations per picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import thop
import torch
from thop.vision.basic_hooks import count_convNd

from network.factory import create_network
from network.head.atrous import AtrousConvolution


def describe(config: Mapping[str, Any], height: int, width: int) -> str:
    """One line with backbone, parameters, and operations for a picture of ``height`` x ``width`` pixels."""
    parameters, operations = network_cost(config, height, width)
    size = f"{parameters / 1e6:.1f} M parameters, {operations / 1e9:.1f} GMACs at {height} x {width}"
    return f"{config['backbone']} at output stride {config['output_stride']}: {size}"


def network_cost(config: Mapping[str, Any], height: int, width: int) -> tuple[int, float]:
    """Parameters, with the auxiliary head's, and multiply-accumulates of one forward pass in evaluation mode.

    They are counted on the meta device, without computing. ``config``: arguments of ``create_network``. What
    tuning adds does not count.
    """
    with torch.device("meta"):
        network = create_network(**{**config, "tuning": None}).eval()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    picture = torch.zeros(1, 3, height, width, device="meta")
    counted = {AtrousConvolution: count_convNd}
    operations, _ = thop.profile(network, inputs=(picture,), custom_ops=counted, verbose=False)
    return parameters, float(operations)
