"""The registry of published methods: each method has one file in this folder and one line here."""

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
        # It comes before all methods with flags: `method_named` takes the last method that the flags select,
        # so any other method wins over --snr_stages.
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
    """The name of the method to train: ``--method``, else what the other flags mean, else the baseline.

    Raises:
        UserError: the name is unknown, or other flags mean another method.
    """
    name = arguments.method
    if name is not None and name not in METHODS:
        raise UserError(f"--method {name}: unknown; known are {', '.join(METHODS)}")
    if name is None:
        meant = [each for each, method in METHODS.items() if method.is_meant_by(arguments)]
        return meant[-1] if meant else "baseline"
    for other, method in METHODS.items():
        if other != name and (flags := method.given_flags(arguments)):
            raise UserError(f"--method {name}: --{flags[0]} belongs to the method {other}; drop one of them")
    return name


def flags_of_others(name: str) -> list[argparse.Action]:
    """The flags that other methods declare and the method ``name`` does not use."""
    used = {flag.dest for flag in flags_of(name)}
    return [flag for method in METHODS.values() for flag in declared(method) if flag.dest not in used]


def flags_of(name: str) -> list[argparse.Action]:
    """The flags of the method ``name``, declared by itself or by a method that it extends."""
    family = [method for method in METHODS[name].__mro__ if method in METHODS.values()]
    return [flag for method in family for flag in declared(method)]


def declared(method: type[Method] | type[RestitutionLoss]) -> list[argparse.Action]:
    """The flags that ``add_arguments`` of a method, or of a part that methods share, declares."""
    parser = argparse.ArgumentParser(add_help=False)
    method.add_arguments(parser.add_argument_group())
    return parser._actions
