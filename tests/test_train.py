"""train.py: what a run leaves behind, exact resume, and its errors."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from comparison import differing
from interruption import dying_at
from programs import ISW, train_arguments

import train
from utils.errors import UserError
from utils.run.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def isw_run(toycity: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a whole, uninterrupted ISW run with two unseen domains."""
    ckpt = tmp_path_factory.mktemp("isw")
    arguments = train_arguments(toycity, ckpt, *ISW, "--val_dataset", "cityscapes", "synthia")
    assert train.main(arguments) == 0
    return ckpt / "default" / "tiny"


def test_run_folder_holds_what_the_readme_says(isw_run: Path) -> None:
    names = {path.name for path in isw_run.iterdir() if not path.name.startswith("events")}
    weights = {"last.pth", "previous.pth", "best.pth"}
    assert names == {
        *weights,
        "log.txt",
        "args.json",
        "results.json",
        "sessions.json",
        "metrics.csv",
        ".lock",
    }
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
    assert results["precision"] == "float32"
    assert re.search("computes on [1-9][0-9]* CPU threads in float32", (isw_run / "log.txt").read_text())
    assert list(results["domains"]) == ["gtav", "cityscapes", "synthia"]
    log = (isw_run / "log.txt").read_text()
    assert all(f"{name}: read from {folder}" in log for name, folder in results["folders"].items())
    assert list(results["folders"]) == ["gtav", "cityscapes", "synthia"]
    synthia = results["domains"]["synthia"]
    assert synthia["images"] == 3
    assert set(synthia) >= {"miou", "miou16", "miou13", "iou", "precision", "recall", "pixel_accuracy"}
    assert len(synthia["iou"]) == 19
    assert 0 <= synthia["miou"] <= 1


def test_checkpoint_selected_on_source_val_alone(isw_run: Path) -> None:
    best = load_checkpoint(isw_run / "best.pth")
    results = json.loads((isw_run / "results.json").read_text())
    assert best["iteration"] == results["iteration"] == best["best"]["best"]["iteration"]
    assert results["domains"]["gtav"]["miou"] == pytest.approx(best["best"]["best"]["miou"], abs=1e-12)


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
    isw_run: Path, toycity: Path, tmp_path: Path, stop: int
) -> None:
    """Stopped within an epoch, at its end (masks, evaluation) and before the last step."""
    arguments = train_arguments(toycity, tmp_path, *ISW, "--val_dataset", "cityscapes", "synthia")
    with dying_at(stop):
        train.main(arguments)
    folder = tmp_path / "default" / "tiny"
    assert load_checkpoint(folder / "last.pth")["iteration"] == stop
    assert train.main([*arguments, "--resume", "auto"]) == 0
    whole, resumed = (load_checkpoint(f / "last.pth") for f in (isw_run, folder))
    for part in ("model", "optimizer", "iteration", "best"):
        assert differing(whole[part], resumed[part]) == []
    results = [json.loads((f / "results.json").read_text())["domains"] for f in (isw_run, folder)]
    for name, domain in results[0].items():
        assert {**domain, "checkpoint": ""} == {**results[1][name], "checkpoint": ""}


def test_resuming_a_finished_run_only_scores_it(isw_run: Path, toycity: Path) -> None:
    before = load_checkpoint(isw_run / "last.pth")
    arguments = train_arguments(toycity, isw_run.parents[1], *ISW, "--val_dataset", "cityscapes", "synthia")
    assert train.main([*arguments, "--resume", "auto"]) == 0
    assert differing(before["model"], load_checkpoint(isw_run / "last.pth")["model"]) == []


@pytest.mark.reliability("A damaged best.pth ends no run: the evaluations to come make another")
def test_damaged_best_weights_are_made_anew(toycity: Path, tmp_path: Path) -> None:
    arguments, folder = train_arguments(toycity, tmp_path), tmp_path / "default" / "tiny"
    with dying_at(4):
        train.main(arguments)
    best = folder / "best.pth"
    best.write_bytes(best.read_bytes()[:1000])
    assert train.main([*arguments, "--resume", "auto"]) == 0
    assert f"warning: {best}: damaged" in (folder / "log.txt").read_text()
    assert load_checkpoint(best)["iteration"] == 6


@pytest.mark.reliability("A run does not go on with other training pictures than it had")
def test_resume_with_other_pictures_is_refused(toycity: Path, tmp_path: Path) -> None:
    own = tmp_path / "city"
    shutil.copytree(toycity, own)
    arguments = train_arguments(own, tmp_path)
    with dying_at(2):
        train.main(arguments)
    for kind in ("images", "labels"):
        picture = next((own / "gtav" / kind / "train").rglob("*.png"))
        picture.rename(picture.with_name("renamed.png"))
    with pytest.raises(UserError, match=r"last\.pth: of a run with other training pictures; bring back"):
        train.main([*arguments, "--resume", "auto"])


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


