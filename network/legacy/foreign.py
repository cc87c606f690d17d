"""The base class for checkpoints of other systems, and what several of their families use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from network.backbone import create_backbone
from network.sites import NO_SITES
from utils import distributed
from utils.errors import UserError

Value = TypeVar("Value")
# Pairs (their prefix, our prefix).
Prefixes = Iterable[tuple[str, str]]
BACKBONE_PREFIX = "backbone."


@dataclass(frozen=True)
class ForeignFile(ABC):
    """A checkpoint that a program of one family wrote. Each family is a subclass.

    Attributes:
        path: where the file is, for messages.
    """

    path: Path | str

    @classmethod
    @abstractmethod
    def recognised(cls, content: object, path: Path | str) -> ForeignFile | None:
        """The file at ``path``, which holds ``content``; ``None`` if this family did not write it."""

    @classmethod
    @abstractmethod
    def content_of(cls, checkpoint: Mapping[str, Any], path: Path | str) -> dict[str, Any] | None:
        """What this family would write for the network of ``checkpoint``, which is ours and from ``path``.

        ``None`` if another family has such networks; a UserError if this one has none that computes the same.
        """

    def checkpoint(self, stated: Mapping[str, Any]) -> dict[str, Any]:
        """The file as a checkpoint of ours: network, model, arguments; ``stated`` is for :meth:`network`."""
        network = self.network(stated)
        model = self.model(network.get("wt_layer", NO_SITES))
        return {"network": network, "model": model, "arguments": {"dataset": self.training_sets}}

    @abstractmethod
    def network(self, stated: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of ``create_network`` for the network in the file. One line is printed.

        What the file does not tell comes from ``stated``, which holds such arguments too. A UserError is
        raised if the entries fit no network known here, contradict ``stated``, or do not tell enough.
        """

    @abstractmethod
    def model(self, wt_layer: Sequence[int]) -> dict[str, Tensor]:
        """The entries for a network with ``wt_layer``, named as in our methods: ``network.*``, and others."""

    def told(self) -> dict[str, Any]:
        """The arguments of ``create_network`` that the file tells, and a run that starts from it must have.

        What shows in the entries may be left out, because loading compares these. A UserError is raised if
        the entries fit no network known here, or contradict the rest of the file.
        """
        return self.network({})

    @property
    def training_sets(self) -> list[str]:
        """The names of the data sets that the network was trained on, if the file tells them."""
        return []

    def nearest_backbone(
        self, state: Mapping[str, Tensor], names: Iterable[str], least_overlap: float
    ) -> str:
        """The one of ``names`` whose convolutions overlap most with those of ``state``, which has our names.

        The overlap is common / all convolutions. A UserError is raised if it is below ``least_overlap``.
        """
        found = convolutions(state)
        own = {name: convolutions_of(name) for name in names}
        overlap = {name: len(found & theirs) / len(found | theirs) for name, theirs in own.items()}
        nearest = max(overlap, key=overlap.__getitem__)
        if overlap[nearest] < least_overlap:
            raise UserError(
                f"{self.path}: its entries are of no backbone known here; they are {', '.join(overlap)}"
            )
        return nearest

    def announce(self, words: str) -> None:
        """Print one line about the file."""
        if distributed.is_main():
            print(f"{self.path}: {words}", flush=True)


def renamed(key: str, prefixes: Prefixes) -> str:
    """``key`` with its prefix replaced by the first pair (before, after) that fits; as it is if none fits."""
    before, after = next((pair for pair in prefixes if key.startswith(pair[0])), ("", ""))
    return after + key.removeprefix(before)


def to_ours(state: Mapping[str, Value], prefixes: Prefixes) -> dict[str, Value]:
    """``state`` with their ``prefixes`` replaced by ours."""
    return {renamed(key, prefixes): value for key, value in state.items()}


def to_theirs(state: Mapping[str, Value], prefixes: Prefixes) -> dict[str, Value]:
    """``state`` with our ``prefixes`` replaced by theirs."""
    return to_ours(state, [(ours, theirs) for theirs, ours in prefixes])


def prefixed(prefix: str, state: Mapping[str, Value]) -> dict[str, Value]:
    """``state`` with ``prefix`` before every name."""
    return {f"{prefix}{key}": value for key, value in state.items()}


def convolutions(state: Mapping[str, Tensor]) -> set[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the convolutions of a backbone, which neither sites nor SNR change."""
    return {
        (key, tuple(value.shape))
        for key, value in state.items()
        if key.startswith(BACKBONE_PREFIX) and "restitutions." not in key and value.dim() == 4
    }


@cache
def convolutions_of(backbone: str) -> set[tuple[str, tuple[int, ...]]]:
    """The :func:`convolutions` of the backbone ``backbone``."""
    with torch.device("meta"):
        trunk = create_backbone(backbone)
    return convolutions(prefixed(BACKBONE_PREFIX, trunk.state_dict()))
