"""train.py: the batches and gradients of single steps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from programs import ISW, TINY_METHODS, train_arguments

import train
from utils.errors import UserError


def test_groups_of_crops_are_dumped_like_crops(toycity: Path, tmp_path: Path) -> None:
    flags = ["--method", "sac", *TINY_METHODS["sac"], "--max_iter", "1", "--dump_augmentation_images"]
    assert train.main(train_arguments(toycity, tmp_path, *flags)) == 0
    assert len([*(tmp_path / "default" / "tiny" / "crops").glob("target*_image.png")]) == 4


def test_gradients_of_two_domains_meet_after_every_step(
    toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    averaged = []
    monkeypatch.setattr(
        train.distributed,
        "average_gradients",
        lambda parameters: averaged.append(sum(p.grad is not None for p in parameters)),
    )
    flags = ["--method", "maxsquare", *TINY_METHODS["maxsquare"], "--max_iter", "2", "--eval_every", "0"]
    assert train.main(train_arguments(toycity, tmp_path, *flags)) == 0
    assert len(averaged) == 2
    assert min(averaged) > 0


def first_loss(toycity: Path, ckpt: Path, *flags: str) -> float:
    """The segmentation loss of a run's only step."""
    once = ["--max_iter", "1", "--log_every", "1", "--val_dataset", "--dump_augmentation_images"]
    assert train.main(train_arguments(toycity, ckpt, *flags, *once)) == 0
    assert list(ckpt.rglob("crops/*.png"))
    return float(re.search(r"main ([0-9.]+)", next(ckpt.rglob("log.txt")).read_text())[1])


@pytest.mark.parametrize("method", ["blindnet", "sac"])
def test_photometric_changes_on_the_device_cost_the_same_loss(
    toycity: Path, tmp_path: Path, method: str
) -> None:
    flags = ["--method", method, *TINY_METHODS[method]]
    on_cpu = first_loss(toycity, tmp_path / "cpu", *flags)
    on_device = first_loss(toycity, tmp_path / "device", *flags, "--photometric", "device")
    # A network of two tiny pictures' statistics makes much of a tenth of a grey level.
    assert on_device == pytest.approx(on_cpu, rel=0.1)


@pytest.mark.parametrize("flags", [["--bblur"], ["--augmentation", "maxsquare"]])
def test_what_the_device_cannot_do_is_refused(toycity: Path, tmp_path: Path, flags: list[str]) -> None:
    with pytest.raises(UserError, match=f"--photometric device: cannot do {' '.join(flags)}"):
        train.parse_arguments(train_arguments(toycity, tmp_path, "--photometric", "device", *flags))


def test_waiting_for_the_loader_is_said_with_what_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.report_waiting(60.0, 0.5)
    words = "feeds 60 images/s, the steps could take 120; use --prepared or --photometric device"
    assert words in capsys.readouterr().out
    assert not train.report_waiting(60.0, 0.05)
    assert not capsys.readouterr().out


def test_isw_that_never_starts_is_said(
    toycity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        train.main(train_arguments(toycity, tmp_path, *ISW, "--cov_stat_epoch", "5", "--max_iter", "1")) == 0
    )
    assert "will train without ISW" in capsys.readouterr().out
