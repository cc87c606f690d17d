"""infer.py: the files it reads and writes, and those it leaves alone."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from inference import Run, infer_in, results, save, street, write_checkpoint
from PIL import Image
from videos import H264, VARIABLE, cut, write_video

import infer
from utils.errors import UserError
from utils.scoring import pictures


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "last.pth")


@pytest.fixture
def run(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return partial(infer_in, tmp_path, checkpoint)


def test_folder_keeps_its_shape_and_skips_what_is_hidden(run: Run, tmp_path: Path) -> None:
    for name in ("b.jpg", "deep/er/a.PNG", ".hidden.png", ".git/x.png", "new\nline.png"):
        save(street(), tmp_path / "in" / name)
    (tmp_path / "in/notes.txt").write_text("no picture")
    assert run("--save", "trainids") == 0
    expected = {"trainids/b.png", "trainids/deep/er/a.png", "trainids/new\nline.png"}
    assert results(tmp_path / "out") == expected


def test_names_that_differ_by_suffix_do_not_overwrite_each_other(run: Run, tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a.jpg.png", "b.png", "C.png", "c.jpg", "d.jpg", "d.png/e.png"):
        save(street(), tmp_path / "in" / name)
    assert run("--save", "trainids") == 0
    names = ("a.jpg.png", "a.png.png", "a.jpg.png.png", "b.png", "C.png.png", "c.jpg.png")
    expected = {f"trainids/{name}" for name in (*names, "d.jpg.png", "d.png/e.png")}
    assert results(tmp_path / "out") == expected


def test_a_damaged_file_is_reported_and_does_not_stop_the_rest(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = save(street(), tmp_path / "in/z.png")
    (tmp_path / "in/text.png").write_text("<html>")
    (tmp_path / "in/empty.jpg").write_bytes(b"")
    (tmp_path / "in/cut.png").write_bytes(good.read_bytes()[:1500])
    (tmp_path / "in/bad.mp4").write_bytes(b"no video")
    (tmp_path / "in/broken.png").symlink_to("nowhere")
    (tmp_path / "in/loop.png").symlink_to("loop.png")
    os.mkfifo(tmp_path / "in/pipe.png")
    assert run("--save", "trainids") == 1
    assert results(tmp_path / "out") == {"trainids/z.png"}
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 7
    for name in ("text.png", "empty.jpg", "cut.png", "bad.mp4", "broken.png", "loop.png", "pipe.png"):
        assert sum(name in line for line in errors) == 1


def test_a_decoder_that_fails_in_its_own_way_is_reported(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(path: Path) -> Image.Image:
        raise IndexError("odd") if path.stem == "a" else UserError(f"{path}: bad")

    save(street(), tmp_path / "in/a.png")
    save(street(), tmp_path / "in/b.png")
    monkeypatch.setattr(infer, "read_image", read)
    assert run("--debug") == 1
    errors = capsys.readouterr().err
    assert "a.png: cannot be read (odd)" in errors
    assert "b.png: bad" in errors
    assert "Traceback" in errors


def test_resume_skips_what_is_finished_and_makes_the_rest(run: Run, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        save(street(), tmp_path / "in" / name)
    assert run("--save", "trainids", "color") == 0
    out = tmp_path / "out"
    (out / "color/b.png").unlink()
    for path in out.rglob("*.png"):
        path.write_bytes(b"left alone")
    assert run("--save", "trainids", "color", "--resume") == 0
    left = {name for name in results(out) if (out / name).read_bytes() == b"left alone"}
    assert left == {f"{kind}/{name}.png" for kind in ("trainids", "color") for name in "ac"}
    assert run("--save", "trainids", "color") == 0
    assert not any((out / name).read_bytes() == b"left alone" for name in results(out))


def test_video_becomes_numbered_frames(run: Run, tmp_path: Path) -> None:
    write_video(tmp_path / "in/drive.mp4", 3, *H264)
    expected = {f"trainids/drive/00000{number}.png" for number in (1, 2, 3)}
    assert run("--save", "trainids", source=tmp_path / "in/drive.mp4") == 0
    assert results(tmp_path / "out") == expected
    assert Image.open(tmp_path / "out/trainids/drive/000003.png").size == (64, 48)

    save(street(), tmp_path / "in/drive/000001.png")
    assert run("--save", "trainids", output=tmp_path / "both") == 0
    in_folder = {f"trainids/drive.mp4/00000{number}.png" for number in (1, 2, 3)}
    assert results(tmp_path / "both") == in_folder | {"trainids/drive/000001.png"}


def test_a_video_of_variable_frame_rate_has_a_result_per_frame(run: Run, tmp_path: Path) -> None:
    write_video(tmp_path / "in/drive.mp4", 9, *H264, *VARIABLE)
    assert run("--save", "overlay", "color") == 0
    assert results(tmp_path / "out/color/drive") == {f"{number:06d}.png" for number in range(1, 10)}
    overlays, colours = (
        [np.asarray(Image.open(tmp_path / f"out/{kind}/drive/{n:06d}.png"), int).mean() for n in range(1, 10)]
        for kind in ("overlay", "color")
    )
    greys = [2 * overlay - colour for overlay, colour in zip(overlays, colours, strict=True)]
    np.testing.assert_allclose(greys, 20 + 3 * np.arange(9), atol=1.5)


def test_a_cut_video_is_named_with_its_last_frame_and_the_rest_is_made(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut(write_video(tmp_path / "in/drive.mp4", 20, *H264), 0.6)
    save(street(), tmp_path / "in/z.png")
    assert run("--save", "trainids") == 1
    frames = len(results(tmp_path / "out/trainids/drive"))
    assert 5 < frames < 19
    assert (tmp_path / "out/trainids/z.png").is_file()
    said = capsys.readouterr()
    (error,) = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert f"in/drive.mp4: this video cannot be read after frame {frames} (" in error
    assert f"{frames + 1} pictures written, 1 failed" in said.out


def test_every_suffix_of_a_photograph_is_read(run: Run, tmp_path: Path) -> None:
    formats = {
        "jfif": "JPEG",
        "jpe": "JPEG",
        "jp2": "JPEG2000",
        "J2K": "JPEG2000",
        "qoi": "QOI",
        "tga": "TGA",
    }
    if ".avif" in pictures.READABLE_SUFFIXES:  # Pillow has it from 11.3 on.
        formats["avif"] = "AVIF"
    for suffix, name in formats.items():
        save(street(), tmp_path / f"in/{suffix}.{suffix}", format=name)
    assert run("--save", "trainids") == 0
    assert results(tmp_path / "out") == {f"trainids/{suffix}.png" for suffix in formats}


def test_suffixes_that_are_no_photographs_are_not_tried() -> None:
    others = {".pdf", ".eps", ".ps", ".ico", ".h5", ".fits", ".pfm", ".wmf", ".mpg", ".txt", ".json", ".npy"}
    assert not others & set(pictures.READABLE_SUFFIXES)


def test_files_that_are_left_out_are_named_in_one_line(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "pillow_heif", None)
    without_heif = tuple(set(pictures.READABLE_SUFFIXES) - set(pictures.HEIF_SUFFIXES))
    monkeypatch.setattr(pictures, "READABLE_SUFFIXES", without_heif)
    save(street(), tmp_path / "in/a.png")
    for name in ("b.heic", "deep/c.json", "new\nline.txt", ".hidden.txt", "d.ts", "e.pfm", "f", "g.txt"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text("")
    assert run("--save", "trainids") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert line == (
        f"{tmp_path}/in: files with other suffixes are left out, 7 in all: b.heic, d.ts, deep/c.json, e.pfm, "
        "f, ...; pip install pillow-heif to read HEIC pictures"
    )
    for source, words in (("in/b.heic", "cannot be read yet"), ("in/deep", "no picture .* 1 in all: c.json")):
        with pytest.raises(UserError, match=words):
            run(source=source)


def test_heic_pictures_are_read_where_the_plugin_is_installed(run: Run, tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(street(64, 64)).save(tmp_path / "a.heic")
    assert run("--save", "trainids", source="a.heic") == 0
    assert Image.open(tmp_path / "out/trainids/a.png").size == (64, 64)


def test_files_of_several_pictures_are_named(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    several = {"save_all": True, "append_images": [street(seed=1)]}
    for name in ("a.gif", "b.tif", "c.webp", "d.png"):
        save(street(), tmp_path / "in" / name, **several)
    save(street(), tmp_path / "in/e.jpg", format="MPO", **several)
    for name in ("f.gif", "g.tif"):
        save(street(), tmp_path / "in" / name)
    assert run("--save", "trainids") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "only the first" in line]
    names = ", ".join(f"{tmp_path}/in/{name}" for name in ("a.gif", "b.tif", "c.webp", "d.png"))
    assert line == f"only the first picture is read of files that hold several, 4 in all: {names}"


@pytest.mark.parametrize("output", ["in/out", "in"])
def test_results_inside_the_input_are_not_read_again(run: Run, tmp_path: Path, output: str) -> None:
    save(street(), tmp_path / "in/a.png")
    for _ in range(2):
        assert run("--save", "color", output=tmp_path / output) == 0
    assert results(tmp_path / output / "color") == {"a.png"}


def test_links_are_followed_once(run: Run, tmp_path: Path) -> None:
    save(street(), tmp_path / "elsewhere/b.png")
    save(street(), tmp_path / "in/sub/a.png")
    (tmp_path / "in/sub/up").symlink_to(tmp_path / "in")
    (tmp_path / "in/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/one.png").symlink_to(tmp_path / "elsewhere/b.png")
    assert run("--save", "trainids") == 0
    expected = {"trainids/sub/a.png", "trainids/linked/b.png", "trainids/one.png"}
    assert results(tmp_path / "out") == expected


def test_results_of_an_earlier_name_are_not_read_again(run: Run, tmp_path: Path) -> None:
    save(street(), tmp_path / "in/a.png")
    for name in ("one", "two"):
        assert run("--save", "color", "--mod", name, output=tmp_path / "in/out") == 0
    assert results(tmp_path / "in/out") == {"one/color/a.png", "two/color/a.png"}


@pytest.mark.parametrize("link", ["out/color", "out/color/sub"])
def test_nothing_is_written_through_a_link(run: Run, tmp_path: Path, link: str) -> None:
    save(street(), tmp_path / "in/sub/a.png")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / link).parent.mkdir(parents=True)
    (tmp_path / link).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="symbolic link"):
        run()
    assert results(tmp_path / "elsewhere") == set()


def test_an_input_is_never_replaced(run: Run, tmp_path: Path) -> None:
    path = save(street(), tmp_path / "out/color/a.png")
    before = path.read_bytes()
    with pytest.raises(UserError, match="replace this input"):
        run(source=tmp_path / "out/color")
    assert path.read_bytes() == before


def test_output_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    save(street(), tmp_path / "in/a.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="name a folder"):
        run(output=tmp_path / "file")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/color").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        run()


def test_nothing_to_do_is_an_error(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        run()
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match="no picture or video"):
        run()
