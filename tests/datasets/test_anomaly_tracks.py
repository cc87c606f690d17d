"""Pictures with anomalies: miniature copies of SMIYC and Fishyscapes, found, refused and scored."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from inference import save, street, write_checkpoint
from PIL import Image
from processes import two_processes
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

import valid
from datasets.anomaly import MaskedPictures, find_tracks, score_tracks
from datasets.domains import Domains
from utils.errors import UserError
from utils.scoring import anomaly

CPU = torch.device("cpu")
SCENE = "04_Maurener_Weg_8_000000_000{:03d}"


def mask(seed: int, width: int = 48, height: int = 32) -> Image.Image:
    values = np.array([0, 0, 0, 1, 255], dtype=np.uint8)
    return Image.fromarray(np.random.default_rng(seed).choice(values, (height, width)))


@pytest.fixture
def smiyc(tmp_path: Path) -> Path:
    """Two tracks, of two and three pictures with masks and a picture without one."""
    root = tmp_path / "smiyc"
    for track, suffix, names in (
        ("dataset_AnomalyTrack", "jpg", ("validation0000", "validation0001")),
        ("dataset_ObstacleTrack", "webp", ("validation_1", "validation_2", "validation_3")),
    ):
        for seed, name in enumerate(names):
            save(street(seed=seed), root / track / "images" / f"{name}.{suffix}")
            save(mask(seed), root / track / "labels_masks" / f"{name}_labels_semantic.png")
            save(street(), root / track / "labels_masks" / f"{name}_labels_semantic_color.png")
        save(street(), root / track / "images" / f"test_1.{suffix}")
    return root


@pytest.fixture
def fishyscapes(tmp_path: Path) -> Path:
    """Two masks, pictures for them and one more, and masks of another part of Fishyscapes."""
    root = tmp_path / "fishyscapes"
    for number in range(3):
        name = f"leftImg8bit/test/04_Maurener_Weg_8/{SCENE.format(number)}_leftImg8bit.png"
        save(street(seed=number), root / name)
    for number in range(2):
        folder = root / "fishyscapes_lostandfound"
        save(mask(number), folder / f"{number:04d}_{SCENE.format(number)}_labels.png")
    save(mask(0), root / "static" / "0000_frankfurt_000000_000294_labels.png")
    return root


def domains_of(*words: str) -> Domains:
    flags = ["--snapshot", "x", "--anomaly", "smiyc", "y", "--num_workers", "0", *words]
    return Domains(arguments(*flags), {}, Path("elsewhere"))


def arguments(*words: str) -> argparse.Namespace:
    return valid.parse_arguments(list(words))


def predict(images: Tensor) -> Tensor:
    """Logits of six classes that depend on the colours alone."""
    return torch.cat([images, images.flip(1)], 1).float() / 50


def test_tracks_are_found_and_the_others_are_counted(smiyc: Path) -> None:
    both = find_tracks(["smiyc", str(smiyc)])
    assert [track.name for track in both] == ["AnomalyTrack", "ObstacleTrack"]
    obstacles = smiyc / "dataset_ObstacleTrack"
    assert both[1].line == (
        f"ObstacleTrack: 3 pictures with masks, read from {obstacles}; 1 without a mask are left out"
    )
    assert find_tracks(["smiyc", str(obstacles)]) == both[1:]
    assert {pair.image.suffix for pair in both[1].pairs} == {".webp"}


def test_masks_of_fishyscapes_find_their_pictures(fishyscapes: Path) -> None:
    (track,) = find_tracks(["fishyscapes", str(fishyscapes)])
    assert (track.name, track.left_out) == ("Fishyscapes", 1)
    assert [pair.name for pair in track.pairs] == [SCENE.format(0), SCENE.format(1)]
    for pair in track.pairs:
        assert pair.image.name == f"{pair.name}_leftImg8bit.png"
        assert pair.label.name.endswith(f"_{pair.name}_labels.png")


def test_a_linked_folder_of_pictures_is_followed(fishyscapes: Path, tmp_path: Path) -> None:
    (fishyscapes / "leftImg8bit").rename(tmp_path / "laf")
    (fishyscapes / "leftImg8bit").symlink_to(tmp_path / "laf")
    assert len(find_tracks(["fishyscapes", str(fishyscapes)])[0].pairs) == 2


def test_samples_are_picture_and_mask(smiyc: Path) -> None:
    track = find_tracks(["smiyc", str(smiyc)])[1]
    sample = MaskedPictures(track.pairs)[1]
    assert (sample["name"], sample["image"].shape) == ("validation_2", (3, 32, 48))
    assert torch.equal(sample["label"], torch.from_numpy(np.array(mask(1))))


def test_scores_are_those_of_all_pixels(smiyc: Path) -> None:
    tracks = find_tracks(["smiyc", str(smiyc)])
    score = score_tracks(tracks, domains_of(), predict, CPU)["ObstacleTrack"]
    samples = [MaskedPictures(tracks[1].pairs)[index] for index in range(3)]
    label = np.stack([sample["label"] for sample in samples])
    logits = predict(torch.stack([sample["image"] for sample in samples]))
    anomalous = label[label != 255] == 1
    assert (score.pictures, score.anomalous_pixels) == (3, anomalous.sum())
    assert score.known_pixels == (~anomalous).sum()
    doubt = -logits.amax(1).numpy()[label != 255]
    found = score.detections["max_logit"]
    assert found.ap == pytest.approx(average_precision_score(anomalous, doubt), abs=1e-3)
    assert found.auroc == pytest.approx(roc_auc_score(anomalous, doubt), abs=1e-3)


def test_shares_of_two_processes_add_up(smiyc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracks = find_tracks(["smiyc", str(smiyc)])
    whole = score_tracks(tracks, domains_of(), predict, CPU)
    shares: list[anomaly.AnomalyCounts] = []
    monkeypatch.setattr("utils.distributed.world_size", lambda: 2)
    monkeypatch.setattr(anomaly.AnomalyCounts, "reduce", lambda counts: shares.append(counts))
    for rank in (0, 1):
        monkeypatch.setattr("utils.distributed.rank", lambda rank=rank: rank)
        score_tracks(tracks, domains_of(), predict, CPU)
    assert [int(share.totals["pictures"]) for share in shares] == [1, 2, 1, 1]
    for track, first, second in zip(tracks, shares[:2], shares[2:], strict=True):
        assert (first + second).score().detections == whole[track.name].detections


def test_batches_hold_pictures_of_one_size(smiyc: Path) -> None:
    track = smiyc / "dataset_ObstacleTrack"
    save(street(20, 16), track / "images" / "validation_2.webp")
    save(mask(1, 20, 16), track / "labels_masks" / "validation_2_labels_semantic.png")
    tracks = find_tracks(["smiyc", str(track)])
    one, four = (score_tracks(tracks, domains_of("--bs_mult_val", size), predict, CPU) for size in ("1", "4"))
    assert one == four


def test_answers_that_are_no_numbers_are_refused(smiyc: Path) -> None:
    tracks = find_tracks(["smiyc", str(smiyc)])
    with pytest.raises(UserError, match="^AnomalyTrack: the network's answers make .* use --amp off"):
        score_tracks(tracks, domains_of(), lambda images: torch.nan * predict(images), CPU)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lizards", "."], "--anomaly lizards: is no kind of pictures; known are fishyscapes, smiyc"),
        (["smiyc", "a", "fishyscapes"], "--anomaly smiyc a fishyscapes: name the folder of fishyscapes"),
        (["smiyc", "nowhere"], "--anomaly smiyc nowhere: no such folder"),
    ],
)
def test_wrong_words_are_named(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        find_tracks(words)


@pytest.mark.parametrize("kind", ["smiyc", "fishyscapes"])
def test_a_folder_without_masks_is_refused(kind: str, tmp_path: Path) -> None:
    save(street(), tmp_path / "images" / "test_1.jpg")
    message = re.escape(f"--anomaly {kind} {tmp_path}: no masks here; looked for ")
    with pytest.raises(UserError, match=f"^{message}"):
        find_tracks([kind, str(tmp_path)])


def test_a_mask_without_picture_is_refused(smiyc: Path, fishyscapes: Path) -> None:
    (smiyc / "dataset_AnomalyTrack" / "images" / "validation0001.jpg").unlink()
    with pytest.raises(
        UserError, match=r"validation0001_labels_semantic.png has no picture: put images/vali"
    ):
        find_tracks(["smiyc", str(smiyc)])
    next(fishyscapes.rglob("*_000001_leftImg8bit.png")).unlink()
    with pytest.raises(UserError, match=r"_labels.png has no picture: put 04_.*_000001_leftImg8bit.png of"):
        find_tracks(["fishyscapes", str(fishyscapes)])


def test_what_is_there_twice_is_refused(smiyc: Path) -> None:
    with pytest.raises(UserError, match="AnomalyTrack are both AnomalyTrack; name one of them"):
        find_tracks(["smiyc", str(smiyc), "smiyc", str(smiyc)])
    save(street(), smiyc / "dataset_AnomalyTrack" / "images" / "validation0001.webp")
    with pytest.raises(UserError, match=r"validation0001.jpg and .*validation0001.webp are the same file"):
        find_tracks(["smiyc", str(smiyc)])


def test_a_mask_of_another_size_is_refused(smiyc: Path) -> None:
    save(mask(0, 40), smiyc / "dataset_AnomalyTrack" / "labels_masks" / "validation0000_labels_semantic.png")
    with pytest.raises(UserError, match=r"validation0000.jpg is 48x32 but its label .*png is 40x32"):
        find_tracks(["smiyc", str(smiyc)])


def test_another_value_in_a_mask_is_refused(smiyc: Path) -> None:
    path = smiyc / "dataset_AnomalyTrack" / "labels_masks" / "validation0000_labels_semantic.png"
    wrong = np.array(mask(0))
    wrong[3, 5] = 7
    save(Image.fromarray(wrong), path)
    message = re.escape(f"{path}: label value 7 at (5, 3) is not in the anomaly mask coding")
    with pytest.raises(UserError, match=f"^{message}"):
        score_tracks(find_tracks(["smiyc", str(smiyc)]), domains_of(), predict, CPU)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights."""
    return write_checkpoint(tmp_path_factory.mktemp("anomaly") / "best.pth")


