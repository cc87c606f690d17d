"""The loss and schedule flags of train.py, each on a few steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from programs import train_arguments

import train
from utils.errors import UserError
from utils.run.checkpoint import load_checkpoint

RELAXED = ["--jointwtborder", "--strict_bdr_cls", "5,6,7", "18"]


@pytest.mark.parametrize(
    "flags",
    [
        ["--cls_wt_loss"],
        ["--img_wt_loss", "--wt_bound", "2", "--batch_weighting", "--img_wt_reduction", "sum"],
        [*RELAXED, *"--rlx_off_iter 0 --lr_schedule scl-poly --rescale 0.5 --repoly 2".split()],
    ],
    ids=["classes", "images", "boundaries"],
)
def test_run(toycity: Path, tmp_path: Path, flags: list[str]) -> None:
    short = ["--max_iter", "2", "--eval_every", "0", "--selection", "last"]
    train.main(train_arguments(toycity, tmp_path, *short, *flags))
    checkpoint = load_checkpoint(tmp_path / "default" / "tiny" / "last.pth")
    assert all(name.startswith("network.") for name in checkpoint["model"])
    assert all(value.isfinite().all() for value in checkpoint["model"].values() if torch.is_tensor(value))
    if "scl-poly" in flags:
        assert checkpoint["arguments"]["strict_bdr_cls"] == [5, 6, 7, 18]
        assert checkpoint["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0.01 * 0.5 * 0.5**2)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--lr_schedule scl-poly", "--jointwtborder"),
        ("--lr_schedule scl-poly --jointwtborder", "--rlx_off_iter"),
        ("--lr_schedule scl-poly --rlx_off_iter 3", "--jointwtborder"),
        ("--jointwtborder --img_wt_loss", "give one"),
        ("--jointwtborder --strict_bdr_cls 5,19", "train ids"),
        ("--jointwtborder --strict_bdr_cls pole", "train ids"),
        ("--img_wt_loss --wt_bound -1", "--wt_bound"),
    ],
)
def test_errors(flags: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        train.parse_arguments(["--dataset", "gtav", *flags.split()])
