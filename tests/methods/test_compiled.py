"""--compile in training: each network is one graph per size of its batches, whatever the step does."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from compiling import Graphs
from examples import batch, crop_batch
from programs import TINY_METHODS, arguments
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP

from methods import METHODS, Method, Progress
from methods.engine import build
from methods.engine.build import wrap
from network import create_network
from network.norm import synchronised
from utils.errors import UserError

CODES = {"isw": (0, 0, 2, 1, 2, 0, 5)}
MORE = {
    "baseline": ["--jointwtborder", "--rlx_off_iter", "1"],
    "sac": ["--snr_stages", "1"],
    "isw": ["--cov_stat_epoch", "0"],
}
# More than one: a view without the auxiliary head; a pass without gradients; a teacher and a target's crops.
EXPECTED = {"blindnet": 2, "abn": 2, "sac": 3}


def compiled_method(name: str, **architecture: object) -> Method:
    """A method with a small network, ready for its steps."""
    torch.manual_seed(0)
    given = {"backbone": "small", "output_stride": 32, **METHODS[name].architecture, **architecture}
    words = [*TINY_METHODS[name], *MORE.get(name, []), "--compile", "--channels_last"]
    args = arguments("--method", name, *words)
    method = METHODS[name](create_network(**given), args)
    return wrap(method, args, torch.device("cpu")).train()


def step(
    method: Method,
    number: int,
    target: dict[str, torch.Tensor] | None = None,
    forward: nn.Module | None = None,
) -> None:
    """One iteration, which is the last one of epoch ``number``."""
    progress = Progress(iteration=number, max_iteration=10, epoch=number)
    crops = crop_batch(crops=2, size=64) if method.target_transform == "multi_crop" else batch(64)
    for domain in method.domains:
        given = batch(64) if domain == "source" else target or crops
        with torch.autocast("cpu", torch.bfloat16):
            losses = (forward or method)(given, domain, progress)
        if losses:
            sum(losses.values()).backward()


@pytest.mark.parametrize("name", list(METHODS))
def test_every_network_stays_one_graph(name: str, graphs: Graphs) -> None:
    method = compiled_method(name, **({"wt_layer": CODES[name]} if name in CODES else {}))
    step(method, 0)
    assert len(graphs) == EXPECTED.get(name, 1)
    # ISW's masks come after an epoch, relaxation ends after a step, and evaluation changes the mode.
    for buffer_name, mask in method.named_buffers(recurse=False):
        if buffer_name.startswith("mask"):
            mask.fill_(1).triu_(1)
    method.eval()
    method.train()
    for number in (1, 2):
        step(method, number)
    assert len(graphs) == EXPECTED.get(name, 1)


def test_batches_of_two_sizes_have_a_graph_each(graphs: Graphs) -> None:
    method = compiled_method("maxsquare")
    target = {name: torch.cat([value, value]) for name, value in batch(64).items()}
    for number in (0, 1):
        step(method, number, target)
    assert graphs == ["fixed", "fixed"]


def test_an_error_of_a_compiled_network_is_its_own(monkeypatch: pytest.MonkeyPatch, graphs: Graphs) -> None:
    network = create_network("small", output_stride=32).train()
    network.compile(fullgraph=False)
    with pytest.raises(UserError, match="--bs_mult"):
        network(torch.rand(1, 3, 64, 64))
    with pytest.raises(UserError, match="batch x 3 x height x width"):
        network(torch.rand(1, 1, 64, 64))


@pytest.mark.parametrize("name", ["isw", "abn"])
def test_two_gpus_compile_the_whole_network(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    graphs: Graphs,
) -> None:
    """As on two GPUs, with synchronised BatchNorm and DDP, though the group has one process on the CPU."""
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    try:
        for module in (build.distributed, synchronised):
            monkeypatch.setattr(module, "world_size", lambda: 2)
        # PyTorch's wrapper wants GPUs for this BatchNorm, and no number of a device for a CPU.
        monkeypatch.setattr(build, "NUMBERED", ("cpu",))
        monkeypatch.setattr(DDP, "_passing_sync_batchnorm_handle", lambda ddp, module: None)
        monkeypatch.setattr(build, "DistributedDataParallel", lambda method, **how: DDP(method))
        wrapped = compiled_method(name, **({"wt_layer": CODES[name]} if name in CODES else {}))
        assert isinstance(wrapped.module.network.head.decoder[1], synchronised.SynchronisedBatchNorm)
        pieces = []
        for number in (0, 1):
            step(wrapped.module, number, forward=wrapped)
            # DDP cuts each whole graph where it sends gradients.
            pieces.append(len(graphs))
        assert pieces[0] == pieces[1] >= EXPECTED.get(name, 1)
    finally:
        dist.destroy_process_group()