def test_without_a_data_set_only_anomalies_are_scored(
    smiyc: Path, fishyscapes: Path, snapshot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "anomalies.json"
    words = ["--snapshot", str(snapshot), "--anomaly", "smiyc", str(smiyc), "fishyscapes", str(fishyscapes)]
    assert valid.main([*words, "--num_workers", "0", "--output", str(output)]) == 0
    printed, results = capsys.readouterr().out, json.loads(output.read_text())
    assert "mIoU" not in printed and results["domains"] == {}
    assert "anomalies in whole pictures, commit" in printed
    for track, pictures in (("AnomalyTrack", 2), ("ObstacleTrack", 3), ("Fishyscapes", 2)):
        scores = results["anomaly"][track]
        assert scores["images"] == pictures
        for name, title in anomaly.SCORE_NAMES.items():
            row = next(line for line in printed.splitlines() if line.startswith(f"{track} ({title})"))
            numbers = [scores[name][key] for key in ("ap", "auroc", "fpr95")]
            shown = [f"{100 * number:.2f}" for number in numbers]
            assert row.removeprefix(f"{track} ({title})").split() == [*shown, str(pictures)]
    assert results["anomaly"]["Fishyscapes"]["folder"] == fishyscapes.as_posix()


def test_anomalies_are_scored_beside_a_data_set(
    toycity: Path, smiyc: Path, snapshot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "both.json"
    data = ["--val_dataset", "cityscapes", "--data_root", str(toycity), "--evaluation_height", "64"]
    words = ["--snapshot", str(snapshot), *data, "--anomaly", "smiyc", str(smiyc), "--flip"]
    assert valid.main([*words, "--num_workers", "0", "--output", str(output)]) == 0
    printed, results = capsys.readouterr().out, json.loads(output.read_text())
    assert "mIoU" in printed and list(results["domains"]) == ["cityscapes"]
    assert "anomalies in whole pictures, flip (of probabilities, so without max logit), commit" in printed
    names = set(results["anomaly"]["AnomalyTrack"])
    assert {"max_softmax", "entropy"} < names and "max_logit" not in names


def test_the_toy_city_and_its_defaults_stay_out() -> None:
    args = arguments("--snapshot", "x", "--anomaly", "smiyc", "y")
    assert (args.val_dataset, args.data_root, args.evaluation_height, args.amp) == (None, None, None, "off")
    with pytest.raises(UserError, match="--data_root y: say with --val_dataset what to score on"):
        arguments("--snapshot", "x", "--anomaly", "smiyc", "y", "--data_root", "y")


@pytest.mark.slow
def test_two_processes_score_like_one(smiyc: Path, snapshot: Path, project: Path, tmp_path: Path) -> None:
    words = ["--snapshot", str(snapshot), "--num_workers", "0", "--anomaly", "smiyc", str(smiyc)]
    assert valid.main([*words, "--output", str(tmp_path / "one.json")]) == 0
    two_processes(project, "valid.py", *words, "--output", str(tmp_path / "two.json"))
    one, two = (json.loads((tmp_path / name).read_text())["anomaly"] for name in ("one.json", "two.json"))
    assert one == two
