"""What the project runs that is not its own: nothing at import, nothing from data, nothing undeclared."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from sources import ROOMS, dangers, imported_modules, module_name, source_files

from scripts import licences
from utils.errors import UserError

pytestmark = pytest.mark.reliability

# Asked for where they are used: ``--output`` and HEIC pictures say what is missing.
OPTIONAL = {
    # Of these two the one that Python's version asks for.
    "utils/files.py": {"tomli", "tomllib"},
    "scripts/benchmark/curves.py": {"matplotlib"},
    "utils/scoring/pictures.py": {"pillow_heif"},
}
# Records what Python itself does with sockets, from whichever library.
WATCH = """
import sys
seen = []
NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostby", "socket.send", "urllib.")
sys.addaudithook(lambda event, arguments: seen.append(event) if event.startswith(NETWORK) else None)
"""


def run(project: Path, program: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", WATCH + program], cwd=project, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


def test_importing_every_module_opens_no_connection(project: Path) -> None:
    modules = [module_name(project, file) for file in source_files(project)]
    assert len(modules) > 150
    program = f"import importlib\nfor name in {modules}: importlib.import_module(name)\nprint(seen)"
    assert run(project, program) == "[]"


def test_a_connection_would_be_seen(project: Path) -> None:
    program = (
        "import socket\ntry: socket.create_connection(('127.0.0.1', 1), 1)\nexcept OSError: pass\nprint(seen)"
    )
    assert "socket.connect" in run(project, program)


def test_nothing_runs_code_from_data(project: Path) -> None:
    found = {file: dangers(file.read_text(encoding="utf-8")) for file in source_files(project)}
    assert {str(file): lines for file, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        "eval('1')",
        "exec(text)",
        "run = eval",
        "import builtins as b; b.exec(text)",
        "import pickle; pickle.load(file)",
        "import pickle as p; p.loads(data)",
        "from pickle import loads as read; read(data)",
        "from pickle import Unpickler\nclass Reader(Unpickler): pass",
        "import os; os.system(command)",
        "import subprocess; subprocess.run(command, shell=True)",
        "from subprocess import run; run(command, shell=flag)",
        "import torch; torch.load(path)",
        "import torch; torch.load(path, weights_only=False)",
        "import torch as t; t.load(path, weights_only=flag)",
        "from torch import load; load(path)",
        "import numpy as np; np.load(path, allow_pickle=True)",
        "import yaml; yaml.load(text)",
    ],
)
def test_dangers_are_found(source: str) -> None:
    assert len(dangers(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "network.eval()",
        "import torch; torch.load(path, weights_only=True)",
        "import pickle\ntry: pass\nexcept pickle.UnpicklingError: pass",
        "import json; json.load(file)",
        "import numpy as np; np.load(path)",
        "import subprocess; subprocess.run(['git'], shell=False)",
        "import re; re.compile('a')",
    ],
)
def test_what_only_looks_alike_is_not(source: str) -> None:
    assert dangers(source) == []


def declared(file: Path) -> set[str]:
    return {licences.canonical(name) for name in licences.requirements_of(file)}


def undeclared(project: Path, rooms: tuple[str, ...], allowed: set[str]) -> set[str]:
    """Imports, ``file: module``, of neither Python, the project, nor the ``allowed`` distributions."""
    files = list(source_files(project, rooms))
    own = {path.stem for path in [*project.iterdir(), *(project / "tests").rglob("*.py")]}
    providers, missing = packages_distributions(), set()
    for file in files:
        name = file.relative_to(project).as_posix()
        for module in imported_modules(ast.parse(file.read_text(encoding="utf-8"))):
            if module in sys.stdlib_module_names or module in own or module in OPTIONAL.get(name, set()):
                continue
            if not allowed & {licences.canonical(each) for each in providers.get(module, [])}:
                missing.add(f"{name}: {module}")
    return missing


def test_every_import_is_declared(project: Path) -> None:
    run_time, tests = (declared(project / name) for name in ("requirements.txt", "tests/requirements.txt"))
    assert undeclared(project, ROOMS, run_time) == set()
    assert undeclared(project, ("tests",), run_time | tests) == set()
    # Without the declarations all of them would be missing.
    assert {line.partition(": ")[2] for line in undeclared(project, ROOMS, set())} >= {
        "torch",
        "numpy",
        "PIL",
    }


def test_requirements_have_an_upper_bound(project: Path) -> None:
    """A new major version is taken on purpose."""
    for name in ("requirements.txt", "tests/requirements.txt"):
        for line in (project / name).read_text(encoding="utf-8").splitlines():
            assert re.match(r"#|[\w.-]+>=[\w.]+,<\d+(\s|$)", line), line


def test_licences_of_everything_that_is_installed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert licences.main([str(project / "requirements.txt")]) == 0
    header, _, *lines = capsys.readouterr().out.splitlines()
    assert header == "| package | version | licence |"
    rows = {
        cells[0]: cells[1:]
        for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    }
    assert declared(project / "requirements.txt") <= {licences.canonical(name) for name in rows}
    # A dependency of a dependency, and none of the tests'.
    assert "sympy" in rows
    assert "hypothesis" not in rows
    assert "BSD" in rows["torch"][1]
    assert all(version and licence for version, licence in rows.values())


def test_a_missing_dependency_is_named(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("surely-not-installed>=1,<2\n")
    with pytest.raises(UserError, match="surely-not-installed: not installed"):
        licences.main([str(tmp_path / "requirements.txt")])
    with pytest.raises(UserError, match="nothing.txt: cannot be read"):
        licences.main([str(tmp_path / "nothing.txt")])
