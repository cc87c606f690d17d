"""One declaration for each flag: its type, default, range and meaning, and what the programs do with it."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from utils.errors import UserError


@dataclass(frozen=True)
class Facts:
    """What a declaration says that argparse does not know.

    Attributes:
        at_least, above, at_most, below: the range of a number.
        free: the value may change when a run is resumed.
        once: the value belongs to one start of a program. It is ``free``, and not read from ``args.json``.
        toy: the default if no data set is named, so that the toy city is used; ``None``: the usual default.
        everyday: ``--help`` shows the flag on its first screen.
        replaces: if this flag is on the command line, these flags of ``--config`` files are ignored.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    free: bool = False
    once: bool = False
    toy: Any = None
    everyday: bool = False
    replaces: tuple[str, ...] = ()


FACTS = {field.name for field in fields(Facts)}
# Seeds are below this number, because torch takes no greater ones.
SEEDS = 2**63
METAVARS = {int: "N", float: "X"}


class Flag:
    """A declaration: ``Flag(group, "--lr", 0.01, at_least=0).means("Start with this learning rate.")``

    ``names``: the flag and its other names, with spaces between. ``value``: the default, which has the flag's
    type; or a type alone, and the default is ``None``; ``False`` makes a switch. ``keywords``: those of
    :class:`Facts`, and those of argparse's ``add_argument``, which win over what follows from ``value``.
    """

    def __init__(self, group: argparse._ActionsContainer, names: str, value: Any, **keywords: Any) -> None:
        known = Facts(**{name: keywords.pop(name) for name in FACTS & keywords.keys()})
        if "action" in keywords:
            implied = {"default": value}
        elif value is False:
            implied = {"action": "store_true"}
        else:
            implied = {"type": value} if callable(value) else {"type": type(value), "default": value}
            if "choices" not in keywords:
                implied["metavar"] = METAVARS.get(implied["type"], "NAME")
        self.action = group.add_argument(*names.split(), **{**implied, **keywords})
        self.action.facts = known

    def means(self, meaning: str) -> None:
        """Give the flag its help."""
        self.action.help = meaning


def facts(action: argparse.Action) -> Facts:
    """The facts that a flag was declared with."""
    return getattr(action, "facts", Facts())


def free_on_resume(parser: argparse.ArgumentParser) -> set[str]:
    """The settings that may change when a run is resumed."""
    return {action.dest for action in parser._actions if facts(action).free or facts(action).once}


def toy_defaults(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Setting -> its default with the toy city, of those that have one."""
    return {a.dest: facts(a).toy for a in parser._actions if facts(a).toy is not None}


def check_ranges(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Raise a UserError for a number out of the range that its flag declares, and for NaN."""
    for action in parser._actions:
        value = getattr(args, action.dest, None)
        values = value if isinstance(value, Sequence) else [value]
        # A switch is no number, although Python counts it among them.
        wrong = _wrong(value, facts(action)) if type(value) in (int, float) else None
        if any(isinstance(each, float) and math.isnan(each) for each in values):
            wrong = "must be a number"
        if wrong:
            raise UserError(f"--{action.dest} {' '.join(map(str, values))}: {wrong}")


def _wrong(value: float, known: Facts) -> str | None:
    """What is wrong with a number; ``None`` if nothing is."""
    least, most = known.at_least, known.at_most
    if None not in (least, most) and not least <= value <= most:
        return f"must be between {least} and {most}"
    if known.above is not None and not known.above < value < math.inf:
        return f"must be greater than {known.above}"
    if known.at_least is not None and not known.at_least <= value < math.inf:
        return f"must be {known.at_least} or {'more' if known.at_least else 'a positive number'}"
    return None if known.below is None or value < known.below else f"must be below {known.below}"
