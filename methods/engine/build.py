"""From a method's name and the flags to something that can be trained."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from methods import METHODS, Method
from network import SegmentationNet, load_imagenet_weights
from network.restore import load_start, parts_of
from utils import distributed
from utils.device import NUMBERED, memory_format
from utils.errors import UserError
from utils.run.checkpoint import check_parts, load_checkpoint


def build_method(args: argparse.Namespace, network: SegmentationNet, fresh: bool) -> Method:
    """The method around its network, on the CPU, starting weights loaded if ``fresh``."""
    if fresh and args.pretrained and not (args.snapshot or args.resume_from):
        load_imagenet_weights(network, args.backbone_weights)
    # Only ever frozen here: what a network holds still by itself stays so.
    if args.freeze_trunk:
        network.backbone.requires_grad_(False)
    if not args.train_snr:
        network.backbone.restitutions.requires_grad_(False)
    if args.freeze_trunk and set(network.sites.values()) & {1, 2}:
        raise UserError(
            "--freeze_trunk: whitening (codes 1, 2 of --wt_layer) trains the trunk; drop one of them"
        )
    method = METHODS[args.method](network, args)
    if fresh and args.snapshot:
        load_start(method, args.snapshot, args.partial_load)
    return method


def build_optimizer(method: Method, args: argparse.Namespace, device: torch.device) -> torch.optim.Optimizer:
    """SGD, or with ``--adam`` Adam; each group remembers its initial learning rate for the schedule."""
    groups = method.parameter_groups(args.lr)
    shared = {"lr": args.lr, "weight_decay": args.weight_decay, "fused": device.type == "cuda"}
    if args.adam:
        optimizer = torch.optim.Adam(groups, amsgrad=args.amsgrad, **shared)
    else:
        optimizer = torch.optim.SGD(groups, momentum=args.momentum, **shared)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
        if not args.adam and args.momentum:
            # What SGD itself begins with, but when its fused kernel has to leave the very first step out.
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def take_over(method: Method, optimizer: torch.optim.Optimizer, path: str) -> str:
    """Start from the state of another run: its weights, what its method remembers as far as this one does,
    too, and, of parameters both train, the optimiser's state. Returns a line that says what was taken over.

    Raises:
        UserError: not a checkpoint of a run, or of another network.
    """
    content = load_checkpoint(path)
    if "names" not in next(iter(content.get("optimizer", {}).get("param_groups", [])), ()):
        raise UserError(f"{path}: holds no run to start from, weights alone or an older one; use --snapshot")
    check_parts(content, {"method": str, "iteration": int}, path)
    beside = load_start(method, path)
    state, groups = content["optimizer"]["state"], content["optimizer"]["param_groups"]
    known = {
        name: state[number]
        for group in groups
        for name, number in zip(group["names"], group["params"], strict=True)
        if number in state
    }
    taken = 0
    own = dict(method.named_parameters())
    kind = "momentum_buffer" if isinstance(optimizer, torch.optim.SGD) else "exp_avg"
    for group in optimizer.param_groups:
        for name in group["names"]:
            parameter, state = own[name], known.get(name, {})
            if torch.is_tensor(state.get(kind)) and state[kind].shape == parameter.shape:
                optimizer.state[parameter] = {
                    key: placed(value, parameter, group["fused"]) for key, value in state.items()
                }
                taken += 1
    trained = sum(len(group["names"]) for group in optimizer.param_groups)
    parts = ", ".join(["the network", *(name.replace("_", " ") for name in beside)])
    anew = [name.replace("_", " ") for name in parts_of(method.state_dict()) if name not in beside]
    return (
        f"{path}: took over {parts} and the optimiser's state of {taken} of {trained} parameters from a run "
        f"of the method {content['method']} after {content['iteration']} steps; this run starts at step 0"
        + (f", with a new {', '.join(anew)}" if anew else "")
    )


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any], path: Path | str) -> None:
    """Load the ``state`` that a run's checkpoint ``path`` holds of its optimiser, in the parameters' layout.

    Raises:
        UserError: it is of other parameters.
    """
    try:
        # What suits this device, not that of the run before.
        fused = {"fused": optimizer.defaults["fused"]}
        groups = [{**group, **fused} for group in state["param_groups"]]
        optimizer.load_state_dict({**state, "param_groups": groups})
        fits = all(
            not torch.is_tensor(value) or value.dim() == 0 or value.shape == parameter.shape
            for parameter, state in optimizer.state.items()
            for value in state.values()
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise UserError(f"{path}: damaged, its optimiser is of other parameters; use another file")
    # The file's memory layout may be another: --channels_last may change.
    for parameter, state in optimizer.state.items():
        state.update({name: placed(value, parameter, **fused) for name, value in state.items()})


def placed(value: Any, parameter: nn.Parameter, fused: bool = False) -> Any:
    """A value of an optimiser's state for ``parameter``: on its device, and laid out in memory as it is.

    A count of steps stays on the CPU, unless the optimiser is ``fused``.
    """
    if torch.is_tensor(value) and value.shape == parameter.shape:
        return torch.empty_like(parameter, requires_grad=False).copy_(value)
    return value.to(parameter.device) if fused and torch.is_tensor(value) else value


def normalises_batches(module: nn.Module) -> bool:
    """Whether a BatchNorm in there normalises by the batch's own statistics, as it does in training mode."""
    return any(layer.training and isinstance(layer, nn.BatchNorm2d) for layer in module.modules())


def wrap(method: Method, args: argparse.Namespace, device: torch.device) -> nn.Module:
    """Place the method on the device and, in a group of processes, wrap it for gradient averaging."""
    many = distributed.world_size() > 1
    synchronised = many and device.type in NUMBERED
    separate = args.step_per_domain or args.image_uniform_sampling
    smallest = method.network.head.smallest_batch if normalises_batches(method.network.head) else 1
    pictures = {"bs_mult": args.bs_mult * (1 if separate else len(args.dataset))}
    if "target" in method.domains and method.target_transform is None:
        pictures["target_bs_mult"] = args.target_bs_mult or args.bs_mult
    flag = min(pictures, key=pictures.__getitem__)
    if pictures[flag] < smallest and not synchronised:
        raise UserError(
            f"--{flag} {getattr(args, flag) or args.bs_mult}: BatchNorm needs {smallest} pictures per "
            "process and batch, or several GPUs"
        )
    if synchronised:
        nn.SyncBatchNorm.convert_sync_batchnorm(method)
    method.to(device, memory_format=memory_format(args.channels_last, device))
    if args.compile:
        # A teacher, too.
        for part in method.children():
            if isinstance(part, SegmentationNet):
                part.compile()
    if not many:
        return method
    # PyTorch has no synchronised BN on CPUs: there each process normalises its own batch and rank 0's running
    # statistics are kept. With synchronised BN all buffers are equal already and need not travel.
    return DistributedDataParallel(
        method,
        device_ids=[device] if device.type in NUMBERED else None,
        broadcast_buffers=not synchronised,
        # Gradients live in the buckets they travel in, not beside them.
        gradient_as_bucket_view=True,
    )
