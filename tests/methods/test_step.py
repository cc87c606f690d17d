"""What the step of every method must not do: make the host wait, or compute losses in 16 bits."""

from __future__ import annotations

import pytest
import torch
from examples import batch, crop_batch
from host_waits import NoHostWaits, forbid_reading
from programs import TINY_METHODS, arguments

from methods import METHODS, Method, Progress
from network import create_network

CODES = {"isw": (0, 0, 2, 1, 2, 0, 5)}
LATE = Progress(iteration=50, max_iteration=100, epoch=50)


def method_in_training(name: str) -> Method:
    torch.manual_seed(0)
    architecture = {"backbone": "mobilenet_v2", **METHODS[name].architecture}
    if name in CODES:
        architecture["wt_layer"] = CODES[name]
    return METHODS[name](
        create_network(**architecture), arguments("--method", name, *TINY_METHODS[name])
    ).train()


def batches(method: Method) -> dict[str, dict[str, torch.Tensor]]:
    target = crop_batch(crops=2) if method.target_transform == "multi_crop" else batch()
    return {domain: batch() if domain == "source" else target for domain in method.domains}


@pytest.mark.parametrize("name", list(METHODS))
def test_no_step_waits_for_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method = method_in_training(name)
    pictures = batches(method)
    forbid_reading(monkeypatch)
    with NoHostWaits():
        for domain, of_domain in pictures.items():
            losses = method(of_domain, domain, LATE)
            if losses:
                sum(losses.values()).backward()


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
