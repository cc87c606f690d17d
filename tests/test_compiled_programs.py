"""--compile in the programs: pictures of many sizes are segmented and scored with few graphs, or none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from compiling import Graphs
from inference import infer_in, results, save, street, write_checkpoint
from programs import ISW, train_arguments

import train
import valid
from datasets.domains import Domains
from methods.engine.step import TrainingStep
from methods.isw import InstanceSelectiveWhitening
from network import create_network
from network.factory import ARCHITECTURES
from scripts import importance

SIZES = ((48, 40), (65, 50), (96, 96), (64, 128), (43, 70))


@pytest.fixture
def checkpoint(graphs: Graphs, tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "last.pth", backbone="small", output_stride=32)


def test_training_scores_without_compiling_or_searching(
    graphs: Graphs, toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches: dict[str, list[bool]] = {}
    for cls, name in (
        (Domains, "score"),
        (TrainingStep, "__call__"),
        (InstanceSelectiveWhitening, "_select"),
    ):
        noted, original = searches.setdefault(name, []), getattr(cls, name)

        def noting(
            *given: object, noted: list = noted, original: object = original, **more: object
        ) -> object:
            noted.append(torch.backends.cudnn.benchmark)
            return original(*given, **more)

        monkeypatch.setattr(cls, name, noting)
    monkeypatch.setitem(ARCHITECTURES, "DeepMobileNetV3PlusD", {"backbone": "small", "output_stride": 32})
    # Three steps are an epoch. The masks are built after it, between two evaluations.
    more = [*ISW, "--max_iter", "5", "--eval_every", "2", "--val_dataset", "mapillary", "--visualize_feature"]
    compiled = train_arguments(toycity, tmp_path, *more, "--compile", "--exp", "compiled")
    assert train.main(compiled) == 0
    assert (graphs, graphs.runs) == (["fixed"], 5)
    assert {name: set(noted) for name, noted in searches.items()} == {
        "score": {False},
        "__call__": {True},
        "_select": {False},
    }
    assert train.main(train_arguments(toycity, tmp_path, *more, "--exp", "plain")) == 0
    found, expected = (
        json.loads((tmp_path / "default" / exp / "results.json").read_text())["domains"]
        for exp in ("compiled", "plain")
    )
    assert {name: domain["iou"] for name, domain in found.items()} == {
        name: domain["iou"] for name, domain in expected.items()
    }


@pytest.mark.parametrize(
    "words, most",
    [(["--channels_last"], 1), ("--inference_mode sliding --crop_size 40 --tile_batch 2".split(), 4)],
)
def test_pictures_of_five_sizes_need_few_graphs(
    words: list[str], most: int, graphs: Graphs, sizes_alike: None, checkpoint: Path, tmp_path: Path
) -> None:
    for number, size in enumerate(SIZES):
        save(street(*size, seed=number), tmp_path / f"in/{number}.png")
    for output, flags in (("plain", words), ("compiled", [*words, "--compile"])):
        assert infer_in(tmp_path, checkpoint, *flags, "--save", "trainids", output=output) == 0
    assert set(graphs) == {"any"}
    assert len(graphs) <= most
    assert graphs.runs >= len(SIZES)
    for name in results(tmp_path / "plain"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "compiled" / name).read_bytes()


def test_scoring_at_five_sizes_needs_one_graph(
    graphs: Graphs, sizes_alike: None, checkpoint: Path, toycity: Path, tmp_path: Path
) -> None:
    words = ["--snapshot", str(checkpoint), "--data_root", str(toycity), "--num_workers", "0"]
    words += ["--val_dataset", "mapillary", "--evaluation_height", "64", "--scales", "0.75,1,1.25,1.5,2"]
    scores = []
    for flags in ([], ["--compile"]):
        output = tmp_path / "scores.json"
        assert valid.main([*words, "--output", str(output), *flags]) == 0
        scores.append(json.loads(output.read_text())["domains"])
    assert graphs == ["any"]
    assert graphs.runs == 3 * 5
    assert scores[0] == scores[1]
    # Those pictures were square. PyTorch makes another graph for the six that importance weights count.
    words = [
        "--snapshot",
        str(checkpoint),
        "--data_root",
        str(toycity),
        "--dataset",
        "cityscapes",
        "--compile",
    ]
    assert importance.main([*words, "--num_workers", "0", "--output", str(tmp_path / "weights.json")]) == 0
    assert (graphs, graphs.runs) == (["any", "any"], 3 * 5 + 6)


def test_networks_of_many_kinds_are_all_compiled(graphs: Graphs, sizes_alike: None) -> None:
    for classes in range(2, 11):
        network = create_network("small", "deeplabv2", classes, output_stride=32, auxiliary=False).eval()
        network.compile_for_any_size()
        with torch.inference_mode():
            for size in (64, 96):
                network(torch.rand(1, 3, size, size + 8))
    assert graphs == ["any"] * 9
    assert graphs.runs == 18
