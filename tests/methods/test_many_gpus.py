"""What differs with a GPU for each process: NCCL, synchronised BatchNorm, one device per process."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
import torch.distributed as dist
from examples import batch, crop_batch
from fake_gpus import GPU, Wrapped, fake_gpus, one_of
from programs import TINY_METHODS, arguments
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException

from methods import METHODS, Method, Progress
from methods.engine import build
from network import create_network
from utils import distributed
from utils.device import to_device
from utils.run.meter import Meter
from utils.run.preemption import stop_request
from utils.scoring.metrics import ConfusionMatrix

CODES = {"isw": (0, 0, 2, 1, 2, 0, 5)}
LATE = Progress(iteration=50, max_iteration=100, epoch=50)


def method_of(name: str, *flags: str) -> Method:
    architecture = {"backbone": "mobilenet_v2", **METHODS[name].architecture}
    if name in CODES:
        architecture["wt_layer"] = CODES[name]
    words = arguments("--method", name, *TINY_METHODS[name], *flags)
    return METHODS[name](create_network(**architecture), words).train()


EXCHANGES = {"isw": {"allreduce_"}, "sac": {"allreduce_", "allgather_"}}


@pytest.fixture(autouse=True)
def group() -> Iterator[None]:
    """This is process 3 of 8."""
    with one_of(8, rank=3):
        yield


@pytest.mark.parametrize("name", list(METHODS))
def test_a_step_stays_on_the_gpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so does all that processes exchange: in a step, after it, and for the log."""
    monkeypatch.setattr(build, "DistributedDataParallel", Wrapped)
    method = method_of(name, *(["--processes_per_group", "2"] if name == "sac" else []))
    pictures = {
        domain: crop_batch(crops=2) if (domain, name) == ("target", "sac") else batch()
        for domain in method.domains
    }
    meter = Meter()
    with fake_gpus(monkeypatch) as exchanges:
        model = build.wrap(method, method.arguments, GPU)
        assert model.settings["device_ids"] == [GPU]
        assert not model.broadcast_buffers
        assert not any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
        optimizer = build.build_optimizer(method, method.arguments, GPU)
        for domain, of_domain in pictures.items():
            meter.add(model(to_device(of_domain, GPU), domain, LATE))
        assert set(exchanges.seen) == EXCHANGES.get(name, set())
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter)
        distributed.average_gradients(method.parameters())
        distributed.share_values(method.buffers())
        with pytest.raises(DataDependentOutputException):  # It reads the sums, after their exchange.
            meter.read(8)
    assert exchanges.seen.count("broadcast_") == len({buffer.dtype for buffer in method.buffers()})
    assert exchanges.seen[-2:] == ["broadcast_", "allreduce_"]


def test_masks_and_scores_stay_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loaders:
        def covariance_pairs(self, trial: int) -> Iterator[Iterator[dict[str, Tensor]]]:
            yield iter([batch()])

    method = method_of("isw")
    with fake_gpus(monkeypatch) as exchanges:
        method.to(GPU)
        method.build_masks(Loaders())
        assert "broadcast_" in exchanges.seen
        matrix = ConfusionMatrix(19, GPU)
        label = batch()["label"]
        matrix.update(label.to(GPU), label)
        assert matrix.reduce().counts.is_cuda


def test_an_exchange_that_nccl_cannot_do_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_gpus(monkeypatch):
        distributed.all_reduce_sum(torch.zeros(2, device=GPU))
        with pytest.raises(AssertionError, match="allreduce_.default of a tensor on cpu"):
            distributed.all_reduce_sum(torch.zeros(2))
        with pytest.raises(RuntimeError, match="same device|different devices"):
            torch.zeros(2, device=GPU) + torch.zeros(2)


def test_processes_without_gpus_share_running_statistics_in_every_pass() -> None:
    method = method_of("baseline")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = build.wrap(method, method.arguments, torch.device("cpu"))
    assert model.will_sync_module_buffers()
    assert not any(isinstance(layer, nn.SyncBatchNorm) for layer in model.modules())


def test_a_process_joins_with_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Process 11 of 16 on two machines has the fourth GPU of the second one."""
    current, joined = [], []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(dist, "is_backend_available", lambda name: True)
    monkeypatch.setattr(
        dist, "init_process_group", lambda *words, **settings: joined.append((words, settings))
    )
    monkeypatch.setattr(distributed, "is_distributed", lambda: False)
    place = {"WORLD_SIZE": "16", "RANK": "11", "LOCAL_RANK": "3", "MASTER_ADDR": "first", "MASTER_PORT": "1"}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    gpu = torch.device("cuda", 3)
    assert distributed.setup() == gpu
    assert current == [gpu]
    assert joined == [(("nccl",), {"timeout": distributed.TIMEOUT, "device_id": gpu})]


def test_every_process_makes_the_same_groups_with_our_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """NCCL's own time-out is ten minutes."""
    made = []

    def new_group(ranks: Sequence[int], **settings: Any) -> list[int]:
        made.append((list(ranks), settings))
        return list(ranks)

    monkeypatch.setattr(dist, "new_group", new_group)
    neighbours = distributed.Neighbours(2)
    assert made == [([n, n + 1], {"timeout": distributed.TIMEOUT}) for n in (0, 2, 4, 6)]
    assert (neighbours._group, neighbours.place) == ([2, 3], 1)


def test_a_request_to_stop_goes_from_cpu_to_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a group of its own, because NCCL has no tensors of CPUs."""
    made = []
    monkeypatch.setattr(dist, "new_group", lambda **settings: made.append(settings))
    with stop_request():
        assert made == [{"backend": "gloo"}]
