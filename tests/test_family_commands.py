"""The RobustNet family's command lines, as its scripts and users type them, run here unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from processes import FAMILY_LAUNCHER, two_processes
from programs import ISW, train_arguments

import infer
import train
import valid
from network import create_network
from network.restore import load_network
from utils.errors import UserError
from utils.flags.family import family_notices
from utils.run.checkpoint import load_checkpoint

TRAIN = """
    --dataset gtav --covstat_val_dataset gtav --val_dataset bdd100k cityscapes synthia mapillary
    --arch network.deepv3.DeepR50V3PlusD --city_mode train --lr_schedule poly --lr 0.01 --poly_exp 0.9
    --max_cu_epoch 10000 --class_uniform_pct 0.5 --class_uniform_tile 1024 --crop_size 768 --scale_min 0.5
    --scale_max 2.0 --rrotate 0 --max_iter 40000 --bs_mult 4 --gblur --color_aug 0.5 --wt_reg_weight 0.6
    --relax_denom 0.0 --clusters 3 --cov_stat_epoch 5 --trials 10 --wt_layer 0 0 2 2 2 0 0 --date 0101
    --exp r50os16_gtav_isw --ckpt ./logs/ --tb_path ./logs/
""".split()
VALID = """
    --val_dataset bdd100k cityscapes synthia mapillary --arch network.deepv3.DeepMobileNetV3PlusD
    --wt_layer 0 0 2 2 2 0 0 --date 0101 --exp mobile_gtav_isw
""".split()
SMALL = """
    --no_pretrained --num_workers 0 --crop_size 32 --class_uniform_tile 32 --bs_mult 2 --max_iter 1
    --evaluation_height 64 --trials 1 --covstat_images 2 --cov_stat_epoch 0
""".split()


def test_the_familys_launcher_starts_two_processes(project: Path, toycity: Path, tmp_path: Path) -> None:
    # A mobile network: two processes of a ResNet-50 are minutes where the tests of other rooms run as well.
    small = [*SMALL, "--arch", "network.deepv3.DeepMobileNetV3PlusD", "--val_dataset", "mapillary"]
    words = [*TRAIN, "--data_root", str(toycity), *small]
    printed = two_processes(project, "train.py", *words, launcher=FAMILY_LAUNCHER, folder=tmp_path)
    assert printed.count("pixel accuracy") == 1
    checkpoint = load_checkpoint(tmp_path / "logs" / "0101" / "r50os16_gtav_isw" / "last.pth")
    assert checkpoint["sizes_of_step"]["source pictures per step"] == 4
    assert checkpoint["model"]["mask_site4"].sum() > 0


def test_the_train_command_line(toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert train.main([*TRAIN, "--local_rank=0", "--data_root", str(toycity), *SMALL]) == 0
    results = json.loads((tmp_path / "logs/0101/r50os16_gtav_isw/results.json").read_text())
    assert list(results["domains"]) == ["gtav", "bdd100k", "cityscapes", "synthia", "mapillary"]


@pytest.fixture(scope="module")
def run_folder(toycity: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one step with mobile ISW, its pictures normalised one by one."""
    ckpt = tmp_path_factory.mktemp("run")
    looks = ["--image_in", "--dump_augmentation_images", "--visualize_feature"]
    assert train.main(train_arguments(toycity, ckpt, *ISW, *looks, "--max_iter", "1")) == 0
    return ckpt / "default" / "tiny"


def test_the_valid_command_line(
    toycity: Path, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        *VALID,
        "--snapshot",
        str(run_folder / "last.pth"),
        "--data_root",
        str(toycity),
        "--local-rank=0",
    ]
    words += ["--num_workers", "0", "--evaluation_height", "64", "--output", str(tmp_path / "results.json")]
    assert valid.main([*words, "--dataset", "gtav", "--lr", "0.01", "--trials=0"]) == 0
    assert "--date --exp --dataset --lr --trials: for training, no effect here" in capsys.readouterr().out
    domains = json.loads((tmp_path / "results.json").read_text())["domains"]
    assert list(domains) == ["bdd100k", "cityscapes", "synthia", "mapillary"]


@pytest.mark.parametrize(
    "words", [["--learning_rate", "1"], ["--cv", "0", "stray"], ["--lr_schedule", "step"]]
)
def test_valid_takes_no_flag_that_train_does_not_have(words: list[str]) -> None:
    with pytest.raises(UserError, match="--help"):
        valid.parse_arguments(["--snapshot", "x.pth", *words])


def test_no_training_flag_is_taken_for_an_abbreviation_of_a_flag_of_valid() -> None:
    args = valid.parse_arguments(["--snapshot", "x.pth", "--bs_mult", "8"])
    assert args.bs_mult_val is None
    assert args.without_effect == ["--bs_mult"]


def test_scales_with_commas_and_the_flags_of_eval(toycity: Path, run_folder: Path, tmp_path: Path) -> None:
    words = ["--snapshot", str(run_folder / "last.pth"), "--input", "in", "--output", "out"]
    assert infer.parse_arguments([*words, "--scales", "0.5,1.0,2.0"]).scales == [0.5, 1.0, 2.0]
    assert infer.parse_arguments([*words, "--scales", "0.5", "1,2"]).scales == [0.5, 1.0, 2.0]
    assert infer.parse_arguments(words).scales == [1.0]
    assert infer.parse_arguments([*words, "--scales", "2", "--single_scale"]).scales == [1.0]
    assert infer.parse_arguments([*words, "--flip", "--no_flip"]).flip is False


