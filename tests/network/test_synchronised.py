"""BatchNorm over all processes: a compiled step computes the same as one BatchNorm."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, local

import pytest
import torch
from torch import Tensor, nn

from network.norm import synchronised
from network.norm.synchronised import synchronise

PROCESSES = 2


def layer() -> nn.BatchNorm2d:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    return norm


class Together:
    """Two processes as threads: each has its rank, and sums are of both. Gradients flow back to both."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.own, self.barrier, self.given = local(), Barrier(PROCESSES), [torch.empty(0)] * PROCESSES
        monkeypatch.setattr(synchronised, "rank", lambda: self.own.rank)
        monkeypatch.setattr(synchronised, "world_size", lambda: PROCESSES)
        monkeypatch.setattr(synchronised.SumOverProcesses, "apply", self.sum)

    def sum(self, tensor: Tensor) -> Tensor:
        self.given[self.own.rank] = tensor
        self.barrier.wait()
        return sum(self.given)

    def run(self, layers: list[nn.Module], shards: list[Tensor]) -> list[Tensor]:
        def plain(rank: int) -> Tensor:
            self.own.rank = rank
            return layers[rank].plain(shards[rank])

        with ThreadPoolExecutor(PROCESSES) as threads:
            return list(threads.map(plain, range(PROCESSES)))


def test_it_is_one_batch_norm_over_all_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = 3 + 2 * torch.randn(4, 4, 5, 6)
    wanted = torch.randn(4, 4, 5, 6)
    one, all_pictures = layer(), pictures.clone().requires_grad_()
    expected = one(all_pictures)
    (expected * wanted).sum().backward()

    layers, own = [layer(), layer()], pictures.clone().requires_grad_()
    for each in layers:
        synchronise(each)
    found = torch.cat(Together(monkeypatch).run(layers, list(own.split(2))))
    (found * wanted).sum().backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(own.grad, all_pictures.grad)
    for name, parameter in one.named_parameters():
        gradients = [each.get_parameter(name).grad for each in layers]
        torch.testing.assert_close(sum(gradients), parameter.grad)
    for each in layers:
        torch.testing.assert_close(dict(each.named_buffers()), dict(one.named_buffers()))


def test_half_precision_comes_back_as_it_went_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synchronised.SumOverProcesses, "apply", lambda rows: rows)
    pictures, norm = torch.randn(2, 4, 5, 6).bfloat16(), layer()
    expected = layer()(pictures)
    synchronise(norm)
    torch.testing.assert_close(norm.plain(pictures), expected, rtol=0.02, atol=0.02)
    assert norm.running_mean.dtype == torch.float32


def test_a_norm_with_an_activation_keeps_it() -> None:
    timm = pytest.importorskip("timm")
    norm, own = timm.layers.BatchNormAct2d(4), timm.layers.BatchNormAct2d(4)
    synchronise(norm)
    assert isinstance(norm, nn.SyncBatchNorm)
    norm.compile(backend="eager", fullgraph=True)
    pictures = torch.randn(2, 4, 5, 6)
    for training in (True, False):
        expected = own.train(training)(pictures)
        torch.testing.assert_close(norm.train(training)(pictures), expected)
        assert (expected >= 0).all()
