"""The registry of published methods: one file each, one line here."""

from __future__ import annotations

import argparse

from methods.base import Method, Progress
from methods.baseline import Baseline
from methods.blindnet import BlindNet
from methods.diia import DomainInvariantAggregation
from methods.isw import InstanceSelectiveWhitening
from utils.errors import UserError

METHODS: dict[str, type[Method]] = {
    "baseline": Baseline,
    "isw": InstanceSelectiveWhitening,
    "blindnet": BlindNet,
    "diia": DomainInvariantAggregation,
}

__all__ = ["METHODS", "Method", "Progress", "method_named"]


def method_named(arguments: argparse.Namespace) -> str:
    """The registered name for ``--method``; without one, what the other flags ask for, else the baseline.

    Raises:
        UserError: an unknown name, or flags that mean another method.
    """
    name = arguments.method
    if name is not None and name not in METHODS:
        raise UserError(f"--method {name}: unknown; known are {', '.join(METHODS)}")
    if name is None:
        meant = [each for each, method in METHODS.items() if method.is_meant_by(arguments)]
        return meant[-1] if meant else "baseline"
    foreign = [(other, method.given_flags(arguments)) for other, method in METHODS.items() if other != name]
    for other, flags in foreign:
        if flags:
            raise UserError(f"--method {name}: --{flags[0]} is of the method {other}; drop one of them")
    return name
