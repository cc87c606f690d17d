"""BatchNorm over the pictures of all processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from loss.precision import at_least_float32
from network.norm.switch_whitening import SumOverProcesses
from utils.distributed import rank, world_size


class SynchronisedBatchNorm(nn.SyncBatchNorm):
    """PyTorch's synchronised BatchNorm, which a compiled training step computes with plain operations.

    PyTorch cannot compile its own (pytorch issue 161302): the network would be cut at every layer, and the
    pieces, which share their code, would soon reach the limit of recompilations and not be compiled at all.
    """

    def forward(self, x: Tensor) -> Tensor:
        """B x channels x H x W. In a compiled training step every process has to have as many pixels."""
        compiled = self.training and torch.compiler.is_compiling()
        normalised = self.plain(x) if compiled else super().forward(x)
        # timm has BatchNorms that end with an activation (BatchNormAct2d).
        return self.act(self.drop(normalised)) if hasattr(self, "act") else normalised

    def plain(self, x: Tensor) -> Tensor:
        """The layer in training without the activation, in operations that can be compiled."""
        values, processes = at_least_float32(x), world_size()
        own = torch.stack(torch.var_mean(values, (0, 2, 3), correction=0))
        # A sum in which every process fills its own row: one exchange gives all variances and means to all.
        rows = F.pad(own[None], (0, 0, 0, 0, rank(), processes - 1 - rank()))
        variances, means = SumOverProcesses.apply(rows).unbind(1)
        mean = means.mean(0)
        variance = (variances + (means - mean) ** 2).mean(0)
        with torch.no_grad():
            count = processes * (x.numel() // x.shape[1])
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale, shift = (each.view(-1, 1, 1) for each in (self.weight, self.bias))
        centred = values - mean.view(-1, 1, 1)
        return (centred * (variance + self.eps).rsqrt().view(-1, 1, 1) * scale + shift).to(x.dtype)


def synchronise(module: nn.Module) -> None:
    """Make every BatchNorm2d in ``module`` normalise over all processes, in place; its state stays."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            # Unlike PyTorch's conversion, this keeps what a subclass has beside the BatchNorm.
            layer.__class__, layer.process_group = SynchronisedBatchNorm, None
