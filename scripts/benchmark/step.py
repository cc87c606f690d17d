"""The cost of train.py's step (forward, backward and optimiser), compared with a bare network's."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from methods import Progress
from methods.engine.step import TrainingStep
from network import create_network
from network.head.atrous import AtrousConvolution
from scripts.benchmark.inputs import random_method
from scripts.benchmark.losses import CODES, random_batch
from scripts.benchmark.timing import Row, seconds_in_turns
from utils.device import device_name, memory_format, moved, pins_memory
from utils.precision import choose_precision, gains_from_bf16
from utils.run.meter import Meter

# This is after the epoch that builds ISW's masks, so that the masks are used.
LATER = Progress(iteration=100, max_iteration=40000, epoch=10)
FAST = ("--amp", "bf16", "--channels_last", "--compile")
PEAK_BF16 = {
    "NVIDIA H200": 989e12,
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100-PCIE-40GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
    "NVIDIA L40S": 362e12,
    "NVIDIA L40": 181e12,
    "NVIDIA GeForce RTX 4090": 165e12,
}
"""PyTorch's name of a card -> dense bf16 operations (multiply-adds x 2) per second, as its maker states."""


def training_step(
    name: str, args: argparse.Namespace, device: torch.device, *flags: str, **architecture: Any
) -> TrainingStep:
    """train.py's step of a method with its published flags and random weights."""
    method = random_method(name, args, *flags, **architecture)
    for mask_name, mask in method.named_buffers(recurse=False):
        if mask_name.startswith("mask"):
            mask.copy_(torch.ones_like(mask).triu(1))
    choose_precision(method.arguments, device)
    return TrainingStep(method, method.arguments, device)


def batches(
    args: argparse.Namespace, device: torch.device, views: Sequence[str] = ("image",)
) -> Iterator[dict[str, dict[str, Any]]]:
    """The same labelled batch on the CPU again and again, as a loader gives it for ``device``."""
    noise, pins = random_batch(args, torch.device("cpu")), pins_memory(device.type)
    carried = {**{name: noise[name] for name in views}, "label": noise["label"].byte()}
    batch = {name: view.pin_memory() if pins else view for name, view in carried.items()}
    return repeat({"source": {**batch, "name": ["picture"] * args.pictures}})


def iteration(step: TrainingStep, source: Iterator[dict[str, dict[str, Any]]]) -> Callable[[], None]:
    """One iteration of train.py without its log line."""
    return partial(step, source, LATER, Meter())


def bare_iteration(args: argparse.Namespace, device: torch.device) -> Callable[[], None]:
    """An iteration with the same network, loss and optimiser, as simple as PyTorch allows."""
    torch.manual_seed(0)
    network = create_network(args.backbone).train()
    network.to(device, memory_format=memory_format(args.channels_last, device))
    fused = device.type in ("cpu", "cuda")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=fused)
    batch = next(batches(args, device))["source"]

    def call() -> None:
        image, label = (moved(batch[name], device) for name in ("image", "label"))
        label, output = label.long(), network(network.input_spec.prepare(image))
        loss = F.cross_entropy(output.logits, label, ignore_index=255)
        auxiliary = output.aux_logits
        small = F.interpolate(label[:, None].float(), auxiliary.shape[-2:]).squeeze(1).long()
        loss = loss + 0.4 * F.cross_entropy(auxiliary, small, ignore_index=255)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return call


def public_step(
    name: str, args: argparse.Namespace, device: torch.device, **architecture: Any
) -> TrainingStep:
    """train.py's float32 step of a method with the habits of the public code.

    These are the layout that PyTorch has by default, SGD parameter by parameter, and PyTorch's own dilated
    convolutions.
    """
    step = training_step(name, args, device, "--no-channels_last", **architecture)
    for module in step.method.modules():
        if isinstance(module, AtrousConvolution):
            module.is_faster_as_products = lambda x: False
    step.optimizer.defaults |= {"fused": False, "foreach": False}
    for group in step.optimizer.param_groups:
        group |= {"fused": False, "foreach": False}
    step.optimizer._step_supports_amp_scaling = False
    return step


def public_rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Measure steps of the baseline and of ISW, also in bf16 where it gains, beside :func:`public_step`."""
    source, layout = batches(args, device), "--channels_last"
    targets = {"off": 1 / 1.15, "bf16": 1 / 2.6} if gains_from_bf16(device) else {"off": 1 / 1.15}
    measured = []
    for name, architecture in {"baseline": {}, "isw": {"wt_layer": CODES}}.items():
        steps = [public_step(name, args, device, **architecture)]
        steps += [training_step(name, args, device, layout, "--amp", amp, **architecture) for amp in targets]
        reference, *costs = seconds_in_turns([iteration(step, source) for step in steps], args.repeats)
        for (amp, target), cost in zip(targets.items(), costs, strict=True):
            precision = "float32" if amp == "off" else amp
            words = "with the public code's habits, float32"
            measured.append(Row(f"step, {name}, {precision}", cost, words, reference, target))
    return measured


def rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Measure the baseline's step, ISW's step, and on a GPU the baseline's step with all fast flags."""
    layout = ("--channels_last" if args.channels_last else "--no-channels_last",)
    source = batches(args, device)
    ours = iteration(training_step("baseline", args, device, *layout), source)
    whitening = iteration(training_step("isw", args, device, *layout, wt_layer=CODES), source)
    bare = bare_iteration(args, device)
    costs = seconds_in_turns([bare, ours, whitening], args.repeats)
    measured = [
        Row("step, baseline", costs[1], "bare step", costs[0], 1.05),
        Row("step, ISW with masks", costs[2], "baseline's step", costs[1], 1.08),
    ]
    held = [held_for_backward(call) for call in (bare, ours)]
    measured.append(Row("memory held for the backward", held[1], "of the bare step", held[0], 1.1, "MiB"))
    if device.type == "cuda":
        del bare, ours, whitening
        measured += fast_rows(args, device)
    return measured


def held_for_backward(call: Callable[[], None]) -> int:
    """Bytes of the tensors that a call keeps for its backward passes. Each storage counts once."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        call()
    return sum(storages.values())


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute without TF32 in the block, as the public code did."""
    matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        # The other spelling, for products on CUDA alone, leaves a state that PyTorch refuses to read.
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution


def fast_rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Compare a bf16, channels-last, compiled step that has a fused optimiser with an fp32 eager step.

    The batch size is ``--gpu_pictures``. The name of the row says how busy the GPU's matrix units are.
    """
    sizes = argparse.Namespace(**{**vars(args), "pictures": args.gpu_pictures})
    source = batches(sizes, device)
    plain = iteration(training_step("baseline", sizes, device), source)
    # Both need little more memory than one, because the large tensors are freed after each step.
    fast = iteration(training_step("baseline", sizes, device, *FAST), source)
    reference, cost = seconds_in_turns([exact_float32()(plain), fast], args.repeats)
    with FlopCounterMode(display=False) as counter:
        plain()
    operations = counter.get_total_flops()
    name = device_name(device)
    peak = PEAK_BF16.get(name)
    busy = f"{operations / cost / peak:.1%} of the peak" if peak else f"the peak of {name} is not known"
    words = f"{args.gpu_pictures} pictures, {operations / cost / 1e12:.3g} TFLOP/s, {busy}"
    return [Row(f"step, bf16 channels_last compiled, {words}", cost, "fp32 eager", reference, 1 / 3)]