def weights_after(toycity: Path, ckpt: Path, *flags: str) -> dict[str, torch.Tensor]:
    assert train.main(train_arguments(toycity, ckpt, *flags)) == 0
    return load_checkpoint(ckpt / "default" / "tiny" / "last.pth")["model"]


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_computes_nearly_the_same(toycity: Path, tmp_path: Path, amp: str) -> None:
    one_step = ["--max_iter", "1", "--val_dataset"]
    full = weights_after(toycity, tmp_path / "full", *one_step)
    mixed = weights_after(toycity, tmp_path / amp, "--amp", amp, "--channels_last", *one_step)
    name = "network.head.classifier.weight"
    change = (mixed[name] - full[name]).abs().max()
    assert 0 < change < 0.1 * full[name].abs().max()


def test_weight_decay_decays(toycity: Path, tmp_path: Path) -> None:
    name = "network.backbone.stem.0.1.weight"
    norms = [
        weights_after(toycity, tmp_path / decay, "--weight_decay", decay, "--max_iter", "2")[name].norm()
        for decay in ("0", "5")
    ]
    assert norms[1] < 0.97 * norms[0]


def test_the_last_weights_can_be_selected(toycity: Path, tmp_path: Path) -> None:
    weights_after(toycity, tmp_path, "--selection", "last", "--eval_every", "1", "--max_iter", "2")
    results = json.loads((tmp_path / "default" / "tiny" / "results.json").read_text())
    assert results["selection"] == "last iteration"
    assert results["iteration"] == 2
    assert results["checkpoint"].endswith("last.pth")


