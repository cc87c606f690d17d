import json
from pathlib import Path

import pytest

from utils.errors import UserError, run_program
from utils.run.checkpoint import save_checkpoint
from utils.run.run_folder import RunFolder


def test_a_run_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path), "0101", "mine")
    folder.open({"lr": 0.1, "path": Path("x")})
    folder.log("first", echo=False)
    saved = {"log_bytes": folder.log_bytes, "iteration": 3}
    folder.log("after the checkpoint", echo=False)
    folder.last.write_text("weights")
    assert json.loads((folder.path / "args.json").read_text()) == {"lr": 0.1, "path": "x"}
    again = RunFolder(str(tmp_path), "0101", "mine")
    with pytest.raises(UserError, match="--resume auto.*--overwrite.*--exp"):
        again.protect_results([], overwrite=False)
    assert folder.last.exists()
    again.protect_results([folder.last], overwrite=False)
    with pytest.raises(UserError, match="another process is training here"):
        again.open({}, folder.last, saved)
    folder.close()
    again.open({}, folder.last, saved)
    assert folder.log_file.read_text() == "first\n"
    again.close()
    again.protect_results([], overwrite=True)
    again.open({})
    assert not folder.last.exists()
    assert not folder.log_file.exists()


def test_a_run_from_elsewhere_takes_nothing_of_the_one_it_replaces(tmp_path: Path) -> None:
    old = RunFolder(str(tmp_path), "0101", "mine")
    with old:
        old.open({})
        old.log("of the old run", echo=False)
        for path in (old.last, old.previous, old.weights("best")):
            path.write_text("old weights")
    new, elsewhere = RunFolder(str(tmp_path), "0101", "mine"), tmp_path / "other" / "last.pth"
    new.protect_results([elsewhere], overwrite=True)
    with new:
        new.open({}, elsewhere, {"log_bytes": 3, "iteration": 3})
    assert not any(path.exists() for path in (new.last, new.previous, new.weights("best"), new.log_file))


def test_the_checkpoint_before_replaces_the_damaged_one_at_once(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path), "0101", "mine")
    with folder:
        folder.open({})
    folder.last.write_text("damaged")
    folder.previous.write_text("whole")
    folder.protect_results([folder.last, folder.previous], overwrite=False)
    with folder:
        folder.open({}, folder.previous, {"log_bytes": 0, "iteration": 3})
    assert (folder.last.read_text(), folder.previous.read_text()) == ("whole", "whole")
    assert folder.damaged.read_text() == "damaged"


@pytest.mark.parametrize("left", ["best.pth", "best_cityscapes.pth", "damaged.pth", "results.json"])
def test_what_is_left_of_a_run_is_not_removed_unless_asked(tmp_path: Path, left: str) -> None:
    folder = RunFolder(str(tmp_path), "0101", "mine")
    folder.path.mkdir(parents=True)
    (folder.path / left).write_text("of an older run")
    for resume in (None, "auto", str(tmp_path / "other" / "last.pth")):
        with pytest.raises(UserError, match=r"holds a run already; replace it with --overwrite, or name"):
            folder.protect_results(folder.resume_files(resume), overwrite=False)
    folder.protect_results([], overwrite=True)
    with folder:
        folder.open({})
    assert not (folder.path / left).exists()


def test_later_steps_are_not_replaced_by_earlier_ones_unless_asked(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path), "0101", "mine")
    with folder:
        folder.open({})
    save_checkpoint(folder.last, {"network": {}, "model": {}})
    folder.previous.write_text("earlier")
    folder.damaged.write_text("of a disk that failed")
    with pytest.raises(
        UserError, match=r"--resume \S+previous\.pth: would replace \S+last\.pth, which is newer"
    ):
        folder.protect_results([folder.previous], overwrite=False)
    folder.protect_results([folder.previous], overwrite=True)
    with folder:
        folder.open({}, folder.previous, {"log_bytes": 0, "iteration": 3})
    assert folder.last.read_text() == "earlier"
    assert folder.damaged.read_text() == "of a disk that failed"


def test_a_run_that_came_in_between_is_left_alone(tmp_path: Path) -> None:
    """Between the look into the folder and its lock lie minutes of set-up."""
    early, other = (RunFolder(str(tmp_path), "0101", "mine") for _ in range(2))
    early.protect_results([], overwrite=False)
    with other:
        other.open({})
        other.last.write_text("weights")
    with early, pytest.raises(UserError, match="another process trained here since"):
        early.open({})
    assert other.last.read_text() == "weights"


def test_resume_names(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path), "0101", "mine")
    assert folder.resume_files(None) == []
    assert folder.resume_files("auto") == []
    assert folder.resume_files("other.pth") == [Path("other.pth")]
    folder.path.mkdir(parents=True)
    folder.last.touch()
    folder.previous.touch()
    assert folder.resume_files("auto") == [folder.last, folder.previous]


def test_a_user_error_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    def main(_: object) -> int:
        raise UserError("new\nline\x1b[31m\udce9.png: must be whole")

    with pytest.raises(SystemExit) as stop:
        run_program(main, [])
    assert stop.value.code == 1
    assert capsys.readouterr().err == r"error: new\nline\x1b[31m\udce9.png: must be whole" + "\n"
    with pytest.raises(UserError):
        run_program(main, ["--debug"])


def test_the_time_of_all_sessions_is_kept(tmp_path: Path) -> None:
    first, resumed, replaced = (RunFolder(str(tmp_path), "0101", "mine") for _ in range(3))
    with first:
        first.open({})
        first.begin_session({"device": "GPU"})
    saved = {"log_bytes": 0, "iteration": 3}
    with resumed:
        resumed.open({}, resumed.last, saved)
        resumed.begin_session({"device": "other GPU"})
        resumed.results({})
    sessions = json.loads((tmp_path / "0101" / "mine" / "sessions.json").read_text())
    assert [session["device"] for session in sessions] == ["GPU", "other GPU"]
    assert all(session["seconds"] >= 0 for session in sessions)
    with replaced:
        replaced.open({})
        replaced.begin_session({"device": "third"})
    assert len(json.loads(first.sessions_file.read_text())) == 1
