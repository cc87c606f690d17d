"""Folding BatchNorms into the convolutions before them, for networks that only predict."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn

from network.segmentor import SegmentationNet

PROBE_SIDE = 128
"""Side of the picture that shows which convolution's output each BatchNorm gets."""


@torch.no_grad()
def fold_batch_norms(network: SegmentationNet) -> int:
    """Let convolutions of ``network`` also do the work of the BatchNorms that follow them, in place.

    In evaluation mode a BatchNorm is a factor and a shift of each channel. They are multiplied into the
    weights in float64, so the logits differ by rounding only. The network, which must be in evaluation mode,
    can no longer be trained or saved. Layers that are special kinds of BatchNorm stay. Returns how many were
    folded.
    """
    names = {module: name for name, module in network.named_modules()}
    pairs = _pairs(network)
    for norm, convolution in pairs.items():
        factor = norm.weight.double() * (norm.running_var.double() + norm.eps).rsqrt()
        shift = norm.bias.double() - norm.running_mean.double() * factor
        if convolution.bias is not None:
            shift += convolution.bias.double() * factor
        weight = convolution.weight
        weight.copy_(weight.double() * factor.view(-1, 1, 1, 1))
        convolution.bias = nn.Parameter(shift.to(weight.dtype), requires_grad=False)
        parent, _, name = names[norm].rpartition(".")
        setattr(network.get_submodule(parent), name, nn.Identity().eval())
    return len(pairs)


def _pairs(network: SegmentationNet) -> dict[nn.BatchNorm2d, nn.Conv2d]:
    """Each plain BatchNorm whose input is the output of a convolution, and that convolution."""
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}
    pairs: dict[nn.BatchNorm2d, nn.Conv2d] = {}
    uses: Counter[nn.Module] = Counter()

    def remember(convolution: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        # The output is kept, so that no other tensor gets its address as an id.
        made[id(output)] = convolution, output

    def pair(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        uses[norm] += 1
        if id(inputs[0]) in made:
            pairs[norm] = made[id(inputs[0])][0]
            uses[pairs[norm]] += 1

    hooks = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(remember))
        elif type(module) is nn.BatchNorm2d:
            hooks.append(module.register_forward_pre_hook(pair))
    try:
        device = next(network.parameters()).device
        network(torch.zeros(1, 3, PROBE_SIDE, PROBE_SIDE, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    # Layers that are used twice, or several BatchNorms after one convolution, cannot be folded.
    return {norm: convolution for norm, convolution in pairs.items() if uses[norm] == uses[convolution] == 1}
