"""A run goes on from the newest whole checkpoint, the same for all processes, of a run like itself."""

import errno
from pathlib import Path

import pytest
import torch

from utils.errors import UserError
from utils.run.checkpoint import DamagedCheckpoint, load_checkpoint, save_checkpoint
from utils.run.resume import agree_on_resume, first_whole, refuse_other_settings

pytestmark = pytest.mark.reliability

SIZES = {"source pictures per step": 4, "of the target": 0}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A run's last two checkpoints, the newer first."""
    last, previous = tmp_path / "last.pth", tmp_path / "previous.pth"
    for iteration in (1, 2, 3):
        save_checkpoint(last, {"model": {}, "network": {}, "iteration": iteration}, previous)
    return [last, previous]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_last_two_checkpoints_are_kept(files: list[Path]) -> None:
    assert [load_checkpoint(path)["iteration"] for path in files] == [3, 2]
    assert len(list(files[0].parent.iterdir())) == 2


def test_a_damaged_one_is_passed_over_with_a_warning(files: list[Path]) -> None:
    path, content, notices = first_whole(files)
    assert (path, content["iteration"], notices) == (files[0], 3, [])
    for damage in (lambda: flip(files[0]), lambda: files[0].write_bytes(b"")):
        damage()
        path, content, notices = first_whole(files)
        assert (path, content["iteration"]) == (files[1], 2)
        assert notices[0].startswith(f"warning: {files[0]}: damaged")
        assert notices[0].endswith(f"going on from {files[1]}")
    flip(files[1])
    with pytest.raises(UserError, match=r"last\.pth: damaged"):
        first_whole(files)


def test_processes_that_found_different_checkpoints_end(monkeypatch: pytest.MonkeyPatch) -> None:
    agree_on_resume(None, None)
    agree_on_resume(Path("last.pth"), {"iteration": 3})
    monkeypatch.setattr("utils.run.resume.gather_objects", lambda own: [own, ("last.pth", 2)])
    with pytest.raises(UserError, match=r"different checkpoints \(this one last.pth of iteration 3\)"):
        agree_on_resume(Path("last.pth"), {"iteration": 3})


@pytest.mark.parametrize("moment", ["torch.load", "utils.run.checkpoint.is_whole"])
def test_a_file_that_cannot_be_read_for_a_while_is_not_taken_for_damaged(
    moment: str, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(moment, fail)
    with pytest.raises(
        UserError, match=rf"{files[0]}: .*could not be read|{files[0]}: cannot be read"
    ) as error:
        first_whole(files)
    assert not isinstance(error.value, DamagedCheckpoint)


def test_another_run_is_refused() -> None:
    checkpoint = {
        "optimizer": {},
        "finite": {},
        "meter": {},
        "between_steps_due": False,
        "log_bytes": 0,
        "iteration": 3,
        "training_pictures": "digest",
        "best": {},
        "bad_samples": {},
        "sizes_of_step": SIZES,
        "arguments": {"lr": 0.1, "exp": "a"},
    }

    def check(content: dict, lr: float = 0.1, sizes: dict = SIZES) -> None:
        refuse_other_settings(Path("last.pth"), content, sizes, {"lr": lr, "exp": "b", "later": 1}, {"exp"})

    check(checkpoint)
    with pytest.raises(UserError, match=r"lr was 0.1, is 0.2"):
        check(checkpoint, lr=0.2)
    with pytest.raises(UserError, match=r"source pictures per step was 4, is 8"):
        check(checkpoint, sizes={**SIZES, "source pictures per step": 8})
    with pytest.raises(UserError, match=r"weights alone"):
        check({"model": {}})
    with pytest.raises(UserError, match=r"half precision"):
        check({**checkpoint, "model": {"network.weight": torch.ones(1).half()}})
    with pytest.raises(UserError, match=r"its sizes_of_step is missing"):
        check({name: value for name, value in checkpoint.items() if name != "sizes_of_step"})
