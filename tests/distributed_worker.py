"""Run train.py under torchrun, and save every process's masks in the folder of the first argument."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

import train
from methods.isw import InstanceSelectiveWhitening

build_masks = InstanceSelectiveWhitening.build_masks


def build_and_save(method: InstanceSelectiveWhitening, loaders: object) -> None:
    """Build the masks and save them at once, because in the next step DDP would make all buffers equal."""
    build_masks(method, loaders)
    masks = {name: value for name, value in method.named_buffers() if name.startswith("mask")}
    torch.save(masks, Path(sys.argv[1]) / f"rank{os.environ['RANK']}.pth")


torch.set_num_threads(1)
InstanceSelectiveWhitening.build_masks = build_and_save
train.main(sys.argv[2:])
