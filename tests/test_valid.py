"""valid.py: tables, results.json, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from programs import train_arguments

import train
import valid
from utils.errors import UserError
from utils.run.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def snapshot(toycity: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of one training step."""
    ckpt = tmp_path_factory.mktemp("valid")
    assert train.main(train_arguments(toycity, ckpt, "--max_iter", "1")) == 0
    return ckpt / "default" / "tiny" / "best.pth"


def run(toycity: Path, snapshot: Path, *more: str) -> int:
    arguments = ["--snapshot", str(snapshot), "--data_root", str(toycity), "--num_workers", "0"]
    return valid.main([*arguments, "--evaluation_height", "64", *more])


def test_scores_of_all_layouts(
    toycity: Path, snapshot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "results.json"
    names = ["cityscapes", "bdd100k", "synthia", "mapillary"]
    assert run(toycity, snapshot, "--val_dataset", *names, "--output", str(output)) == 0
    printed = capsys.readouterr().out
    assert "synthia (16 classes)" in printed
    assert "precision" in printed
    assert "protocol robustnet" in printed
    results = json.loads(output.read_text())
    assert results["checkpoint"] == str(snapshot)
    assert list(results["domains"]) == names
    assert results["folders"] == {name: str(toycity / name) for name in names}
    assert f"synthia: read from {toycity / 'synthia'}" in printed
    for scores in results["domains"].values():
        assert scores["images"] == 3
        present = [value for value in scores["iou"].values() if value is not None]
        assert scores["miou"] == pytest.approx(sum(present) / len(present))


def test_protocols_differ_where_they_should(toycity: Path, snapshot: Path, tmp_path: Path) -> None:
    scores = {}
    for protocol in ("robustnet", "full", "vfm"):
        output = tmp_path / f"{protocol}.json"
        flags = ["--val_dataset", "mapillary", "--protocol", protocol, "--output", str(output)]
        assert run(toycity, snapshot, *flags) == 0
        results = json.loads(output.read_text())
        assert results["protocol"] == protocol
        scores[protocol] = results["domains"]["mapillary"]["pixel_accuracy"]
    # Neither a centre crop nor windows of half the size are the whole picture.
    assert len(set(scores.values())) == 3


def test_averages_over_scales_and_mirroring_are_said(
    toycity: Path, snapshot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def scored(*flags: str) -> tuple[dict, str]:
        output = tmp_path / "scores.json"
        data = ["--val_dataset", "cityscapes", "--protocol", "maxsquare", "--output", str(output)]
        assert run(toycity, snapshot, *data, *flags) == 0
        return json.loads(output.read_text()), capsys.readouterr().out

    plain, words = scored()
    assert (plain["scales"], plain["flip"]) == ([1.0], False)
    assert "flip" not in words
    averaged, words = scored("--flip", "--scales", "0.75,1.0", "1.25")
    assert (averaged["scales"], averaged["flip"]) == ([0.75, 1.0, 1.25], True)
    assert "protocol maxsquare at height 64, scales 0.75 1 1.25, flip" in words
    accuracy = [each["domains"]["cityscapes"]["pixel_accuracy"] for each in (plain, averaged)]
    assert accuracy[0] != accuracy[1]
    with pytest.raises(UserError, match="--scales 0"):
        scored("--scales", "0")


def test_several_checkpoints_make_a_list(toycity: Path, snapshot: Path, tmp_path: Path) -> None:
    output = tmp_path / "both.json"
    last = snapshot.with_name("last.pth")
    arguments = ["--snapshot", str(snapshot), str(last), "--data_root", str(toycity), "--num_workers", "0"]
    assert valid.main([*arguments, "--val_dataset", "gtav", "--output", str(output)]) == 0
    first, second = json.loads(output.read_text())
    assert first["domains"] == second["domains"]
    assert (first["checkpoint"], second["checkpoint"]) == (str(snapshot), str(last))


def test_a_perfect_network_scores_one(toycity: Path) -> None:
    """The whole path from files to scores, against a prediction that is the label itself."""
    from datasets.domains import Domains

    words = ["--snapshot", "x", "--data_root", str(toycity), "--num_workers", "0"]
    with pytest.raises(UserError, match=f"--data_root {toycity}: say with --val_dataset what to score on"):
        valid.parse_arguments(words)
    args = valid.parse_arguments([*words, "--val_dataset", "bdd100k"])
    domains = Domains(args, {}, toycity.parent / "elsewhere")
    loader = domains.evaluation_loader("bdd100k")
    truths = iter([sample["label"].long() for sample in loader.dataset])

    def predict(_: torch.Tensor) -> torch.Tensor:
        label = next(truths)
        label = torch.where(label == 255, 0, label)
        return torch.nn.functional.one_hot(label, 19).permute(2, 0, 1)[None].float()

    score = domains.score("bdd100k", predict, loader, torch.device("cpu"))
    assert score.miou == 1
    assert score.scores.pixel_accuracy == 1


def test_scores_under_corruptions(
    toycity: Path, snapshot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def scored(name: str, *flags: str) -> dict:
        output = tmp_path / name
        data = ["--val_dataset", "gtav", "--output", str(output)]
        assert run(toycity, snapshot, *data, *flags) == 0
        return json.loads(output.read_text())["domains"]["gtav"]

    clean = scored("clean.json")
    capsys.readouterr()
    under = scored("under.json", "--corruptions", "contrast", "fog", "fog")
    table = capsys.readouterr().out.partition("gtav under corruptions, mIoU\n")[2].splitlines()
    corruptions = under.pop("corruptions")
    assert under == clean
    assert list(corruptions) == ["fog", "contrast", "mean"]
    means = [corruptions[name]["mean"] for name in ("fog", "contrast")]
    assert means[0] == pytest.approx(sum(corruptions["fog"][str(severity)] for severity in range(1, 6)) / 5)
    assert corruptions["mean"] == pytest.approx(sum(means) / 2)
    assert table[0].split() == ["corruption", "1", "2", "3", "4", "5", "mean"]
    assert [line.split()[0] for line in table[2:]] == ["fog", "contrast", "mean", "clean"]
    assert table[2].split()[-1] == f"{100 * means[0]:.2f}"
    assert table[-1].split()[-1] == f"{100 * clean['miou']:.2f}"


def test_corruptions_without_a_name_are_all_and_unknown_ones_are_refused() -> None:
    words = ["--snapshot", "x", "--val_dataset", "gtav", "--corruptions"]
    assert len(valid.parse_arguments(words).corruptions) == 15
    assert valid.parse_arguments(words[:-1]).corruptions is None
    with pytest.raises(UserError, match=r"--corruptions: invalid choice: 'rain' \(choose from .*glass_blur"):
        valid.parse_arguments([*words, "fog", "rain"])


def test_flags_that_contradict_the_checkpoint_are_refused(toycity: Path, snapshot: Path) -> None:
    with pytest.raises(UserError, match="was trained with --wt_layer"):
        run(toycity, snapshot, "--val_dataset", "gtav", "--wt_layer", *"0 0 2 2 2 0 0".split())
    with pytest.raises(UserError, match="was trained with --backbone mobilenet_v2"):
        run(toycity, snapshot, "--val_dataset", "gtav", "--arch", "network.deepv3.DeepR50V3PlusD")


def test_more_classes_than_the_network_has_is_refused(toycity: Path, snapshot: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(snapshot)
    # As in files of the time before classes had names.
    checkpoint["network"] |= {"num_classes": 13, "classes": None}
    save_checkpoint(tmp_path / "other.pth", checkpoint)
    with pytest.raises(UserError, match=r"other\.pth: keys do not fit"):
        run(toycity, tmp_path / "other.pth", "--val_dataset", "gtav")


def test_unknown_data_is_named(toycity: Path, snapshot: Path) -> None:
    with pytest.raises(UserError, match="atlantis"):
        run(toycity, snapshot, "--val_dataset", "atlantis")
    with pytest.raises(UserError, match="cityscapes test: this split has no labels"):
        run(toycity, snapshot, "--val_dataset", "cityscapes", "--split", "test")


def test_networks_of_different_numbers_of_classes(
    nthu_toycity: Path, snapshot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--dataset", "synthia", "--num_classes", "16", "--max_iter", "1", "--val_dataset", "nthu_rio"]
    flags += ["--dump_augmentation_images", "--protocol", "maxsquare"]
    assert train.main(train_arguments(nthu_toycity, tmp_path, *flags)) == 0
    fewer, output = tmp_path / "default" / "tiny" / "best.pth", tmp_path / "both.json"
    trained = json.loads(fewer.with_name("results.json").read_text())
    assert (trained["num_classes"], trained["protocol"]) == (16, "maxsquare")
    assert list((fewer.parent / "crops").iterdir())
    capsys.readouterr()
    names = ["cityscapes", "synthia", "nthu_rio"]
    arguments = ["--snapshot", str(snapshot), str(fewer), "--data_root", str(nthu_toycity)]
    arguments += ["--num_workers", "0", "--protocol", "maxsquare", "--evaluation_height", "64"]
    assert valid.main([*arguments, "--val_dataset", *names, "--output", str(output)]) == 0
    nineteen, sixteen = json.loads(output.read_text())
    assert (nineteen["num_classes"], sixteen["num_classes"]) == (19, 16)
    assert [len(result["domains"]["cityscapes"]["iou"]) for result in (nineteen, sixteen)] == [19, 16]
    assert "miou13" not in nineteen["domains"]["cityscapes"]
    assert "miou13" in sixteen["domains"]["cityscapes"]
    for name in ("nthu_rio", "synthia"):
        assert sixteen["domains"][name].items() <= trained["domains"][name].items()
    assert "networks of 16 classes" in capsys.readouterr().out
