"""train.py: what a run leaves behind, exact resume, and its errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from programs import ISW, train_arguments

import train
from utils.checkpoint import load_checkpoint
from utils.errors import UserError


@pytest.fixture(scope="module")
def isw_run(toycity: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a whole, uninterrupted ISW run with two unseen domains."""
    ckpt = tmp_path_factory.mktemp("isw")
    arguments = train_arguments(toycity, ckpt, *ISW, "--val_dataset", "cityscapes", "synthia")
    assert train.main(arguments) == 0
    return ckpt / "default" / "tiny"


def differing(first: object, second: object, path: str = "") -> list[str]:
    """Paths of the entries that are not bit for bit equal."""
    if isinstance(first, torch.Tensor):
        return [] if torch.equal(first, second) else [path]
    if isinstance(first, dict):
        if first.keys() != second.keys():
            return [f"{path}: keys"]
        return [p for key in first for p in differing(first[key], second[key], f"{path}/{key}")]
    if isinstance(first, list):
        return [
            p
            for i, pair in enumerate(zip(first, second, strict=True))
            for p in differing(*pair, f"{path}/{i}")
        ]
    return [] if first == second else [path]


def test_run_folder_holds_what_the_readme_says(isw_run: Path) -> None:
    names = {path.name for path in isw_run.iterdir() if not path.name.startswith("events")}
    assert names == {"last.pth", "best.pth", "log.txt", "args.json", "results.json"}
    assert any(path.name.startswith("events") for path in isw_run.iterdir())
    assert json.loads((isw_run / "args.json").read_text())["wt_layer"] == [0, 0, 2, 2, 2, 0, 0]
    log = (isw_run / "log.txt").read_text()
    assert "[iter 6 / 6] aux" in log
    assert "images/s" in log
    assert "data wait" in log
    assert "iteration 3: gtav val mIoU" in log


def test_results_say_how_they_were_made(isw_run: Path) -> None:
    results = json.loads((isw_run / "results.json").read_text())
    assert results["protocol"] == "robustnet"
    assert results["selection"] == "best source val"
    assert results["commit"]
    assert list(results["domains"]) == ["gtav", "cityscapes", "synthia"]
    synthia = results["domains"]["synthia"]
    assert synthia["images"] == 3
    assert set(synthia) >= {"miou", "miou16", "miou13", "iou", "precision", "recall", "pixel_accuracy"}
    assert len(synthia["iou"]) == 19
    assert 0 <= synthia["miou"] <= 1


def test_checkpoint_selected_on_source_val_alone(isw_run: Path) -> None:
    best = load_checkpoint(isw_run / "best.pth")
    results = json.loads((isw_run / "results.json").read_text())
    assert best["iteration"] == results["iteration"] == best["best"]["iteration"]
    assert results["domains"]["gtav"]["miou"] == pytest.approx(best["best"]["miou"], abs=1e-12)


