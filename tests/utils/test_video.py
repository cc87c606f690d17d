"""Reading videos: every frame once, and what is cut or damaged is said."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from videos import H264, VARIABLE, cut, ffmpeg, numbers, overwrite, write_video

from utils.errors import UserError
from utils.scoring import video
from utils.scoring.pictures import VIDEO_SUFFIXES
from utils.scoring.video import read_frames

MPEG2 = ("-c:v", "mpeg2video", "-g", "10", "-q:v", "2")
MPEG4 = ("-c:v", "mpeg4", "-g", "10", "-q:v", "2")
LONGER_SOUND = ("-f", "lavfi", "-i", "sine=d=3")
OPEN_GROUPS = (*H264, "-x264-params", "keyint=8:open-gop=1:bframes=3:scenecut=0")
# File -> how it is encoded.
WHOLE = {
    "plain.mp4": H264,
    "pieces.mp4": (*H264[:-1], "frag_keyframe+empty_moov"),
    "hevc.mp4": ("-c:v", "libx265", "-x265-params", "log-level=none"),
    # Without this option ffmpeg 4.2 writes a list into the file that leaves the last frames out.
    "variable.mp4": (*H264, "-use_editlist", "0", *VARIABLE),
    "variable.mkv": (*H264, *VARIABLE),
    "sound.mp4": (*LONGER_SOUND, *H264, "-c:a", "aac"),
    "sound.avi": (*LONGER_SOUND, *MPEG4, "-c:a", "mp3"),
    "plain.mov": H264,
    "plain.m4v": H264,
    "plain.mkv": H264,
    "open.mkv": OPEN_GROUPS,
    "stream.mkv": (*H264, "-f", "matroska", "-live", "1"),
    "plain.webm": ("-c:v", "libvpx", "-b:v", "2M"),
    "plain.avi": MPEG4,
    "jpeg.avi": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-q:v", "2"),
    "plain.mpg": MPEG2,
    "plain.mpeg": ("-c:v", "mpeg1video", "-q:v", "2"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_videos_give_every_frame_once(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / name, 24, *WHOLE[name])
    assert numbers(read_frames(path)) == list(range(24))


def test_every_suffix_is_tried() -> None:
    assert {Path(name).suffix for name in WHOLE} == set(VIDEO_SUFFIXES)


def test_a_trimmed_video_is_whole_though_references_are_gone(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", 40, *OPEN_GROUPS)
    ffmpeg("-ss", "0.7", "-i", whole, "-c", "copy", tmp_path / "trimmed.mp4")
    came = numbers(read_frames(tmp_path / "trimmed.mp4"))
    assert came[-8:] == list(range(32, 40))
    assert len(came) > 15


def readable(path: Path) -> tuple[list[int], str]:
    """The frames of a video up to its error."""
    came: list[np.ndarray] = []

    def frames() -> Iterator[np.ndarray]:
        for frame in read_frames(path):
            came.append(frame)
            yield frame

    with pytest.raises(UserError) as error:
        list(frames())
    return numbers(came), str(error.value)


def _cut_between_frames(path: Path) -> None:
    content = path.read_bytes()
    places = [found.start() for found in re.finditer(b"00dc", content)]
    path.write_bytes(content[: places[14]])


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        *((name, lambda path: cut(path, 0.6)) for name in WHOLE if name.startswith("plain")),
        *((f"plain.{suffix}", lambda path: overwrite(path, 0.5, 0.6)) for suffix in ("mp4", "avi", "mpg")),
        ("variable.mp4", lambda path: cut(path, 0.6)),
        ("sound.avi", lambda path: cut(path, 0.6)),
        ("plain.avi", _cut_between_frames),
    ],
)
def test_frames_before_the_damage_come_and_it_is_named(
    name: str, spoil: Callable[[Path], object], tmp_path: Path
) -> None:
    path = write_video(tmp_path / name, 24, *WHOLE[name])
    spoil(path)
    came, error = readable(path)
    assert 5 < len(came) < 20
    assert came == list(range(len(came)))
    assert error.startswith(f"{path}: this video cannot be read after frame {len(came)} (")
    assert error.endswith("); replace or remove it")


@pytest.mark.parametrize("name", ["plain.mkv", "plain.webm", "jpeg.avi"])
def test_a_hole_that_is_read_across_is_named(name: str, tmp_path: Path) -> None:
    path = overwrite(write_video(tmp_path / name, 24, *WHOLE[name]), 0.5, 0.53)
    came, error = readable(path)
    assert f"{len(came)} frames can" in error or f"after frame {len(came)} (" in error


@pytest.mark.parametrize("share", [0.02, 0.1, 0.2])
def test_pictures_that_are_gone_without_a_word_are_missed(share: float, tmp_path: Path) -> None:
    """ffmpeg passes over zeros among JPEG pictures and says nothing."""
    path = write_video(tmp_path / "jpeg.avi", 90, *WHOLE["jpeg.avi"])
    content = bytearray(path.read_bytes())
    first, last = (int(len(content) * place) for place in (0.4, 0.4 + share))
    content[first:last] = bytes(last - first)
    path.write_bytes(content)
    came, error = readable(path)
    assert len(came) < 90
    assert f"parts of this video cannot be read, {len(came)} frames can (its index lists 90)" in error


def test_repeated_pictures_of_an_avi_file_are_not_missed(tmp_path: Path) -> None:
    """Where frames come at uneven times, such files hold entries without bytes."""
    path = write_video(tmp_path / "uneven.avi", 9, *VARIABLE, "-c:v", "mjpeg")
    assert numbers(read_frames(path)) == list(range(9))


def test_what_holds_no_frame_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    assert "text.mp4: this video cannot be read at all (" in readable(tmp_path / "text.mp4")[1]
    ffmpeg(*LONGER_SOUND, tmp_path / "sound.mp4")
    assert readable(tmp_path / "sound.mp4")[0] == []


def test_videos_are_turned_upright(tmp_path: Path) -> None:
    plain = write_video(tmp_path / "plain.mp4", 3, *H264)
    content = bytearray(plain.read_bytes())
    # The track's matrix, 40 bytes behind its header's name, in numbers that have 16, 16 and 30 binary places.
    start = content.index(b"tkhd") + 44
    content[start : start + 36] = struct.pack(">9i", 0, -(2**16), 0, 2**16, 0, 0, 0, 0, 2**30)
    (tmp_path / "turned.mp4").write_bytes(content)
    for before, after in zip(read_frames(plain), read_frames(tmp_path / "turned.mp4"), strict=True):
        assert after.shape == (64, 48, 3)
        np.testing.assert_allclose(after.astype(int), np.rot90(before), atol=4)


def test_ffmpeg_ends_with_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen):
        def __init__(self, *words: object, **options: object) -> None:
            super().__init__(*words, **options)
            started.append(self)

    monkeypatch.setattr(video.subprocess, "Popen", Recorded)
    frames = read_frames(write_video(tmp_path / "long.mp4", 60, *H264, size=(320, 240)))
    next(frames)
    frames.close()
    assert started[-1].returncode is not None


def test_no_ffmpeg_is_no_fault_of_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "plain.mp4", 3, *H264)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="cannot be started .*; pip install imageio-ffmpeg"):
        next(read_frames(path))


@pytest.mark.parametrize(
    ("version", "option"),
    [("4.2.2-static", "-vsync"), ("n5.0.1", "-vsync"), ("5.1", "-fps_mode"), ("N-12345", "-fps_mode")],
)
def test_the_option_that_this_ffmpeg_knows(
    version: str, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "_version", lambda exe: version)
    command = video._command(Path("a.mp4"))
    assert command[command.index("passthrough") - 1] == option
    assert command[command.index("-protocol_whitelist") + 1] == "file"
    assert imageio_ffmpeg.get_ffmpeg_exe() == command[0]
