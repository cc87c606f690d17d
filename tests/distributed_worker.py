"""Started by torchrun: runs train.py and leaves every process's masks in a folder, the first argument."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

import train

runs: list[train.Run] = []


class KeptRun(train.Run):
    """A run that can still be looked at when the program has ended."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        runs.append(self)


torch.set_num_threads(1)
train.Run = KeptRun
train.main(sys.argv[2:])
state = runs[0].method.state_dict()
masks = {name: value for name, value in state.items() if name.startswith("mask")}
torch.save(masks, Path(sys.argv[1]) / f"rank{os.environ['RANK']}.pth")
