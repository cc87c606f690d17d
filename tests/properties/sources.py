"""The project's own source, as modules and as syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOMS = ("config.py", "infer.py", "train.py", "valid.py")
ROOMS += ("datasets", "loss", "methods", "network", "scripts", "transforms", "utils")


def source_files(project: Path, rooms: tuple[str, ...] = ROOMS) -> Iterator[Path]:
    """Every Python file of these rooms."""
    for room in rooms:
        yield from sorted((project / room).rglob("*.py")) if (project / room).is_dir() else [project / room]


def module_name(project: Path, file: Path) -> str:
    parts = file.relative_to(project).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(tree: ast.Module) -> Iterator[str]:
    """The first part of every absolute import's name, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def full_names(tree: ast.Module) -> dict[str, str]:
    """What the names that imports bind stand for, e.g. ``load`` -> ``pickle.load``."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                names[bound] = alias.name if alias.asname else bound
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def dotted(node: ast.expr, names: dict[str, str]) -> str | None:
    """The full name of ``a.b.c``, imports resolved; ``None`` of what is no such name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        before = dotted(node.value, names)
        return before and f"{before}.{node.attr}"
    return None


RUNS_TEXT = {"eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec"}
RUNS_SHELL = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
UNPICKLES = {
    *(
        f"{module}.{name}"
        for module in ("pickle", "_pickle", "dill", "marshal")
        for name in ("load", "loads")
    ),
    *(
        "pickle.Unpickler",
        "shelve.open",
        "joblib.load",
        "pandas.read_pickle",
        "yaml.load",
        "yaml.unsafe_load",
    ),
}
TORCH_READERS = {"torch.load", "torch.serialization.load", "torch.hub.load_state_dict_from_url"}
NUMPY_READERS = {"numpy.load"}


def dangers(source: str) -> list[str]:
    """What in a module could run code from data: one line each, with the number of the line it stands in."""
    tree = ast.parse(source)
    names = full_names(tree)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = dotted(node, names)
            if name in RUNS_TEXT | RUNS_SHELL | UNPICKLES:
                found.append(f"{node.lineno}: {name}")
        elif isinstance(node, ast.Call):
            name, given = dotted(node.func, names), {word.arg: word.value for word in node.keywords}
            if name in TORCH_READERS and not _is(given.get("weights_only"), True):
                found.append(f"{node.lineno}: {name} without weights_only=True")
            if name in NUMPY_READERS and not _is(given.get("allow_pickle", ast.Constant(False)), False):
                found.append(f"{node.lineno}: {name} with allow_pickle")
            if not _is(given.get("shell", ast.Constant(False)), False):
                found.append(f"{node.lineno}: shell=True")
    return found


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
