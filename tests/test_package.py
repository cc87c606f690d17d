"""The project as an installed package: pyproject.toml names all of it, and its commands run from anywhere."""

from __future__ import annotations

import fnmatch
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_structure import MODULES

tomllib = pytest.importorskip("tomllib")  # Python 3.11


@pytest.fixture(scope="module")
def declared(project: Path) -> dict[str, Any]:
    return tomllib.loads((project / "pyproject.toml").read_text())


def test_every_command_is_a_program(
    declared: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = declared["project"]["scripts"]
    assert commands.keys() == {"urbandg-train", "urbandg-valid", "urbandg-infer"}
    for command, place in commands.items():
        module, _, name = place.partition(":")
        monkeypatch.setattr(sys, "argv", [command, "--no_such_flag"])
        with pytest.raises(SystemExit, match="^1$"):
            getattr(importlib.import_module(module), name)()
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and line.endswith(f"see {command} --help")


def test_every_file_is_installed(declared: dict[str, Any], project: Path) -> None:
    tools = declared["tool"]["setuptools"]
    files = [path.relative_to(project) for path in MODULES.values()]
    assert {file.stem for file in files if file.parent == Path()} == {*tools["py-modules"]}
    for folder in {file.parent for file in files} - {Path()}:
        package = ".".join(folder.parts)
        assert any(fnmatch.fnmatch(package, pattern) for pattern in tools["packages"]["find"]["include"])
        # A folder without this file is no package to setuptools.
        assert (project / folder / "__init__.py").is_file(), folder


def test_data_of_the_project_are_found_from_another_folder(project: Path, tmp_path: Path) -> None:
    code = (
        "from datasets.definitions.catalog import SPLIT_DATA, TOYCITY_ROOT; print(SPLIT_DATA, TOYCITY_ROOT)"
    )
    for folder, toycity in ((project, Path("data/toycity")), (tmp_path, project / "data/toycity")):
        said = subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(project)},
            capture_output=True,
            text=True,
        )
        assert said.stdout.split() == [str(project / "split_data"), str(toycity)]
