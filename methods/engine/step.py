"""One iteration of training, on one process or several."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from methods.common.base import Method, Progress
from methods.engine.build import build_optimizer, restore_optimizer, wrap
from methods.engine.guard import FiniteSteps
from transforms.device_photometric import changed_views
from utils import distributed
from utils.device import NUMBERED, to_device
from utils.precision import autocast
from utils.run.meter import Meter
from utils.seeding import seed_step


class TrainingStep:
    """Trains a method: each call does one iteration.

    ``steps_per_iteration`` is the number of optimiser steps per iteration: one per source domain with
    ``--step_per_domain``, else 1. The method is placed on ``device`` and, with several processes, wrapped.

    ``last_batch`` is the last batch of the method's last domain, as the loader gave it; None at first.
    """

    def __init__(
        self, method: Method, args: argparse.Namespace, device: torch.device, steps_per_iteration: int = 1
    ) -> None:
        self.method, self.args, self.device = method, args, device
        self.steps_per_iteration = steps_per_iteration
        self.model: nn.Module = wrap(method, args, device)
        self.optimizer = build_optimizer(method, args, device)
        self.finite = FiniteSteps(method, self.optimizer, device, args.amp == "fp16", args.max_bad_steps)
        self.last_batch: dict[str, Any] | None = None
        # On a stream of their own, copies do not wait until the device has finished the previous step.
        module = torch.get_device_module(device) if device.type in NUMBERED else None
        self.copy_stream = module and module.Stream(device)

    def __call__(
        self, batches: Iterator[dict[str, dict[str, Any]]], progress: Progress, meter: Meter
    ) -> None:
        """Do iteration ``progress.iteration``; each of ``batches`` is a dict domain -> batch."""
        args = self.args
        restart = args.rlx_off_iter if args.lr_schedule == "scl-poly" else None
        factor = learning_rate_factor(
            progress.iteration, args.max_iter, args.poly_exp, restart, args.rescale, args.repoly
        )
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        first = progress.iteration * self.steps_per_iteration
        for number in range(first, first + self.steps_per_iteration):
            self._optimise(batches, progress, meter, number)
        meter.steps += 1

    def _optimise(
        self, batches: Iterator[dict[str, dict[str, Any]]], progress: Progress, meter: Meter, number: int
    ) -> None:
        """Take optimiser step ``number`` of the run; to save memory, each batch has its own backward pass."""
        args, domains = self.args, self.method.domains
        self.optimizer.zero_grad(set_to_none=True)
        self.finite.begin()
        for place in range(args.accumulate):
            with meter.waiting(self.device):
                batch_per_domain = next(batches)
            # This comes after the loader, which draws from torch's generator when it starts an epoch.
            seed_step(args.seed, distributed.rank(), number * args.accumulate + place)
            for domain in domains:
                # DDP exchanges gradients during a backward pass, which must then reach every parameter. With
                # several domains no pass does, so gradients are exchanged afterwards.
                syncs = place == args.accumulate - 1 and len(domains) == 1
                batch = self.last_batch = batch_per_domain[domain]
                views = changed_views(to_device(batch, self.device, self.copy_stream))
                with self.model.no_sync() if distributed.world_size() > 1 and not syncs else nullcontext():
                    with autocast(args.amp, self.device):
                        losses = self.model(views, domain, progress)
                    if losses:
                        self.finite.backward(sum(losses.values()) / args.accumulate, batch["name"])
                meter.add(losses, share=1 / (args.accumulate * self.steps_per_iteration))
        if len(domains) > 1:
            distributed.average_gradients(self.method.parameters())
        self.finite.step()

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors; with the method's state dict this is all that the next step needs."""
        return {"optimizer": self.optimizer.state_dict(), "finite": self.finite.state_dict()}

    def load_state_dict(self, state: dict[str, Any], path: Path) -> None:
        """Continue from the :meth:`state_dict` that was read from the checkpoint ``path``.

        Raises:
            UserError: the state belongs to other parameters.
        """
        restore_optimizer(self.optimizer, state["optimizer"], path)
        self.finite.load_state_dict(state["finite"])


def learning_rate_factor(
    iteration: int,
    max_iteration: int,
    exponent: float,
    restart: int | None = None,
    rescale: float = 1.0,
    restart_exponent: float = 1.5,
) -> float:
    """The factor of the initial learning rate, after ``iteration`` finished iterations.

    Without ``restart`` (``poly``) the factor falls from 1 to 0 by a power. In the iteration ``restart``
    (``scl-poly``) it jumps to ``rescale`` and falls to 0 again. Zhu et al. (CVPR 2019) restart where boundary
    label relaxation ends. As published, labels are still relaxed in that iteration (``loss.criterion``).
    """
    if restart is None or iteration < restart:
        return (1 - iteration / max_iteration) ** exponent
    return rescale * (1 - (iteration - restart) / (max_iteration - restart)) ** restart_exponent
