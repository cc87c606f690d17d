"""Run target steps of DA-SAC under torchrun, each on this process's part of a batch.

The first argument is a folder. Its ``cases.pth`` has the batch, flags and network weights of every case, by
name. The main process writes each case's loss, gradients averaged over the processes, and class prior to
``<name>.pth``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from programs import arguments

from methods import METHODS, Progress
from network import create_network
from utils import distributed

torch.set_num_threads(1)
folder = Path(sys.argv[1])
distributed.setup()
for name, case in torch.load(folder / "cases.pth", weights_only=True).items():
    method = METHODS["sac"](create_network(**case["network"]), arguments(*case["flags"]))
    method.network.load_state_dict(case["weights"])
    shares = distributed.world_size() // method.neighbours.size
    batch = case["batch"]
    groups = len(batch["image"]) // shares
    first = distributed.rank() // method.neighbours.size * groups
    loss = method(
        {key: value[first : first + groups] for key, value in batch.items()}, "target", Progress(0, 1, 0)
    )
    loss["target"].backward()
    distributed.average_gradients(method.parameters())
    mean = distributed.all_reduce_sum(loss["target"].detach()) / distributed.world_size()
    result = {"loss": mean, "prior": method.prior}
    result |= {key: value.grad for key, value in method.named_parameters() if value.grad is not None}
    if distributed.is_main():
        torch.save(result, folder / f"{name}.pth")
distributed.shutdown()
