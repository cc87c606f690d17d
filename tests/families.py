"""Files as the public RobustNet's training writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from network.legacy.robustnet_names import to_family


def write_family_file(
    path: Path, state: Mapping[str, Tensor], arch: str | None = None, wt_layer: Sequence[int] | None = None
) -> Path:
    """Write a family file with the entries ``state``, which have the family's names without ``module.``.

    If ``arch`` is given, the file also has a training command line, with ``--wt_layer`` if that is given.
    """
    weight = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=0.01, momentum=0.9)
    weight.sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    content = {
        "state_dict": {f"module.{key}": value for key, value in state.items()},
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "epoch": 52,
        "mean_iu": np.float32(0.3625),
    }
    if arch is not None:
        content["command"] = f"train.py --local_rank=0 --dataset gtav --arch network.deepv3.{arch} --sgd"
        if wt_layer is not None:
            content["command"] += f" --wt_layer {' '.join(map(str, wt_layer))} --wt_reg_weight 0.6"
    torch.save(content, path)
    return path


def write_family_file_of(path: Path, network: nn.Module, **command: object) -> Path:
    """Write one of our networks with :func:`write_family_file`."""
    return write_family_file(path, to_family(network.state_dict()), **command)
