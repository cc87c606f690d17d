"""The registry of published methods: one file each, one line here."""

from __future__ import annotations

from methods.base import Method, Progress
from methods.baseline import Baseline
from methods.isw import InstanceSelectiveWhitening
from utils.errors import UserError

METHODS: dict[str, type[Method]] = {
    "baseline": Baseline,
    "isw": InstanceSelectiveWhitening,
}

__all__ = ["METHODS", "Method", "Progress", "method_named"]


def method_named(name: str | None, wt_layer: tuple[int, ...]) -> str:
    """The registered name for ``--method``; without one, what the ``--wt_layer`` codes ask for."""
    if name is None:
        return "isw" if METHODS["isw"].codes & set(wt_layer) else "baseline"
    if name not in METHODS:
        raise UserError(f"--method {name}: unknown; known are {', '.join(METHODS)}")
    return name