def test_oracle_selection_keeps_the_best_per_domain_and_says_so(
    toycity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unseen = ["--val_dataset", "cityscapes", "synthia", "--selection", "oracle"]
    assert train.main(train_arguments(toycity, tmp_path, *unseen, "--eval_every", "2")) == 0
    folder, printed = tmp_path / "default" / "tiny", capsys.readouterr().out
    results = json.loads((folder / "results.json").read_text())["domains"]
    evaluated = [line for line in printed.splitlines() if "val mIoU" in line]
    for name in ("cityscapes", "synthia"):
        weights = load_checkpoint(folder / f"best_{name}.pth")
        assert results[name]["iteration"] == weights["iteration"]
        assert results[name]["selection"] == f"oracle: best on {name} val"
        lines = [line for line in evaluated if f": {name} " in line]
        assert len(lines) == 3
        assert all("oracle" in line for line in lines)
        best = max(float(line.split("mIoU ")[1].split(",")[0]) for line in lines)
        assert results[name]["miou"] == pytest.approx(best / 100, abs=1e-4)
    assert results["gtav"]["selection"] == "best source val"
    table = printed[printed.index("weights") :]
    assert table.count("oracle: best on") == 2


def test_a_diverged_run_ends_with_an_error(toycity: Path, tmp_path: Path) -> None:
    flags = ["--lr", "1e20", "--log_every", "1", "--max_bad_steps", "2"]
    with pytest.raises(UserError, match="--max_bad_steps 2: .*lower --lr.*pictures: [^,]+, .*0000"):
        train.main(train_arguments(toycity, tmp_path, *flags))


def test_a_source_with_smaller_class_sets_brings_them_to_every_domain(toycity: Path, tmp_path: Path) -> None:
    weights_after(toycity, tmp_path, "--dataset", "synthia", "--val_dataset", "cityscapes", "--max_iter", "1")
    domains = json.loads((tmp_path / "default" / "tiny" / "results.json").read_text())["domains"]
    assert all({"miou16", "miou13"} <= scores.keys() for scores in domains.values())


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
        (["--num_classes", "16", "--cls_wt_loss"], "--num_classes 16: goes with neither"),
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
        (["--bs_mult", "1"], "--bs_mult 1"),
        (["--color_aug", "5"], "--color_aug 5"),
        (["--freeze_trunk", *ISW], "--freeze_trunk"),
        (["--freeze_trunk", "--tune", "lora"], "--freeze_trunk: is --tune head, not --tune lora"),
        (["--tune", "lora"], "--tune lora: mobilenet_v2 has no transformer blocks"),
        (["--rank", "4"], "--rank: goes with --tune lora or soma or rein, not full; drop it"),
        (["--tune", "soma", "--lora_alpha", "4"], "--lora_alpha: goes with --tune lora, not soma; drop it"),
        (["--save", "trained"], "--save trained: everything is trained here"),
        (["--tune", "frozen", "--save", "trained"], "--save trained: the frozen weights are not those of"),
        (["--scale_max", "inf"], "--scale_max inf"),
        (["--num_workers", "-1"], "--num_workers -1"),
        (["--relax_denom", "0.5"], "--relax_denom 0.5"),
        (["--cov_stat_epoch", "-1"], "--cov_stat_epoch -1"),
        (["--evaluation_height", "-5"], "--evaluation_height -5"),
        (["--ckpt", "/dev/null/here"], "--ckpt /dev/null/here"),
        (["--tb_path", "/dev/null/here"], "--tb_path /dev/null/here"),
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
    with pytest.raises(UserError, match="wt_layer was"):
        train.main(train_arguments(toycity, isw_run.parents[1], "--resume", "auto"))


def test_resume_with_other_settings_is_refused(isw_run: Path, toycity: Path) -> None:
    for flags, message in (
        (["--lr", "0.02"], "lr was 0.01, is 0.02"),
        (["--bs_mult", "3"], "pictures per step"),
    ):
        with pytest.raises(UserError, match=message):
            train.main(train_arguments(toycity, isw_run.parents[1], *ISW, "--resume", "auto", *flags))


def test_a_run_can_go_on_in_another_folder(isw_run: Path, toycity: Path, tmp_path: Path) -> None:
    resume = ["--resume", str(isw_run / "last.pth")]
    with pytest.raises(UserError, match="--data_root .*--dataset"):
        train.main(["--data_root", str(toycity), "--ckpt", str(tmp_path)])
    arguments = train_arguments(toycity, tmp_path, *ISW, *resume, "--exp", "elsewhere", "--selection", "last")
    assert train.main(arguments) == 0
    assert (tmp_path / "default" / "elsewhere" / "results.json").exists()


def test_fp16_can_be_switched_on_when_resuming(toycity: Path, tmp_path: Path) -> None:
    weights_after(toycity, tmp_path, "--max_iter", "1")
    arguments = train_arguments(toycity, tmp_path, "--max_iter", "1", "--resume", "auto", "--fp16")
    assert train.main(arguments) == 0


def test_a_snapshot_of_another_network_is_refused(isw_run: Path, toycity: Path, tmp_path: Path) -> None:
    """Instance normalisation without parameters leaves no entry: only the record in the file tells."""
    snapshot = ["--snapshot", str(isw_run / "last.pth"), "--max_iter", "1"]
    with pytest.raises(
        UserError,
        match="was trained with --wt_layer 0 0 2 2 2 0 0, this network has --wt_layer 0 0 0 0 0 0 0;",
    ):
        train.main(train_arguments(toycity, tmp_path, *snapshot))
    assert train.main(train_arguments(toycity, tmp_path, *snapshot, "--partial_load")) == 0


def test_overwrite_replaces_a_run(toycity: Path, tmp_path: Path) -> None:
    weights_after(toycity, tmp_path, "--max_iter", "1")
    weights_after(toycity, tmp_path, "--max_iter", "2", "--overwrite")
    assert load_checkpoint(tmp_path / "default" / "tiny" / "last.pth")["iteration"] == 2


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_picture_that_breaks_is_named_in_one_line(toycity: Path, tmp_path: Path, workers: str) -> None:
    shutil.copytree(toycity / "gtav", tmp_path / "data" / "gtav")
    for path in (tmp_path / "data" / "gtav" / "images" / "train").rglob("*.png"):
        path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError) as failure:
        train.main(train_arguments(tmp_path / "data", tmp_path, "--num_workers", workers))
    assert "Traceback" not in str(failure.value)
    assert str(tmp_path / "data" / "gtav" / "images" / "train") in str(failure.value)
    assert len(str(failure.value)) < 300


def test_without_data_arguments_the_toy_city_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import config

    monkeypatch.setattr(config, "TOYCITY_ROOT", tmp_path / "city")
    made = []

    def generate(root: Path, domains: list[str]) -> None:
        made.append(root)
        raise KeyboardInterrupt  # Enough is known: the real one is tested in its own room.

    monkeypatch.setattr("datasets.toycity.generate", generate)
    with pytest.raises(KeyboardInterrupt):
        train.main(["--ckpt", str(tmp_path / "logs")])
    assert made == [tmp_path / "city"]


def test_a_finished_run_cannot_change_its_selection(isw_run: Path, toycity: Path) -> None:
    arguments = train_arguments(toycity, isw_run.parents[1], *ISW, "--val_dataset", "cityscapes")
    with pytest.raises(UserError, match="best_cityscapes.pth: is missing, and the run is over"):
        train.main([*arguments, "--resume", "auto", "--selection", "oracle"])
