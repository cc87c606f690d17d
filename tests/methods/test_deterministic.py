"""``--deterministic``: no step needs an operation that has no deterministic form on CUDA."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from determinism import ALWAYS, SOMETIMES, OnlyDeterministic, take_the_ways_of_cuda
from host_waits import META
from torch.nn import functional as F
from training_steps import loaded, method_in_training, step_on_gpu

from loss.segmentation import cross_entropy, image_weighted_cross_entropy
from methods import METHODS
from network import create_network
from network.head import HEADS


@pytest.fixture
def deterministic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As after ``--deterministic`` on CUDA."""
    take_the_ways_of_cuda(monkeypatch)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_step_has_a_deterministic_form(name: str, deterministic: None) -> None:
    method = method_in_training(name)
    pictures, step = loaded(method), step_on_gpu(method)
    with OnlyDeterministic():
        step(pictures)


@pytest.mark.parametrize(
    ("backbone", "head"),
    [
        *(("resnet18", head) for head in HEADS),
        *((name, "deeplabv3plus") for name in ("mnasnet0_5", "shufflenet_v2_x1_0", "vgg16_bn")),
    ],
)
def test_every_network_has_a_deterministic_form(backbone: str, head: str, deterministic: None) -> None:
    with META:
        network = create_network(backbone, head=head, output_stride=32).train()
    with OnlyDeterministic():
        output = network(torch.empty(2, 3, 64, 96, device=META))
        sum(logits.sum() for logits in (output.logits, output.aux_logits) if logits is not None).backward()


def test_the_loss_is_the_same_with_all_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    label = torch.randint(0, 5, (2, 6, 8), generator=rng)
    label[0, :3] = 255
    logits, weights = torch.randn(2, 5, 6, 8, generator=rng), torch.rand(5, generator=rng)

    def results() -> Iterator[torch.Tensor]:
        for settings in ((), (weights,), (None, "all"), (weights, "all")):
            scores = logits.clone().requires_grad_()
            loss = cross_entropy(scores, label, *settings)
            loss.backward()
            yield from (loss, scores.grad)

    expected = list(results())
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    with OnlyDeterministic():
        torch.testing.assert_close(list(results()), expected)
        image_weighted_cross_entropy(logits, label)


def test_an_operation_without_a_deterministic_form_is_found(deterministic: None) -> None:
    assert not [name for name in (*ALWAYS, *SOMETIMES) if not hasattr(torch.ops.aten, name)]
    x = torch.randn(1, 2, 4, 4, requires_grad=True)
    labels, places = torch.zeros(1, 4, 4, dtype=torch.long), torch.zeros(1, 2, 2, 2)
    for operation in (
        lambda: F.cross_entropy(x, labels),
        lambda: F.adaptive_avg_pool2d(x, 2).sum().backward(),
        lambda: F.interpolate(x, scale_factor=2, mode="bicubic").sum().backward(),
        lambda: F.interpolate(x, scale_factor=2, mode="bilinear", antialias=True).sum().backward(),
        lambda: F.pad(x, (1, 1, 1, 1), mode="reflect").sum().backward(),
        lambda: F.grid_sample(x, places, align_corners=False).sum().backward(),
        lambda: labels.flatten().bincount(torch.ones(16)),
        lambda: x.median(0),
        lambda: x.cumsum(1),
    ):
        with pytest.raises(AssertionError, match="has no deterministic form"), OnlyDeterministic():
            operation()
    with OnlyDeterministic():
        F.cross_entropy(x, labels, reduction="none").sum().backward()
        F.interpolate(F.adaptive_avg_pool2d(x, 1), scale_factor=2, mode="bilinear").sum().backward()
        F.pad(x, (1, 1, 1, 1), mode="replicate").sum().backward()
