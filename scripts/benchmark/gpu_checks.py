"""What each process of ``python -m scripts.benchmark gpu`` does. The last line it prints is its result.

python -m scripts.benchmark.gpu_checks speed --method isw --folder /tmp/x --amp bf16
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from methods import METHODS
from network.cost import network_cost
from network.norm.synchronised import synchronise as synchronise_norms
from scripts.benchmark.curves import loader_speed
from scripts.benchmark.gpu_training import MODES, TRAINED, deterministic, trains
from scripts.benchmark.inputs import random_method, write_gtav
from scripts.benchmark.losses import CODES, START, random_batch
from scripts.benchmark.precision import a_score, an_inference
from scripts.benchmark.step import PEAK_BF16, batches, exact_float32, iteration, training_step
from scripts.benchmark.timing import seconds_in_turns, synchronise
from transforms.device_photometric import changed_views
from utils import distributed
from utils.device import device_name, select_device, to_device
from utils.errors import Parser, UserError, run_program

FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ResNet-50": ("baseline", "resnet50", {}),
    "ResNet-50 IBN": ("baseline", "resnet50", {"wt_layer": (0, 0, 4, 4, 4, 0, 0)}),
    "ResNet-50 ISW": ("isw", "resnet50", {"wt_layer": CODES}),
    "ResNet-50 SW": ("baseline", "resnet50", {"wt_layer": (0, 0, 5, 5, 5, 0, 0)}),
    "ResNet-50 SNR": ("snr", "resnet50", {}),
    "MobileNetV2": ("baseline", "mobilenet_v2", {}),
    "ShuffleNetV2": ("baseline", "shufflenet_v2_x1_0", {}),
    "VGG-16 DeepLabV2": ("baseline", "vgg16_bn", {"head": "deeplabv2_fc", "auxiliary": False}),
}
"""Architecture -> method, backbone, and what replaces the published arguments of its network."""

BOUND, TIMES = 1e-3, 10
"""A result of the GPU may be this far from float64, or this many times as far as the CPU's float32."""


