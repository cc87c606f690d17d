"""Which numbers make sense on the command lines of the benchmarks."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from utils.errors import UserError

LEAST = {"repeats": 1, "pictures": 2, "gpu_pictures": 2, "crop_size": 32, "evaluation_size": 2}
"""Batch normalisation needs two pictures, a label of square areas one such area, the scale 0.5 two rows."""


def check_least(args: argparse.Namespace, least: Mapping[str, int] = LEAST) -> None:
    """Raise a UserError for a number, or one of several, below what its flag needs at least."""
    for name, lowest in least.items():
        given = vars(args).get(name, lowest)
        numbers = given if isinstance(given, list) else [given]
        if min(numbers) < lowest:
            raise UserError(f"--{name} {' '.join(map(str, numbers))}: must be at least {lowest}")
