from pathlib import Path

import pytest

from utils.errors import UserError
from utils.files import atomic_write, check_writable


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
