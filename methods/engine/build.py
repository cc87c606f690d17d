"""Building what is trained: the method, its optimiser, and what they start from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from methods import METHODS, Method
from network import SegmentationNet, load_imagenet_weights
from network.base_weights import base_record
from network.depthwise import keep_depthwise_in_float32
from network.flags import tuning_of
from network.norm.synchronised import synchronise
from network.restore import Start, load_start, parts_of
from network.tuning import tune
from utils import distributed
from utils.device import NUMBERED, memory_format
from utils.errors import UserError
from utils.run.checkpoint import check_parts, load_checkpoint


def build_method(args: argparse.Namespace, network: SegmentationNet, fresh: bool) -> Method:
    """The method that trains ``network``, on the CPU.

    With ``fresh`` the network gets its starting weights; a resumed run does not need them.

    Raises:
        UserError: the flags do not fit together, or do not fit the network.
    """
    tuning = tuning_of(args)
    if tuning and tuning["name"] in ("frozen", "head") and set(network.sites.values()) & {1, 2}:
        flag = "--freeze_trunk" if args.freeze_trunk else f"--tune {tuning['name']}"
        raise UserError(
            f"{flag}: freezes the backbone, which whitening (codes 1, 2 of --wt_layer) has to train; "
            "drop one of the two flags"
        )
    start = None
    if fresh and args.snapshot:
        start = Start(args.snapshot, args.partial_load, args.backbone_weights)
    by_name = fresh and args.pretrained and not (args.snapshot or args.resume_from)
    if by_name:
        load_imagenet_weights(network, args.backbone_weights)
    if tuning and start and not start.tuned:
        start.load_network(network)
    loaded = dict(network.backbone.state_dict())
    tune(network, tuning, initialise=fresh)
    if tuning and by_name:
        network.base = base_record(network, loaded, args.backbone_weights)
    if args.checkpoint_activations:
        network.backbone.checkpoint_activations()
    # Parameters are only frozen here, never unfrozen: some networks have frozen ones of their own.
    if not args.train_snr:
        network.backbone.restitutions.requires_grad_(False)
    method = METHODS[args.method](network, args)
    if start and (start.tuned or not tuning):
        start.load_network(network)
        start.load_further(method)
    return method


def build_optimizer(method: Method, args: argparse.Namespace, device: torch.device) -> torch.optim.Optimizer:
    """SGD, or Adam with ``--adam``. Each group keeps its initial learning rate for the schedule."""
    groups = method.parameter_groups(args.lr)
    fused = device.type in ("cpu", "cuda")
    shared = {"lr": args.lr, "weight_decay": args.weight_decay, "fused": fused}
    if args.adam:
        optimizer = torch.optim.Adam(groups, amsgrad=args.amsgrad, **shared)
    else:
        optimizer = torch.optim.SGD(groups, momentum=args.momentum, **shared)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
        if not args.adam and args.momentum:
            # SGD starts like this by itself, except if its fused kernel leaves out the very first step.
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def take_over(method: Method, optimizer: torch.optim.Optimizer, path: str) -> str:
    """Start from the last state of another run; returns a line for the log that says what was taken over.

    These are the weights, those parts of its method's state that this method has too, and the optimiser's
    state of the parameters that both train, unless it lacks a value that this optimiser needs.

    Raises:
        UserError: the file is no checkpoint of a run, or of another network.
    """
    content = load_checkpoint(path)
    groups = content.get("optimizer", {}).get("param_groups", [])
    if not groups or "names" not in groups[0]:
        raise UserError(
            f"{path}: has no optimiser state to start from (only weights, or written by an older version); "
            "use --snapshot"
        )
    check_parts(content, {"method": str, "iteration": int}, path)
    other_parts = load_start(method, path, backbone_weights=method.arguments.backbone_weights)
    by_number = content["optimizer"]["state"]
    by_name = {
        name: by_number.get(number, {})
        for group in groups
        for name, number in zip(group["names"], group["params"], strict=True)
    }
    taken = trained = 0
    for group in optimizer.param_groups:
        for name, parameter in zip(group["names"], group["params"], strict=True):
            state = usable_state(optimizer, by_name.get(name, {}), parameter)
            if state is not None:
                placed_state = {key: placed(value, parameter, group["fused"]) for key, value in state.items()}
                optimizer.state[parameter] = placed_state
                taken += 1
            trained += 1
    parts = ", ".join(["the network", *(name.replace("_", " ") for name in other_parts)])
    new = [name.replace("_", " ") for name in parts_of(method.state_dict()) if name not in other_parts]
    return (
        f"{path}: took over {parts} and the optimiser's state of {taken} of {trained} parameters from a run "
        f"of the method {content['method']} after {content['iteration']} steps; this run starts at step 0"
        + (f", with a new {', '.join(new)}" if new else "")
    )


def usable_state(
    optimizer: torch.optim.Optimizer, state: dict[str, Any], parameter: nn.Parameter
) -> dict[str, Any] | None:
    """The part of a parameter's ``state`` in another run that ``optimizer`` needs; None if any is missing."""
    if isinstance(optimizer, torch.optim.SGD):
        averages, counts = ["momentum_buffer"], []
    else:
        averages, counts = ["exp_avg", "exp_avg_sq"], ["step"]
        if optimizer.defaults["amsgrad"]:
            averages.append("max_exp_avg_sq")
    values = {name: state.get(name) for name in (*counts, *averages)}
    fits = all(torch.is_tensor(values[name]) and values[name].shape == parameter.shape for name in averages)
    return values if fits and all(values[name] is not None for name in counts) else None


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any], path: Path | str) -> None:
    """Load the optimiser's ``state`` from the checkpoint ``path``, in the memory layout of the parameters.

    Raises:
        UserError: the state belongs to other parameters.
    """
    try:
        # This device decides whether the optimiser is fused, not the one that the file was written on.
        fused = optimizer.defaults["fused"]
        groups = [{**group, "fused": fused} for group in state["param_groups"]]
        optimizer.load_state_dict({**state, "param_groups": groups})
        fits = all(
            not torch.is_tensor(value) or value.dim() == 0 or value.shape == parameter.shape
            for parameter, values in optimizer.state.items()
            for value in values.values()
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise UserError(f"{path}: damaged, its optimiser belongs to other parameters; use another file")
    # The file may have another memory layout, because --channels_last may change on a resume.
    for parameter, values in optimizer.state.items():
        values.update({name: placed(value, parameter, fused) for name, value in values.items()})


def placed(value: Any, parameter: nn.Parameter, fused: bool = False) -> Any:
    """A value of the optimiser's state of ``parameter``, on its device and in its memory layout.

    A count of steps stays on the CPU, unless the optimiser is ``fused``.
    """
    if torch.is_tensor(value) and value.shape == parameter.shape:
        return torch.empty_like(parameter, requires_grad=False).copy_(value)
    return value.to(parameter.device) if fused and torch.is_tensor(value) else value


def wrap(method: Method, args: argparse.Namespace, device: torch.device) -> nn.Module:
    """Place the method on ``device`` and, with ``--compile``, compile its networks.

    With several processes it is wrapped so that gradients are averaged; on GPUs BatchNorm then normalises
    over all processes.

    Raises:
        UserError: a batch of a process is too small for BatchNorm.
    """
    many = distributed.world_size() > 1
    synchronised = many and device.type in NUMBERED
    if synchronised:
        synchronise(method)
    else:
        check_batch_size(method, args)
    if device.type == "cpu" and args.amp == "bf16":
        keep_depthwise_in_float32(method)
    method.to(device, memory_format=memory_format(args.channels_last, device))
    if args.compile:
        # A method may have a second network, its teacher. A run's batches have few sizes, so each has its own
        # graph: a graph for all sizes, PyTorch's choice from the second on, is slower.
        for part in method.children():
            if isinstance(part, SegmentationNet):
                part.compile(dynamic=False)
    if not many:
        return method
    # PyTorch has no synchronised BatchNorm on CPUs. There each process normalises its own batch, and DDP
    # sends the running statistics of rank 0 to all. With several domains DDP does not, because every pass is
    # in no_sync (methods.engine.step); then only Run.share_buffers in train.py sends them, before a score or
    # a checkpoint. With synchronised BatchNorm all buffers are equal already.
    model = DistributedDataParallel(
        method,
        device_ids=[device] if device.type in NUMBERED else None,
        # Gradients are views of the communication buckets, which saves a second copy of them.
        gradient_as_bucket_view=True,
    )
    # PyTorch 2.14 warns about the argument of this name, and older versions lack the new one.
    model.broadcast_buffers = not synchronised
    return model


def check_batch_size(method: Method, args: argparse.Namespace) -> None:
    """Raise a UserError if a batch of a process is too small for BatchNorm that is not synchronised."""
    separate = args.step_per_domain or args.image_uniform_sampling
    head = method.network.head
    # A BatchNorm in evaluation mode (--method sac) does not need a batch.
    normalises = any(layer.training and isinstance(layer, nn.BatchNorm2d) for layer in head.modules())
    smallest = head.smallest_batch if normalises else 1
    pictures = {"bs_mult": args.bs_mult * (1 if separate else len(args.dataset))}
    if "target" in method.domains and method.target_transform is None:
        pictures["target_bs_mult"] = args.target_bs_mult or args.bs_mult
    flag = min(pictures, key=pictures.__getitem__)
    if pictures[flag] < smallest:
        raise UserError(
            f"--{flag} {getattr(args, flag) or args.bs_mult}: BatchNorm needs {smallest} pictures per "
            "process and batch; raise it, or use several GPUs"
        )
