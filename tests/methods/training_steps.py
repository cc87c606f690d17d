"""The training step of every method, as train.py takes it on a GPU, with tiny networks and pictures."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any

import torch
from examples import batch, crop_batch
from host_waits import CPU, META
from programs import TINY_METHODS, arguments

from methods import METHODS, Method, Progress
from methods.engine.build import build_optimizer
from methods.engine.guard import FiniteSteps
from methods.engine.step import TrainingStep
from network import create_network
from utils.run.meter import Meter

CODES = {"isw": (0, 0, 2, 1, 2, 0, 5)}
LATE = Progress(iteration=50, max_iteration=100, epoch=50)


def method_in_training(name: str, *flags: str) -> Method:
    torch.manual_seed(0)
    architecture = {"backbone": "mobilenet_v2", **METHODS[name].architecture}
    if name in CODES:
        architecture["wt_layer"] = CODES[name]
    settings = arguments("--method", name, *TINY_METHODS[name], *flags)
    return METHODS[name](create_network(**architecture), settings).train()


def batches(method: Method) -> dict[str, dict[str, torch.Tensor]]:
    """Domain -> batch, as a method gets it."""
    target = crop_batch(crops=2) if method.target_transform == "multi_crop" else batch()
    return {domain: batch() if domain == "source" else target for domain in method.domains}


def loaded(method: Method) -> dict[str, dict[str, Any]]:
    """Domain -> batch, as a loader gives it: labels are uint8, and pictures have names."""
    result = {domain: {**of_domain, "name": ["a", "b"]} for domain, of_domain in batches(method).items()}
    return {
        domain: {**values, "label": values["label"].byte()} if "label" in values else values
        for domain, values in result.items()
    }


def step_on_gpu(method: Method, device: torch.device = CPU) -> Callable[[dict[str, Any]], None]:
    """A function that takes one step of train.py with a loaded batch, as if ``device`` were a GPU.

    The optimiser is fused, and the guard does not look at what it guards. META has no fused optimiser: there
    the step ends before the optimiser's own.
    """
    step = TrainingStep(method, method.arguments, device)
    step.optimizer = build_optimizer(
        method, method.arguments, torch.device("cuda") if device == CPU else device
    )
    if device == META:
        step.optimizer._step_supports_amp_scaling, step.optimizer.step = True, lambda: None
    step.finite = FiniteSteps(method, step.optimizer, device, fp16=False, limit=3)
    meter = Meter()
    return lambda by_domain: step(repeat(by_domain), LATE, meter)
