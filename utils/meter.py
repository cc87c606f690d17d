"""What a training log line says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from utils import distributed


@dataclass
class Meter:
    """Means over the steps since the last log line; losses stay on the device until they are asked for."""

    losses: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0
    data_seconds: float = 0.0
    start: float = field(default_factory=time.perf_counter)

    def add(self, losses: dict[str, Tensor]) -> None:
        for name, value in losses.items():
            self.losses[name] = self.losses.get(name, 0) + value.detach()

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` needs; times are not kept."""
        return {"losses": {name: value.cpu() for name, value in self.losses.items()}, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on with the means of another meter, on ``device``."""
        self.losses = {name: value.to(device) for name, value in state["losses"].items()}
        self.steps = state["steps"]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time of the block out: it is not training."""
        began = time.perf_counter()
        yield
        self.start += time.perf_counter() - began

    def read(self, pictures_per_step: int) -> dict[str, float]:
        """``loss/*`` means over processes, ``images/s`` of all processes, ``data wait`` as a share of the
        time.
        """
        names = sorted(self.losses)
        sums = distributed.all_reduce_sum(torch.stack([self.losses[name].float() for name in names]))
        means = (sums / (self.steps * distributed.world_size())).tolist()
        seconds = time.perf_counter() - self.start
        return {
            **{f"loss/{name}": mean for name, mean in zip(names, means, strict=True)},
            "images/s": self.steps * pictures_per_step / seconds,
            "data wait": self.data_seconds / seconds,
        }
