"""Command lines that the tests of the programs share: everything tiny, on the toy city."""

from __future__ import annotations

import argparse
from pathlib import Path

import config

TRAIN = """
    --dataset gtav --arch network.deepv3.DeepMobileNetV3PlusD --no_pretrained --num_workers 0
    --crop_size 32 --class_uniform_tile 32 --bs_mult 2 --max_iter 6 --eval_every 3 --save_every 1 --log_every
    2 --evaluation_height 64 --gblur --exp tiny
""".split()

ISW = "--wt_layer 0 0 2 2 2 0 0 --cov_stat_epoch 0 --trials 2 --covstat_images 3 --clusters 3".split()

# Method -> its own flags, with such small values that six steps on tiny pictures use every part of it.
TINY_METHODS: dict[str, list[str]] = {
    "baseline": [],
    "isw": ISW,
    "blindnet": "--contrast_max_classes 2 --contrast_max_views 2 --num_patch 1".split(),
    "diia": "--cov_stat_epoch 0 --trials 2 --covstat_images 3".split(),
    "snr": [],
    "maxsquare": "--target_dataset cityscapes --multi --threshold 0.01 --snr_stages 1 3".split(),
    "abn": "--target_dataset cityscapes".split(),
    "sac": "--target_dataset cityscapes --group_size 2 --teacher_every 2 --confidence_lower 0".split(),
}

WITHOUT_SITES = "--wt_layer 0 0 0 0 0 0 0".split()
# Method -> flags with which it trains a frozen or tuned backbone, which has no whitened sites.
TUNABLE_METHODS: dict[str, list[str]] = {
    "baseline": [],
    "blindnet": [*WITHOUT_SITES, "--use_cwcl", "--use_sdcl", *TINY_METHODS["blindnet"]],
    "maxsquare": "--target_dataset cityscapes --threshold 0.01".split(),
    "abn": TINY_METHODS["abn"],
    "sac": TINY_METHODS["sac"],
}


def train_arguments(toycity: Path, ckpt: Path, *more: str) -> list[str]:
    """Arguments of train.py for six steps (two epochs) on the miniature toy city, evaluated after 3 and 6."""
    return [*TRAIN, "--data_root", str(toycity), "--ckpt", str(ckpt), *more]


def arguments(*flags: str) -> argparse.Namespace:
    """The parsed command line of train.py for GTAV with ``flags``."""
    return config.parse_training_arguments(config.training_parser(), ["--dataset", "gtav", *flags])
