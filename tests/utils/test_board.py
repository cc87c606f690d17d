from __future__ import annotations

import struct
from pathlib import Path

import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event, SessionLog

from utils.errors import UserError
from utils.run.board import EVENTS, Board


def events(folder: Path) -> list[Event]:
    """What the only file of events in ``folder`` holds."""
    (path,) = folder.glob(EVENTS)
    content, found = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        found.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return found


def test_a_value_is_in_the_file_when_the_call_returns(tmp_path: Path) -> None:
    board = Board(tmp_path / "new" / "folder", purge_step=4)
    board.scalars({"loss/main": 0.5, "loss/aux": float("nan")}, 7)
    version, purged, session, point = events(tmp_path / "new" / "folder")
    assert version.file_version == purged.file_version == "brain.Event:2"
    assert (purged.step, session.step, session.session_log.status) == (4, 4, SessionLog.START)
    assert (point.step, point.summary.value[0].tag, point.summary.value[0].simple_value) == (
        7,
        "loss/main",
        0.5,
    )
    board.pictures({"crop": Image.new("RGB", (6, 4), "red")}, 8)
    picture = events(tmp_path / "new" / "folder")[-1]
    assert (picture.step, picture.summary.value[0].tag) == (8, "crop")
    assert (picture.summary.value[0].image.width, picture.summary.value[0].image.height) == (6, 4)
    board.close()


def test_boards_of_one_second_have_files_of_their_own(tmp_path: Path) -> None:
    for _ in range(3):
        Board(tmp_path).close()
    assert len(list(tmp_path.glob(EVENTS))) == 3


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--tb_path \S+file/runs: cannot be written \(Not a directory\)"):
        Board(tmp_path / "file" / "runs")
