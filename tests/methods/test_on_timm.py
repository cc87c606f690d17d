"""Methods that look between the stages of a backbone, on networks of timm."""

from __future__ import annotations

import pytest
import torch
from examples import batch
from programs import TINY_METHODS, arguments

from methods import METHODS, Method, Progress
from network import create_network

ARCHITECTURES = {
    "isw": {"wt_layer": (0, 0, 0, 2, 2, 0, 0)},
    "blindnet": {"wt_layer": (0, 0, 0, 1, 1, 0, 0)},
    "snr": {"snr_stages": (1, 2, 3), "head": "linear"},
}


@pytest.mark.parametrize("backbone", ["timm:convnext_atto", "timm:efficientnet_lite0"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_trains_two_steps(name: str, backbone: str) -> None:
    torch.manual_seed(0)
    built = {**METHODS[name].architecture, **ARCHITECTURES[name], "output_stride": 32}
    network = create_network(backbone, **built)
    more = ["--cov_stat_epoch", "0"] if name == "isw" else []
    method: Method = METHODS[name](network, arguments("--method", name, *TINY_METHODS[name], *more)).train()
    for buffer_name, mask in method.named_buffers(recurse=False):
        if buffer_name.startswith("mask"):  # As after the first epoch.
            mask.fill_(1).triu_(1)
    optimizer = torch.optim.SGD(method.parameter_groups(1e-3), lr=1e-3)
    first = next(network.parameters())
    before = first.detach().clone()
    terms = set()
    for number in range(2):
        losses = method(batch(64), "source", Progress(number, 10, 1))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        terms |= {term for term, loss in losses.items() if float(loss.detach()) > 0}
    assert not torch.equal(before, first)
    own_terms = {"isw": {"whitening"}, "blindnet": {"covariance", "cross_covariance"}, "snr": {"restitution"}}
    assert terms >= own_terms[name], terms
