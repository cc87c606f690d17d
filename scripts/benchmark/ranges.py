"""The least numbers that the command lines of the benchmarks accept."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from utils.errors import UserError

LEAST = {"repeats": 1, "pictures": 2, "gpu_pictures": 2, "crop_size": 32, "evaluation_size": 2}
"""Batch normalisation needs two pictures. A label needs one square area. The scale 0.5 needs two rows."""


def check_least(args: argparse.Namespace, least: Mapping[str, int] = LEAST) -> None:
    """Raise a UserError if a flag has a number below its ``least``."""
    for name, lowest in least.items():
        given = vars(args).get(name, lowest)
        numbers = given if isinstance(given, list) else [given]
        if min(numbers) < lowest:
            raise UserError(f"--{name} {' '.join(map(str, numbers))}: must be at least {lowest}")
