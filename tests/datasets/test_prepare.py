"""Prepared copies: the same samples, noticed when out of date, never half written."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from programs import train_arguments

import config
import train
from datasets.definitions.catalog import spec
from datasets.domains import Domains
from datasets.files.prepared import folder_of, prepared
from datasets.files.segmentation import Draw, SegmentationSet
from datasets.flags import division_flags
from datasets.sampling.class_uniform import scan
from datasets.training import TrainingLoaders
from scripts import prepare as program
from transforms.pipeline import EvaluationTransform, TrainTransform
from utils.errors import UserError
from utils.lock import lock_folder


@pytest.fixture
def root(write_gtav, random_labels) -> Path:
    return write_gtav(random_labels(5))


def original(root: Path, transform=None) -> SegmentationSet:
    return SegmentationSet(spec("gtav"), "train", root, transform or TrainTransform(24))


def run(root: Path, output: Path, *flags: str) -> None:
    arguments = ["--dataset", "gtav", "--data_root", str(root.parent), "--output", str(output)]
    program.main([*arguments, "--processes", "1", *flags])


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def copies_in(output: Path) -> dict[Path, bytes]:
    folder = folder_of(output, spec("gtav"), "train")
    return {**contents(folder / "pictures"), **contents(folder / "labels")}


def test_lossless_copies_make_the_same_samples_and_centroids(root: Path, tmp_path: Path) -> None:
    before = contents(root)
    run(root, tmp_path / "copies")
    assert contents(root) == before
    first = original(root)
    second = prepared(first, tmp_path / "copies")
    assert [pair.name for pair in second.pairs] == [pair.name for pair in first.pairs]
    assert first.spec.coding.name == "gtav"
    for number in range(8):
        draw = Draw(number % 5, 0, number, (30, 20) if number % 2 else None)
        one, two = first[draw], second[draw]
        assert one.keys() == two.keys()
        assert torch.equal(one["image"], two["image"])
        assert torch.equal(one["label"], two["label"])
    assert np.array_equal(scan(first, 32).points, scan(second, 32).points)


def smaller(path: Path) -> None:
    """What programs that make files smaller do: only the colours in use, each with another index."""
    with Image.open(path) as label:
        colours = np.asarray(label.convert("RGB"))
    used, indices = np.unique(colours.reshape(-1, 3), axis=0, return_inverse=True)
    image = Image.fromarray(indices.reshape(colours.shape[:2]).astype(np.uint8))
    image.putpalette(used.tobytes())
    image.save(path)


def test_labels_that_were_made_smaller_mean_the_same_before_and_after(root: Path, tmp_path: Path) -> None:
    first = original(root)
    train_ids = [first.read_label(index) for index in range(len(first))]
    for pair in first.pairs:
        smaller(pair.label)
    run(root, tmp_path)
    copies = prepared(original(root), tmp_path)
    for opened in (original(root), copies):
        assert all(np.array_equal(opened.read_label(i), train_ids[i]) for i in range(len(first)))
    for pair in copies.pairs:
        smaller(pair.label)
    assert all(np.array_equal(copies.read_label(i), train_ids[i]) for i in range(len(first)))


def test_jpeg_copies_are_close_and_their_labels_exact(root: Path, tmp_path: Path) -> None:
    for pair in original(root).pairs:
        smooth = Image.fromarray(np.asarray(Image.open(pair.image).resize((6, 4)))).resize((60, 40))
        smooth.save(pair.image)
    run(root, tmp_path, "--quality", "95")
    first = original(root, EvaluationTransform())
    second = prepared(first, tmp_path)
    assert second.pairs[0].image.suffix == ".jpg"
    difference = (first[0]["image"].float() - second[0]["image"].float()).abs()
    assert 0 < difference.mean() < 2
    assert torch.equal(first[0]["label"], second[0]["label"])


def test_resized_copies_are_what_the_evaluation_resizes_to(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path, "--height", "21")
    second = prepared(original(root, EvaluationTransform()), tmp_path)[1]
    expected = original(root, EvaluationTransform(height=21))[1]
    assert torch.equal(second["image"], expected["image"])
    assert torch.equal(second["label"], expected["label"])


def refused(root: Path, copies: Path) -> str:
    with pytest.raises(
        UserError, match=r"run python -m scripts.prepare --dataset gtav --split train"
    ) as error:
        prepared(original(root), copies)
    return str(error.value)


def test_what_is_missing_or_changed_is_refused_until_prepared_again(root: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    assert "holds no gtav train" in refused(root, copies)
    run(root, copies)
    first, second, third, *_ = original(root).pairs

    copy = prepared(original(root), copies).pairs[0]
    copy.label.unlink()
    assert "1 of 5 pictures of gtav train are not there or have changed since, the first is 00000" in refused(
        root, copies
    )
    run(root, copies)

    stat = second.image.stat()
    os.utime(second.image, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    Image.open(third.label).resize((60, 40)).convert("L").save(third.label, optimize=True)
    assert "2 of 5" in refused(root, copies)
    run(root, copies)
    assert len(prepared(original(root), copies)) == 5
    # What is out of date is gone.
    assert len(copies_in(copies)) == 2 * 5


def test_the_command_of_an_error_makes_only_what_is_stale_as_the_rest_is_made(
    root: Path, tmp_path: Path
) -> None:
    (tmp_path / "my data").mkdir()
    root = root.rename(tmp_path / "my data" / "gtav")
    output = tmp_path / "small copies"
    run(root, output, "--quality", "90", "--height", "24")
    before = copies_in(output)
    stale = original(root).pairs[1].image
    os.utime(stale, ns=(0, 0))

    args = config.parse_training_arguments(
        config.training_parser(),
        ["--dataset", "gtav", "--data_root", str(root.parent), "--prepared", str(output), "--num_workers=0"],
    )
    with pytest.raises(UserError, match="1 of 5") as error:
        TrainingLoaders(Domains(args, {}, config.TOYCITY_ROOT), args, ("image",))
    words = shlex.split(str(error.value).partition("; run ")[2])
    assert words[:3] == ["python", "-m", "scripts.prepare"]
    program.main(words[3:])

    after = copies_in(output)
    made, removed = set(after) - set(before), set(before) - set(after)
    assert {path.suffix for path in made} == {".jpg", ".png"}
    assert {path.name.partition(".")[0] for path in made | removed} == {"00001"}
    assert len(after) == len(before)
    assert all(after[path] == before[path] for path in after.keys() & before.keys())
    assert len(prepared(original(root), output)) == 5


def test_other_settings_replace_the_copies_only_when_asked(root: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    run(root, copies, "--quality", "80")
    jpegs = contents(copies)
    with pytest.raises(UserError, match="made with --quality 80; .*--overwrite"):
        run(root, copies)
    assert contents(copies) == jpegs
    run(root, copies, "--overwrite")
    assert {path.suffix for path in copies_in(copies)} == {".ppm", ".png"}
    assert len(copies_in(copies)) == 2 * 5
    with pytest.raises(UserError, match="made with neither --quality nor --height"):
        run(root, copies, "--height", "20")


def test_copies_of_two_divisions_share_a_folder(write_gtav, random_labels, tmp_path: Path) -> None:
    root = write_gtav(random_labels(4), tmp_path / "flat" / "gtav", split="")
    lists = []
    for number, (train_ids, val_ids) in enumerate([("00000 00001", "00002"), ("00001 00002", "00003")]):
        lists.append(tmp_path / f"lists {number}")
        lists[-1].mkdir()
        for split, ids in (("train", train_ids), ("val", val_ids)):
            (lists[-1] / f"gtav_{split}.txt").write_text("\n".join(ids.split()))
    run(root, tmp_path / "copies", "--gtav_split", str(lists[0]))
    first = copies_in(tmp_path / "copies")
    run(root, tmp_path / "copies", "--gtav_split", str(lists[1]))
    both = copies_in(tmp_path / "copies")
    assert len(first) == 2 * 2
    assert len(both) == 2 * 3
    assert first.items() <= both.items()
    run(root, tmp_path / "copies", "--gtav_split", str(lists[0]), "--overwrite")
    assert copies_in(tmp_path / "copies") == first


def test_the_command_of_an_error_divides_as_the_training(toycity: Path, tmp_path: Path) -> None:
    args = train.parse_arguments(train_arguments(toycity, tmp_path, "--cv", "1"))
    args.gtav_split = "my lists"
    assert division_flags(args) == ["--data_root", str(toycity), "--cv", "1", "--gtav_split", "my lists"]


def test_a_second_process_is_refused_and_removes_nothing(root: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    run(root, copies)
    folder = folder_of(copies, spec("gtav"), "train")
    (folder / "pictures" / ".writing-now.ppm").write_bytes(b"P6")
    before = contents(copies)
    with (
        lock_folder(folder, "of the test"),
        pytest.raises(UserError, match="another process is preparing gtav train there"),
    ):
        run(root, copies, "--quality", "80", "--overwrite")
    assert contents(copies) == before
    run(root, copies, "--quality", "80", "--overwrite")
    assert {path.suffix for path in copies_in(copies)} == {".jpg", ".png"}


def test_a_killed_run_goes_on_where_it_was(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path / "copies"
    run(root, copies)
    made = prepared(original(root), copies).pairs
    times = {pair.image: pair.image.stat().st_mtime_ns for pair in made[:3]}
    for pair in made[3:]:
        pair.image.unlink()
    half = made[3].image.parent / ".writing-half.ppm"
    half.write_bytes(b"P6")
    refused(root, copies)
    run(root, copies)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert not half.exists()
    assert len(prepared(original(root), copies)) == 5


def test_a_folder_of_something_else_is_left_alone(root: Path, tmp_path: Path) -> None:
    precious = tmp_path / "copies" / "gtav" / "train" / "thesis.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        run(root, tmp_path / "copies")
    assert contents(tmp_path / "copies") == {precious: b"mine"}


@pytest.mark.parametrize("flags", [("--quality", "0"), ("--quality", "101"), ("--height", "0")])
def test_numbers_that_make_no_sense(root: Path, tmp_path: Path, flags: tuple[str, str]) -> None:
    with pytest.raises(UserError, match=" ".join(flags)):
        run(root, tmp_path / "copies", *flags)
    assert not (tmp_path / "copies").exists()


def test_training_batches_come_from_the_copies_and_are_the_same(toycity: Path, tmp_path: Path) -> None:
    run(toycity / "gtav", tmp_path / "copies")

    def batches(*flags: str) -> list[dict]:
        args = train.parse_arguments(train_arguments(toycity, tmp_path, *flags))
        loaders = TrainingLoaders(Domains(args, {}, config.TOYCITY_ROOT), args, ("image",))
        assert all(
            ("copies" in str(pair.image)) == bool(flags) for pair in loaders.loader.dataset.sets[0].pairs
        )
        return [batch["source"] for batch in loaders.batches(0)]

    for one, two in zip(batches(), batches("--prepared", str(tmp_path / "copies")), strict=True):
        assert one["name"] == two["name"]
        assert torch.equal(one["image"], two["image"])
        assert torch.equal(one["label"], two["label"])


def test_a_run_goes_on_from_like_copies_wherever_they_are(toycity: Path, tmp_path: Path) -> None:
    for name, flags in (("own", ("--quality", "90")), ("moved", ("--quality", "90")), ("lossless", ())):
        run(toycity / "gtav", tmp_path / name, *flags)
    words = train_arguments(toycity, tmp_path, "--max_iter", "1", "--eval_every", "0", "--resume", "auto")
    assert train.main([*words, "--prepared", str(tmp_path / "own")]) == 0
    shutil.rmtree(tmp_path / "own")
    assert train.main([*words, "--prepared", str(tmp_path / "moved")]) == 0
    other = r"\(prepared_content was gtav --quality 90, is None\)"
    for flags in ((), ("--prepared", str(tmp_path / "lossless"))):
        with pytest.raises(UserError, match=other):
            train.main([*words, *flags])
    with pytest.raises(UserError, match="holds no gtav train; run python -m scripts.prepare"):
        train.main([*words, "--prepared", str(tmp_path / "own")])


@pytest.mark.parametrize("flags", [("--maxSkip", "1"), ("--coarse_boost_classes", "14")])
def test_additional_pictures_are_not_prepared(toycity: Path, tmp_path: Path, flags: tuple[str, str]) -> None:
    with pytest.raises(UserError, match=flags[0]):
        train.parse_arguments(train_arguments(toycity, tmp_path, "--prepared", str(tmp_path), *flags))
