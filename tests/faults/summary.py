"""The table of what the fault suites tried: category, how many, how many survived, what the user sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from utils.files import atomic_write

PROPERTY = "fault"
"""Name of the property that a test of the suites records: [category, what, survived, what the user sees]."""

_LONGEST = 230


def summary(records: Iterable[Sequence[Any]]) -> str:
    """The records as a Markdown table, a row per category in the order of their names.

    What the user sees is of the category's first survivor with an error, by name.
    """
    categories: dict[str, list[Sequence[Any]]] = {}
    for each in records:
        categories.setdefault(each[0], []).append(each)
    lines = ["| what | tried | survived | what the user sees, for example |", "|---|---:|---:|---|"]
    for category, tried in sorted(categories.items()):
        survivors = sorted((each for each in tried if each[2]), key=_by_error_and_name)
        example = _example(*survivors[0][1::2]) if survivors else ""
        lines.append(f"| {category} | {len(tried)} | {len(survivors)} | {example} |")
    every = [each for tried in categories.values() for each in tried]
    lines.append(f"| **all** | **{len(every)}** | **{sum(bool(each[2]) for each in every)}** | |")
    return "\n".join(lines) + "\n"


def _by_error_and_name(record: Sequence[Any]) -> tuple[bool, str]:
    return "error" not in record[3], record[1]


def _example(what: str, seen: str) -> str:
    seen = seen if len(seen) <= _LONGEST else f"{seen[:_LONGEST]} ..."
    return f"{what}: `{seen}`".replace("|", "\\|").replace("\n", " ")


def write_summary(path: Path, properties: Iterable[tuple[str, Any]]) -> None:
    """Write the table of the recorded ``properties`` of the tests that ran to ``path``."""
    with atomic_write(path) as temporary:
        temporary.write_text(
            summary(value for name, value in properties if name == PROPERTY), encoding="utf-8"
        )
