"""Activations that are computed again in the backward pass instead of being kept, which saves memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint


def recomputed(module: nn.Module, function: Callable[..., Any], *arguments: Any) -> Any:
    """``function(*arguments)``, in which layers of ``module`` change their running statistics once only.

    Random numbers (dropout, stochastic depth) are the same both times, so gradients are those of a pass that
    keeps its activations.
    """
    return checkpoint(
        function, *arguments, use_reentrant=False, context_fn=lambda: (nullcontext(), _buffers_kept(module))
    )


@contextmanager
def _buffers_kept(module: nn.Module) -> Iterator[None]:
    """Layers of ``module`` change copies of their buffers."""
    kept = [
        (layer, name, buffer)
        for layer in module.modules()
        if layer.training
        for name, buffer in layer.named_buffers(recurse=False)
    ]
    for layer, name, buffer in kept:
        setattr(layer, name, buffer.clone())
    try:
        yield
    finally:
        for layer, name, buffer in kept:
            setattr(layer, name, buffer)