def test_masks_are_built_after_their_epoch_and_saved(isw_run: Path) -> None:
    model = load_checkpoint(isw_run / "last.pth")["model"]
    for site, channels in ((2, 16), (3, 32), (4, 64)):
        mask = model[f"mask_site{site}"]
        assert mask.shape == (channels, channels)
        assert mask.sum() > 0
        assert mask.tril().sum() == 0
        assert set(mask.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_killed_run_resumes_to_the_same_bits(
    isw_run: Path, toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """Stopped within an epoch, at its end (masks, evaluation) and before the last step."""

    def dying_step(run: train.Run, *args: object) -> None:
        if run.iteration == stop:
            raise KeyboardInterrupt
        whole_step(run, *args)

    whole_step = train.Run.step
    arguments = train_arguments(toycity, tmp_path, *ISW, "--val_dataset", "cityscapes", "synthia")
    with monkeypatch.context() as patch:
        patch.setattr(train.Run, "step", dying_step)
        with pytest.raises(KeyboardInterrupt):
            train.main(arguments)
    folder = tmp_path / "default" / "tiny"
    assert load_checkpoint(folder / "last.pth")["iteration"] == stop
    assert train.main([*arguments, "--resume", "auto"]) == 0
    whole, resumed = (load_checkpoint(f / "last.pth") for f in (isw_run, folder))
    for part in ("model", "optimizer", "iteration", "best"):
        assert differing(whole[part], resumed[part]) == []
    results = [json.loads((f / "results.json").read_text())["domains"] for f in (isw_run, folder)]
    assert results[0] == results[1]


def test_resuming_a_finished_run_only_scores_it(isw_run: Path, toycity: Path) -> None:
    before = load_checkpoint(isw_run / "last.pth")
    arguments = train_arguments(toycity, isw_run.parents[1], *ISW, "--val_dataset", "cityscapes", "synthia")
    assert train.main([*arguments, "--resume", "auto"]) == 0
    assert differing(before["model"], load_checkpoint(isw_run / "last.pth")["model"]) == []


def test_workers_do_not_change_a_run(toycity: Path, tmp_path: Path) -> None:
    losses = []
    for workers in ("0", "2"):
        arguments = train_arguments(toycity, tmp_path / workers, "--max_iter", "2", "--num_workers", workers)
        assert train.main(arguments) == 0
        losses.append(load_checkpoint(tmp_path / workers / "default" / "tiny" / "last.pth")["model"])
    assert differing(*losses) == []


def test_gradient_accumulation_makes_fewer_steps_of_the_same_pictures(toycity: Path, tmp_path: Path) -> None:
    arguments = train_arguments(toycity, tmp_path, "--accumulate", "3", "--max_iter", "2", "--log_every", "1")
    assert train.main(arguments) == 0
    log = (tmp_path / "default" / "tiny" / "log.txt").read_text()
    assert "[epoch 2] [iter 2 / 2]" in log


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_and_layout(toycity: Path, tmp_path: Path, amp: str) -> None:
    arguments = train_arguments(toycity, tmp_path, "--amp", amp, "--channels_last", "--max_iter", "2")
    assert train.main(arguments) == 0
    model = load_checkpoint(tmp_path / "default" / "tiny" / "last.pth")["model"]
    assert all(torch.isfinite(value).all() for value in model.values())


def test_snapshot_starts_from_weights_at_step_0(isw_run: Path, toycity: Path, tmp_path: Path) -> None:
    arguments = train_arguments(toycity, tmp_path, *ISW, "--snapshot", str(isw_run / "last.pth"), "--lr", "0")
    arguments += ["--weight_decay", "0", "--max_iter", "1"]
    assert train.main(arguments) == 0
    old, new = (
        load_checkpoint(f)["model"] for f in (isw_run / "last.pth", tmp_path / "default/tiny/last.pth")
    )
    assert torch.equal(old["network.head.classifier.weight"], new["network.head.classifier.weight"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--lr", "nan"], "--lr nan"),
        (["--bs_mult", "0"], "--bs_mult 0"),
        (["--class_uniform_pct", "1.5"], "--class_uniform_pct 1.5"),
        (["--scale_min", "3"], "--scale_max 2.0"),
        (["--wt_layer", "1", "0", "0", "0", "0", "0", "0"], "--wt_layer.*no site 0"),
        (["--wt_layer", "0", "0", "2", "0", "0", "0", "0", "--clusters", "0"], "--clusters 0"),
        (["--wt_layer", "0", "0", "0", "9", "0", "0", "0"], "unknown code 9"),
        (["--method", "isw"], "--method isw"),
        (["--method", "magic"], "--method magic"),
        (["--arch", "network.deepv3.Nothing"], "--arch network.deepv3.Nothing"),
        (["--backbone", "resnet50"], "--arch and --backbone"),
        (["--dataset", "atlantis"], "atlantis"),
        (["--data_root", "/nowhere"], "--data_root /nowhere"),
        (["--snapshot", "nothing.pth"], "nothing.pth"),
        (["--resume", "nothing.pth"], "nothing.pth"),
        (["--accumulate", "100"], "--accumulate 100"),
    ],
)
def test_errors_name_the_flag_and_write_nothing(
    toycity: Path, tmp_path: Path, flags: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train.main(train_arguments(toycity, tmp_path, *flags))
    assert not (tmp_path / "default").exists()


def test_a_second_run_in_the_same_folder_is_refused(isw_run: Path, toycity: Path) -> None:
    before = (isw_run / "last.pth").read_bytes()
    with pytest.raises(UserError, match="holds a run already"):
        train.main(train_arguments(toycity, isw_run.parents[1], *ISW))
    assert (isw_run / "last.pth").read_bytes() == before


def test_resume_with_another_network_is_refused(isw_run: Path, toycity: Path) -> None:
    with pytest.raises(UserError, match="another method or network"):
        train.main(train_arguments(toycity, isw_run.parents[1], "--resume", "auto"))


def test_without_data_arguments_the_toy_city_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import config

    monkeypatch.setattr(config, "TOYCITY_ROOT", tmp_path / "city")
    made = []

    def generate(root: Path) -> None:
        made.append(root)
        raise KeyboardInterrupt  # Enough is known: the real one is tested in its own room.

    monkeypatch.setattr("datasets.toycity.generate", generate)
    with pytest.raises(KeyboardInterrupt):
        train.main(["--ckpt", str(tmp_path / "logs")])
    assert made == [tmp_path / "city"]
