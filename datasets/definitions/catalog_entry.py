"""Tables of a catalog file: values of the right types, or an error that names the file and the key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from utils.errors import UserError, closest
from utils.scoring.classes import Colour

LARGEST_VALUE = 65_535


class Entry:
    """A table of the file."""

    def __init__(self, file: Path, path: str, content: Any, keys: Collection[str] | None = None) -> None:
        """``path`` is where the table is in the file, and ``keys`` are those that it may have (None: any)."""
        self.file, self.path = file, path
        if not isinstance(content, dict):
            self.fail("", "should be a table")
        self.content: dict[str, Any] = content
        if keys is not None:
            self.allow(keys)

    def allow(self, keys: Collection[str]) -> None:
        """Refuse a table that has other ``keys``."""
        for key in self.content:
            if key not in keys:
                self.fail(key, f"this key is not known here; known are {', '.join(keys)}{closest(key, keys)}")

    def fail(self, key: str, problem: str) -> NoReturn:
        """Raise the :class:`UserError` for ``key`` of this table."""
        where = self._place(key)
        raise UserError(f"{self.file}: {where}: {problem}" if where else f"{self.file}: {problem}")

    def _place(self, key: str) -> str:
        return ".".join(filter(None, (self.path, key)))

    def table(self, key: str, keys: Collection[str] | None = None) -> Entry:
        """The table ``key``; it is empty if it is not there."""
        return Entry(self.file, self._place(key), self.content.get(key, {}), keys)

    def text(self, key: str, default: str | None = None) -> str | None:
        """The text of ``key``."""
        value = self.content.get(key, default)
        if value is not None and not isinstance(value, str):
            self.fail(key, f"{value!r} is no text; write it in quotes")
        return value

    def one_of(self, key: str, choices: Sequence[str], default: str) -> str:
        """The text of ``key``, which is one of ``choices``."""
        value = self.text(key, default)
        if value not in choices:
            self.fail(key, f'"{value}" is none of {", ".join(choices)}{closest(value, choices)}')
        return value

    def texts(self, key: str) -> list[str]:
        """The texts of ``key``: a list of them, or one."""
        given = self.content.get(key)
        texts = given if isinstance(given, list) else [given]
        if not texts or not all(isinstance(each, str) and each.strip() for each in texts):
            self.fail(key, "should be a list of texts in quotes")
        return texts

    def colours(self, key: str) -> list[Colour]:
        """The colours of ``key``: a list of them, or one; each is ``[red, green, blue]``."""
        given = self.content[key]
        is_one = isinstance(given, list) and given and not isinstance(given[0], list)
        colours = [given] if is_one or not isinstance(given, list) else given
        for colour in colours:
            is_triple = isinstance(colour, list) and len(colour) == 3
            if not is_triple or not all(type(each) is int and 0 <= each < 256 for each in colour):
                self.fail(key, f"{colour} is no colour; write red, green and blue as [0, 128, 255]")
        return [tuple(colour) for colour in colours]

    def values(self, key: str) -> list[int]:
        """The label values of ``key``: a list of them, or one."""
        given = self.content[key]
        values = given if isinstance(given, list) else [given]
        for value in values:
            if type(value) is not int or not 0 <= value <= LARGEST_VALUE:
                self.fail(key, f"{value!r} is no label value; write whole numbers from 0 to {LARGEST_VALUE}")
        return values