def test_per_image_normalisation_stays_with_the_checkpoint(run_folder: Path, tmp_path: Path) -> None:
    network, _ = load_network(run_folder / "last.pth")
    assert network.input_spec.per_image
    dark = torch.randint(0, 100, (2, 3, 32, 48), dtype=torch.uint8)
    prepared = network.input_spec.prepare(dark)
    torch.testing.assert_close(prepared.mean((2, 3)), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(prepared.std((2, 3)), torch.ones(2, 3), atol=1e-3, rtol=0)
    # Brightness and contrast are gone.
    torch.testing.assert_close(network.input_spec.prepare(2 * dark), prepared, atol=1e-3, rtol=0)
    assert torch.equal(network.input_spec.prepare(torch.zeros(1, 3, 4, 4)), torch.zeros(1, 3, 4, 4))


def test_pictures_of_crops_and_covariances(run_folder: Path) -> None:
    crops = {path.name for path in (run_folder / "crops").iterdir()}
    assert crops == {f"source{number}_{view}.png" for number in (0, 1) for view in ("image", "label")}
    assert Image.open(run_folder / "crops" / "source0_image.png").size == (32, 32)
    covariances = {path.name: np.asarray(Image.open(path)) for path in (run_folder / "covariance").iterdir()}
    assert set(covariances) == {f"1_site{site}.png" for site in (2, 3, 4)}
    for picture in covariances.values():
        assert (np.diagonal(picture[..., 1]) < 3).all()  # Red: standardised channels have variance 1.


def test_flags_without_effect_are_accepted_and_said(toycity: Path, tmp_path: Path) -> None:
    ignored = "--hardnm 0 --trunk resnet101 --max_epoch 180 --start_epoch 0 --scf".split()
    lines = family_notices(train.parse_arguments(train_arguments(toycity, tmp_path, *ignored)))
    names = [word.removeprefix("--") for word in ignored if word.startswith("--")]
    assert len(lines) == len(names) == 5
    for name in names:
        assert any(line.startswith(f"--{name}: did nothing in the family, ignored") for line in lines)
    assert family_notices(train.parse_arguments(train_arguments(toycity, tmp_path))) == []


@pytest.mark.parametrize(
    "flags",
    [
        ["--wt_bound", "2"],
        ["--batch_weighting"],
        ["--rlx_off_iter", "5"],
        ["--visualize_feature"],
        ["--step_per_domain"],
        ["--image_uniform_sampling"],
    ],
)
def test_flags_without_effect_beside_the_others_are_said(
    toycity: Path, tmp_path: Path, flags: list[str]
) -> None:
    (line,) = family_notices(train.parse_arguments(train_arguments(toycity, tmp_path, *flags)))
    assert line.startswith(f"{flags[0]}: has no effect")


def test_pre_size_trains(toycity: Path, tmp_path: Path) -> None:
    assert train.main(train_arguments(toycity, tmp_path, "--pre_size", "32", "--max_iter", "1")) == 0


def test_flags_that_stand_for_others(toycity: Path, tmp_path: Path) -> None:
    flags = ["--fp16", "--test_mode", "--max_iter", "9", "--weight_decay", "1e-4"]
    args = train.parse_arguments(train_arguments(toycity, tmp_path, *flags))
    assert (args.amp, args.max_iter) == ("fp16", 7)
    assert [line.split(":")[0] for line in family_notices(args)] == ["--fp16", "--weight_decay 0.0001"]


def test_adam_and_a_frozen_trunk(toycity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = "--adam --amsgrad --freeze_trunk --lr 0.001 --max_iter 1".split()
    assert train.main(train_arguments(toycity, tmp_path, *flags)) == 0
    printed = capsys.readouterr().out
    for name in ("adam", "amsgrad", "freeze_trunk"):
        assert printed.count(f"--{name}: did nothing in the family; here:") == 1
    checkpoint = load_checkpoint(tmp_path / "default" / "tiny" / "last.pth")
    assert "max_exp_avg_sq" in checkpoint["optimizer"]["state"][0]
    torch.manual_seed(304)
    start = create_network("mobilenet_v2", partial_dilation=True)
    trained = checkpoint["model"]
    frozen = [name for name, _ in start.named_parameters() if name.startswith("backbone.")]
    assert all(torch.equal(trained[f"network.{name}"], start.state_dict()[name]) for name in frozen)
    assert not torch.equal(trained["network.head.classifier.weight"], start.head.classifier.weight)
    optimised = checkpoint["optimizer"]["param_groups"][0]["params"]
    assert len(optimised) == len(list(start.parameters())) - len(frozen)


def test_restore_optimizer_goes_on_with_the_run_of_the_snapshot(toycity: Path, tmp_path: Path) -> None:
    assert train.main(train_arguments(toycity, tmp_path, "--max_iter", "1")) == 0
    folder = tmp_path / "default" / "tiny"
    snapshot = ["--snapshot", str(folder / "last.pth"), "--restore_optimizer"]
    assert train.main(train_arguments(toycity, tmp_path, *snapshot, "--max_iter", "1")) == 0
    assert "last.pth at iteration 1" in (folder / "log.txt").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--restore_optimizer"], "--restore_optimizer: needs --snapshot"),
        (["--amsgrad"], "--amsgrad: .* add --adam"),
        (["--sgd", "--adam"], "--sgd and --adam"),
        (["--fp16", "--amp", "bf16"], "--fp16 and --amp bf16"),
    ],
)
def test_flags_that_contradict_each_other(
    toycity: Path, tmp_path: Path, flags: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train.main(train_arguments(toycity, tmp_path, *flags))
