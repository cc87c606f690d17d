import ast
from pathlib import Path, PureWindowsPath

import pytest

import utils.files
from datasets.files.split_lists import read_ids
from utils.errors import UserError
from utils.files import atomic_write, check_inside, check_writable


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "first"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_places_that_cannot_be_written_are_named_and_nothing_is_made(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b.json", "--output")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "b.json", Path("/dev/null/x")):
        with pytest.raises(UserError, match="--output"):
            check_writable(path, "--output")


def test_a_drive_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: False)
    with pytest.raises(UserError, match="--output"):
        check_writable(Path("/z/scores.json"), "--output")


@pytest.mark.parametrize("name", ["lr:0.1", "what?", "a/con", "aux.txt", "COM1", "end.", "end ", "a|b"])
def test_names_that_windows_forbids_are_refused_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_inside(name, "--exp")
    monkeypatch.setattr(utils.files, "PurePath", PureWindowsPath)
    with pytest.raises(UserError, match="--exp .*: Windows allows no such name"):
        check_inside(name, "--exp")


@pytest.mark.parametrize("name", ["C:\\runs\\a", "a:b", "\\a", "a\\..\\b", "//server/share/a"])
def test_a_name_cannot_leave_its_folder_by_drive_or_separator(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(utils.files, "PurePath", PureWindowsPath)
    with pytest.raises(UserError, match="--exp .*: must stay inside"):
        check_inside(name, "--exp")
    for fine in ("isw-resnet50", "lr 0.01", "console", "a\\b", "a/b"):
        check_inside(fine, "--exp")


def test_a_list_that_was_written_on_windows(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes("\ufeffcity\\00001.png\r\n00002\r\n".encode())
    assert read_ids(file, "train", 5) == ["00002", "city/00001"]


def test_text_has_the_same_encoding_on_every_system(project: Path) -> None:
    """Python's own choice is UTF-8 on Linux and macOS, and the country's code page on Windows."""
    programs = [path for path in project.rglob("*.py") if not {".venv", "tests"} & set(path.parts)]
    calls = [
        (path, node)
        for path in programs
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]
    text = [
        (path, call)
        for path, call in calls
        if getattr(call.func, "attr", None) in ("read_text", "write_text")
        or (getattr(call.func, "attr", None) == "open" and _mode(call) in ("a", "r", "w"))
    ]
    assert len(text) > 8
    without = [
        f"{path}:{call.lineno}"
        for path, call in text
        if "encoding" not in [keyword.arg for keyword in call.keywords]
    ]
    assert without == []


def _mode(call: ast.Call) -> object:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) else None
