"""The registry of published methods: one file each, one line here."""

from __future__ import annotations

import argparse

from methods.abn import AdaptiveBatchNormalisation
from methods.baseline import Baseline
from methods.blindnet import BlindNet
from methods.common.base import Method, Progress
from methods.common.restitution import RestitutionLoss
from methods.diia import DomainInvariantAggregation
from methods.isw import InstanceSelectiveWhitening
from methods.maxsquare import MaxSquare
from methods.sac import AugmentationConsistency
from methods.snr import StyleNormalisationRestitution
from utils.errors import UserError

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        Baseline,
        # Before those that any network may be trained with: their flags decide where both are meant.
        StyleNormalisationRestitution,
        InstanceSelectiveWhitening,
        BlindNet,
        DomainInvariantAggregation,
        MaxSquare,
        AdaptiveBatchNormalisation,
        AugmentationConsistency,
    )
}

__all__ = ["METHODS", "Method", "Progress", "declared", "flags_of", "flags_of_others", "method_named"]


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


def flags_of_others(name: str) -> list[argparse.Action]:
    """The flags that other methods than ``name`` declare and it does not heed."""
    heeded = {flag.dest for flag in flags_of(name)}
    others = [flag for method in METHODS.values() for flag in declared(method)]
    return [flag for flag in others if flag.dest not in heeded]


def flags_of(name: str) -> list[argparse.Action]:
    """The flags of the method ``name``, declared by itself or by a method that it builds on."""
    family = [method for method in METHODS[name].__mro__ if method in METHODS.values()]
    return [flag for method in family for flag in declared(method)]


def declared(method: type[Method] | type[RestitutionLoss]) -> list[argparse.Action]:
    """The flags that a method, or a part of methods, declares itself."""
    parser = argparse.ArgumentParser(add_help=False)
    method.add_arguments(parser.add_argument_group())
    return parser._actions
