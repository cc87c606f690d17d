"""The floors of the house: who may import whom, and how large a file may be."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILE_LINES = 350
FUNCTION_LINES = 60
"""The lines that a screen shows."""

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
    if path.relative_to(ROOT).parts[0] not in {"tests", ".venv", "data", "logs"}
}


def imports_of(path: Path) -> Iterator[str]:
    """Our own modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in inside]
        else:
            continue
        yield from (name for name in names if name in MODULES)


IMPORTS = {module: sorted({*imports_of(path)} - {module}) for module, path in MODULES.items()}


def floors() -> dict[str, int]:
    """Room -> floor, 0 at the bottom, as the table in CONTRIBUTING.md lists them from the top."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text[text.index("| floor |") :].partition("\n\n")[0].splitlines()[2:]
    rooms = [re.findall(r"`([\w/.]+)`", line.split("|")[2]) for line in reversed(table)]
    return {room.removesuffix(".py").strip("/"): floor for floor, row in enumerate(rooms) for room in row}


def room_of(module: str, rooms: dict[str, int]) -> str:
    """The innermost room that a module is in."""
    parts = module.split(".")
    inside = ("/".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next(room for room in inside if room in rooms)


def test_no_file_imports_itself_through_others() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(f"these import one another: {' -> '.join(error.args[1])}")


def test_no_import_leads_to_the_same_floor_or_a_higher_one() -> None:
    rooms = floors()
    upward = [
        f"{module} imports {imported}"
        for module, every in IMPORTS.items()
        for imported in every
        if (room := room_of(module, rooms)) != (other := room_of(imported, rooms))
        and rooms[room] <= rooms[other]
    ]
    assert not upward


def test_every_room_of_the_table_exists() -> None:
    missing = [room for room in floors() if not ((ROOT / room).is_dir() or (ROOT / f"{room}.py").is_file())]
    assert not missing


@pytest.mark.parametrize("module", MODULES)
def test_files_and_functions_are_small(module: str) -> None:
    text = MODULES[module].read_text()
    assert len(text.splitlines()) <= FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            length = node.end_lineno - node.lineno + 1
            assert length <= FUNCTION_LINES, f"{node.name} has {length} lines"
