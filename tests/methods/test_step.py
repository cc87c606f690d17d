"""What the step of every method must not do: make the host wait, or compute losses in 16 bits."""

from __future__ import annotations

import pytest
import torch
from host_waits import CPU, META, NoHostWaits, allow_float64_in_scaler, autocast_on_meta, forbid_reading
from training_steps import LATE, batches, loaded, method_in_training, step_on_gpu

from methods import METHODS
from utils.device import moved


@pytest.mark.parametrize("device", [CPU, META], ids=str)
@pytest.mark.parametrize("name", list(METHODS))
def test_no_step_waits_for_the_device(
    name: str, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = method_in_training(name)
    pictures, step, waits = loaded(method), step_on_gpu(method, device), NoHostWaits(device)
    if device == META:
        monkeypatch.setattr("methods.blindnet.step_generator", lambda device: torch.Generator())
        autocast_on_meta(monkeypatch)
    allow_float64_in_scaler(waits, monkeypatch)
    forbid_reading(monkeypatch)
    with waits:
        step(pictures)


@pytest.mark.parametrize("name", list(METHODS))
def test_losses_are_single_precision_under_autocast(name: str) -> None:
    method = method_in_training(name)
    for domain, of_domain in batches(method).items():
        with torch.autocast("cpu", torch.bfloat16):
            losses = method(of_domain, domain, LATE)
        for loss in losses.values():
            assert loss.dtype == torch.float32
            assert torch.isfinite(loss)


def test_a_wait_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(4, 3)
    for waiting in (
        lambda: x.sum().item(),
        lambda: bool(x.sum() > 0),
        lambda: x[x > 0],
        lambda: x.new_tensor([1.0]),
        lambda: (x > 0).nonzero(),
    ):
        with pytest.raises(AssertionError, match="wait"), NoHostWaits():
            waiting()
    forbid_reading(monkeypatch)
    with pytest.raises(AssertionError, match="wait"):
        x.cpu()


def test_a_copy_between_devices_is_found() -> None:
    here, there = torch.randn(4, 3), torch.empty(4, 3, device=META)
    for copying in (
        lambda: here.to(META),
        lambda: here.to(there),
        lambda: there.copy_(here),
        lambda: torch.ones(()).to(META),
        lambda: there[here.argmax(1)],
        lambda: here + 1,
    ):
        with pytest.raises(AssertionError, match="is not on meta alone"), NoHostWaits(META):
            copying()
    with NoHostWaits(META):
        assert (moved(here, META) * torch.ones(())).device == META