def speed(args: argparse.Namespace, device: torch.device, *flags: str) -> str:
    """Images/s, utilisation and memory of train.py's step."""
    call, method = a_step(args, device, *flags)
    started = time.perf_counter()
    call()
    synchronise()
    first = time.perf_counter() - started
    steps = 1 if args.tiny else 10
    seconds = seconds_in_turns([lambda: [call() for _ in range(steps)]], 3)[0] / steps
    parts = [f"{args.pictures / seconds:.1f} images/s", f"{1e3 * seconds:.1f} ms a step"]
    if args.method == "baseline":
        # The backward pass costs twice the forward pass, and a multiply-accumulate is two operations.
        _, macs = network_cost(method.network.config, args.crop_size, args.crop_size)
        parts.append(utilisation(3 * 2 * macs * args.pictures / seconds, device_name(device)))
    if device.type == "cuda":
        parts.append(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    return ", ".join([*parts, f"first step {first:.1f} s"])


def a_step(args: argparse.Namespace, device: torch.device, *flags: str) -> tuple[Callable[[], None], Any]:
    """A call that does one step on a random batch, and the method that it trains."""
    torch.backends.cudnn.benchmark = True  # train.py does the same.
    architecture = {"wt_layer": CODES} if args.method == "isw" else {}
    if args.tiny and args.method == "blindnet":
        flags = (*flags, *TRAINED["blindnet"])
    step = training_step(args.method, args, device, *flags, **architecture)
    return iteration(step, batches(args, device, step.method.views)), step.method


def utilisation(operations: float, card: str) -> str:
    """Operations per second, and their share of what the card can do in bf16, if that is known."""
    share = f"{operations / peak:.1%} of the bf16 peak" if (peak := PEAK_BF16.get(card)) else "peak not known"
    return f"{operations / 1e12:.3g} TFLOP/s ({share})"


def agreement(args: argparse.Namespace, device: torch.device) -> str:
    """Compare logits and gradients of ``args.family`` in float32 with those in float64 on the CPU.

    A gradient of a random network is ill-conditioned: on the CPU float32 and float64 already differ by up to
    several percent. So the CPU's own float32 is the measure.
    """
    cpu = torch.device("cpu")
    exact = logits_and_gradient(args, cpu, torch.float64)
    own = logits_and_gradient(args, cpu, torch.float32)
    with exact_float32():
        found = logits_and_gradient(args, device, torch.float32)
    return judged(found, own, exact)


def logits_and_gradient(
    args: argparse.Namespace, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Logits, and the gradient of all parameters in one vector, in float64 on the CPU."""
    name, backbone, architecture = FAMILIES[args.family]
    sizes = argparse.Namespace(crop_size=args.crop_size, backbone=backbone, pictures=args.pictures)
    network = random_method(name, sizes, **architecture).network.to(device, dtype)
    for layer in network.modules():
        if isinstance(layer, nn.modules.dropout._DropoutNd):
            layer.p = 0.0  # Each device has its own random numbers.
    output = network(network.input_spec.prepare(random_batch(sizes, device)["image"]).to(dtype))
    rng, loss = torch.Generator().manual_seed(1), 0.0
    for logits in (output.logits, output.aux_logits):
        if logits is not None:
            loss = loss + (logits * torch.randn(logits.shape, generator=rng).to(device, dtype)).mean()
    loss.backward()
    gradients = [each.grad.flatten() for each in network.parameters() if each.grad is not None]
    return output.logits.detach().double().cpu(), torch.cat(gradients).double().cpu()


def judged(found: Sequence[Tensor], own: Sequence[Tensor], exact: Sequence[Tensor]) -> str:
    """Relative differences from ``exact``; raises a UserError if those of ``found`` are too large."""
    words, good = [], True
    names, sizes = ("logits differ from float64", "the gradient"), (lambda x: x.abs().max(), Tensor.norm)
    for name, ours, cpu, right, size in zip(names, found, own, exact, sizes, strict=True):
        here, there = (float(size(each - right) / size(right)) for each in (ours, cpu))
        good &= here <= max(BOUND, TIMES * there)
        words.append(f"{name} by {here:.1e} (on the CPU {there:.1e})")
    text = ", ".join(words)
    if not good:
        raise UserError(f"{text}: more than {BOUND:g} and {TIMES} times the CPU's difference from float64")
    return text


def group(args: argparse.Namespace, device: torch.device) -> str:
    """A step of DDP with SyncBatchNorm and the collective operations, in a group of this one process.

    train.py joins no group for a single process, so that this is not a run of train.py.
    """
    backend = distributed.process_backend(device)
    dist.init_process_group(backend, device_id=device if backend == "nccl" else None)
    losses = losses_of_ddp(device)
    # DDP holds the group in reference cycles; it must be gone before the group is.
    gc.collect()
    dist.destroy_process_group()
    if not losses[-1] < losses[0]:
        raise UserError(f"{backend}: the loss does not fall, {losses}")
    return f"{backend}: loss {losses[0]:.3f} to {losses[-1]:.3f} in 4 steps of DDP"


def losses_of_ddp(device: torch.device) -> list[float]:
    """The losses of four steps with DDP on one batch; all collective operations are called, too."""
    sizes = argparse.Namespace(crop_size=64, backbone="resnet18", pictures=4)
    method = random_method("baseline", sizes).to(device)
    if device.type == "cuda":
        synchronise_norms(method)
    model = nn.parallel.DistributedDataParallel(method, [device] if device.type == "cuda" else None)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    batch, losses = random_batch(sizes, device), []
    for _ in range(4):
        optimizer.zero_grad()
        loss = sum(model(batch, "source", START).values())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    distributed.broadcast(torch.ones(3, device=device))
    distributed.average_gradients(method.parameters())
    distributed.barrier()
    return losses


def loading(args: argparse.Namespace, device: torch.device) -> str:
    """Samples/s of the loader with one worker per core, and with what the device then has to do."""
    root, cores = args.data_root, len(os.sched_getaffinity(0))
    if root is None:
        root = args.folder / "gtav_size"
        write_gtav(root / "gtav", 4 if args.tiny else 16, args.crop_size)
    flags = ("--photometric", args.photometric, "--bs_mult", str(args.pictures))

    def use(batch: dict[str, Any]) -> None:
        changed_views(to_device(batch, device))

    found = loader_speed(root, cores, *flags, crop=args.crop_size, use=use)
    return f"{found:.1f} samples/s with {cores} workers, crop {args.crop_size}"


def evaluation(args: argparse.Namespace, device: torch.device) -> str:
    """Seconds per picture of validation and of sliding windows, in float32 and in bf16."""
    torch.backends.cudnn.benchmark = True
    words = []
    for name, build, count in (("validation", a_score, args.pictures), ("sliding windows", an_inference, 1)):
        for amp in ("off", "bf16"):
            (seconds,) = seconds_in_turns(
                [build(argparse.Namespace(**{**vars(args), "amp": amp}), device)], 3
            )
            words.append(f"{name} {'float32' if amp == 'off' else amp} {1e3 * seconds / count:.1f} ms")
    return f"{', '.join(words)} a picture of {args.evaluation_size[0]} x {args.evaluation_size[1]}"


def kernels(args: argparse.Namespace, device: torch.device, *flags: str) -> str:
    """The ten kernels that five steps spend most time in."""
    call, _ = a_step(args, device, *flags)
    for _ in range(3):
        call()
    synchronise()
    cuda = device.type == "cuda"
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    started = time.perf_counter()
    with profile(activities=kinds) as profiled:
        for _ in range(5):
            call()
        synchronise()
    wall = time.perf_counter() - started
    kind, attribute = (DeviceType.CUDA, "device") if cuda else (DeviceType.CPU, "cpu")
    # Annotations, such as the optimiser's, last as long as the kernels below them, which count themselves.
    times = [
        (getattr(event, f"self_{attribute}_time_total") / 1e6, event.count, event.key)
        for event in profiled.key_averages()
        if event.device_type == kind and not getattr(event, "is_user_annotation", False)
    ]
    busy = sum(seconds for seconds, _, _ in times)
    if not busy:
        raise UserError("the profiler saw no kernels; it may need rights that a container lacks")
    print("| ms a step | share | calls a step | kernel |\n|---|---|---|---|")
    for seconds, count, name in sorted(times, reverse=True)[:10]:
        cell = name.replace("|", "/")[:90]
        print(f"| {200 * seconds:.2f} | {seconds / busy:.1%} | {count / 5:g} | `{cell}` |")
    return f"kernels take {200 * busy:.1f} ms of the {200 * wall:.1f} ms of a step (profiled)"


CHECKS: dict[str, Callable[..., str]] = {
    each.__name__: each
    for each in (speed, agreement, trains, deterministic, group, loading, evaluation, kernels)
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m scripts.benchmark.gpu_checks", allow_abbrev=False)
    parser.add_argument("what", choices=CHECKS)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--data_root", type=Path)
    parser.add_argument("--method", choices=METHODS, default="baseline")
    parser.add_argument("--family", choices=FAMILIES)
    parser.add_argument("--photometric", default="cpu")
    parser.add_argument("--modes", nargs="+", choices=MODES)
    parser.add_argument("--pictures", type=int, default=2)
    parser.add_argument("--crop_size", type=int, default=64)
    parser.add_argument("--tiny", action="store_true")
    args, flags = parser.parse_known_args(arguments)
    # Of the backbones, ResNet-18 compiles fastest.
    args.backbone = "resnet18" if args.tiny else "resnet50"
    args.evaluation_size = (64, 128) if args.tiny else (1024, 2048)
    args.channels_last = True
    print(CHECKS[args.what](args, select_device("auto"), *flags))
    return 0


if __name__ == "__main__":
    run_program(main)
