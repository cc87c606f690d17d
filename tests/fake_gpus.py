"""Eight GPUs that are not there: PyTorch's fake process group, and fake tensors whose device is a GPU.

Fake tensors have a shape and a device but no values. Every operator on them checks that its tensors are on
one device, as CUDA does. NCCL exchanges tensors of GPUs alone, which :class:`OnGPUs` checks. Gradients cannot
be computed: for these PyTorch needs CUDA itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GPU = torch.device("cuda", 0)


@contextmanager
def one_of(processes: int, rank: int = 0) -> Iterator[None]:
    """This process is number ``rank`` of so many, but nothing is exchanged."""
    dist.init_process_group("fake", rank=rank, world_size=processes, store=FakeStore())
    try:
        yield
    finally:
        dist.destroy_process_group()


class OnGPUs(TorchDispatchMode):
    """Fails on tensors that NCCL cannot exchange; ``seen`` are the names of the exchanges."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if operator.namespace == "c10d":
            self.seen.append(operator.overloadpacket.__name__)
            for tensor in tree_leaves((args, kwargs)):
                if isinstance(tensor, Tensor):
                    assert tensor.is_cuda, f"{operator} of a tensor on {tensor.device}"
                    assert tensor.is_contiguous(), f"{operator} of a tensor that is not contiguous"
        return operator(*args, **(kwargs or {}))


class Wrapped(nn.Module):
    """In place of DistributedDataParallel, which reads the memory of the parameters."""

    def __init__(self, module: nn.Module, **settings: Any) -> None:
        super().__init__()
        self.module, self.settings, self.broadcast_buffers = module, settings, True

    def forward(self, *args: Any) -> Any:
        return self.module(*args)

    no_sync = nullcontext


def place(module: nn.Module, change: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """``Module._apply`` without its attempt to keep the parameters' memory, which fake tensors have not."""
    for part in module.children():
        place(part, change)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            module._parameters[name] = nn.Parameter(change(parameter.detach()), parameter.requires_grad)
    for name, buffer in module._buffers.items():
        module._buffers[name] = None if buffer is None else change(buffer)
    return module


def normalised(layer: nn.SyncBatchNorm, x: Tensor) -> Tensor:
    """``SyncBatchNorm.forward`` without its exchange, for whose kernels PyTorch has no fakes."""
    assert x.is_cuda
    running = layer.running_mean, layer.running_var
    return F.batch_norm(x, *running, layer.weight, layer.bias, layer.training)


@contextmanager
def fake_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[OnGPUs]:
    """In the block, what is made on ``GPU`` or sent there is a fake tensor."""
    if torch.__version__ < (2, 11):
        pytest.skip("before PyTorch 2.11 copies of fake tensors need a driver, and exchanges have no fakes")
    monkeypatch.setattr(nn.Module, "_apply", place)
    monkeypatch.setattr(nn.SyncBatchNorm, "forward", normalised)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    # A generator of a GPU needs CUDA.
    monkeypatch.setattr("methods.blindnet.step_generator", lambda device: None)
    with FakeTensorMode(allow_non_fake_inputs=True), OnGPUs() as exchanges:
        yield exchanges
