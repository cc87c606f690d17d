"""How a test of one fault tells the tables of reliability what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from tests.reliability_tables import FAULT


@dataclass
class Trial:
    """A fault that is being tried; ``seen`` is what the user sees of it, empty until it is known."""

    seen: str = ""


Tried = Callable[[str, str], AbstractContextManager[Trial]]
"""The fixture ``tried``: ``with tried(category, what) as trial``."""


def recorder(record_property: Callable[[str, object], None]) -> Tried:
    """A function that gives a block in which one fault is tried: it was survived if the block ends well, and
    is recorded in either case.
    """

    @contextmanager
    def tried(category: str, what: str) -> Iterator[Trial]:
        trial, survived = Trial(), False
        try:
            yield trial
            survived = True
        finally:
            record_property(FAULT, [category, what, survived, trial.seen])

    return tried
