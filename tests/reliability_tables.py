"""The tables of docs/reliability.md, made from what the tests record (``--faults_report=FILE``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from utils.files import atomic_write

FAULT = "fault"
"""Name of a record of a fault: [category, what, survived, what the user sees]."""
PROPERTY = "property"
"""Name of a record of a property: [what holds, whether it held, number of random examples]."""
DRIFT = "drift"
"""Name of a record of a number with a bound: [what, bound, value].

``bound`` is a text such as ``<= 3 %``, and ``value`` has the same unit.
"""

_LONGEST = 230


def fault_table(records: Iterable[Sequence[Any]]) -> str:
    """One row per category, with what the user sees in its first survived case, those with an error first."""
    categories = _by_first(records)
    rows = []
    for category, tried in categories.items():
        survivors = sorted((each for each in tried if each[2]), key=_by_error_and_name)
        example = _example(*survivors[0][1::2]) if survivors else ""
        rows.append([category, len(tried), len(survivors), example])
    rows.append(_sums(rows))
    return _table(["what", "tried", "survived", "what the user sees, for example"], rows)


def property_table(records: Iterable[Sequence[Any]]) -> str:
    """One row per property."""
    rows = [
        [what, len(tests), sum(bool(each[1]) for each in tests), sum(each[2] for each in tests)]
        for what, tests in _by_first(records).items()
    ]
    header = ["what holds", "tests", "held", "random examples"]
    return _table(header, [*rows, [*_sums(rows)[:3], f"**{_sum(rows, 3)}**"]])


def drift_table(records: Iterable[Sequence[Any]]) -> str:
    """One row per quantity, with the value that came nearest to its bound."""
    rows = []
    for what, cases in _by_first(records).items():
        bound = cases[0][1]
        worst = (max if bound.startswith("<=") else min)(each[2] for each in cases)
        unit = " %" if bound.endswith("%") else ""
        rows.append([what, len(cases), bound, f"{worst:.4g}{unit}"])
    return _table(["bfloat16 against float32", "cases", "bound", "worst"], rows)


def write_tables(path: Path, properties: Iterable[tuple[str, Any]]) -> None:
    """Write the tables of ``properties``, the records of the tests that ran."""
    recorded = list(properties)
    tables = []
    for name, table in ((FAULT, fault_table), (PROPERTY, property_table), (DRIFT, drift_table)):
        if of_name := [value for each, value in recorded if each == name]:
            tables.append(table(of_name))
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(tables), encoding="utf-8")


def _by_first(records: Iterable[Sequence[Any]]) -> dict[str, list[Sequence[Any]]]:
    groups: dict[str, list[Sequence[Any]]] = {}
    for each in records:
        groups.setdefault(each[0], []).append(each)
    return dict(sorted(groups.items()))


def _sum(rows: Sequence[Sequence[Any]], column: int) -> int:
    return sum(row[column] for row in rows)


def _sums(rows: Sequence[Sequence[Any]]) -> list[str]:
    return ["**all**", f"**{_sum(rows, 1)}**", f"**{_sum(rows, 2)}**", ""]


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, ["---", "---:", "---:", "---"], *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def _by_error_and_name(record: Sequence[Any]) -> tuple[bool, str]:
    return "error" not in record[3], record[1]


def _example(what: str, seen: str) -> str:
    seen = seen if len(seen) <= _LONGEST else f"{seen[:_LONGEST]} ..."
    return f"{what}: `{seen}`".replace("|", "\\|").replace("\n", " ")
