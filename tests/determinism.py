"""Finds operations that have no deterministic form on CUDA, without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

# Operators that raise on CUDA under torch.use_deterministic_algorithms(True): the second list in the
# documentation of that function, in its order, in torch 2.6 to 2.14. A condition says which calls raise.
ALWAYS = set(
    """
    avg_pool3d_backward _adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward
    adaptive_max_pool2d_backward fractional_max_pool2d_backward fractional_max_pool3d_backward
    max_unpool2d max_unpool3d
    upsample_linear1d_backward upsample_bilinear2d_backward upsample_bicubic2d_backward
    upsample_trilinear3d_backward _upsample_bilinear2d_aa_backward _upsample_bicubic2d_aa_backward
    reflection_pad1d_backward reflection_pad2d_backward reflection_pad3d_backward
    _ctc_loss_backward _embedding_bag_dense_backward put put_ histc kthvalue
    grid_sampler_2d_backward grid_sampler_3d_backward index_reduce index_reduce_
    """.split()
)
# torch.nn.functional replaces this one on CUDA; where it is called otherwise it raises.
ALWAYS |= {f"replication_pad{dimensions}d_backward" for dimensions in (1, 2, 3)}
SOMETIMES: dict[str, Callable[..., bool]] = {
    # NLLLoss: the kernel adds up the pixels, and only then in no fixed order (NLLLoss2d.cu).
    "nll_loss2d_forward": lambda scores, label, weight, reduction, ignored: reduction != 0,
    "bincount": lambda values, weights=None, minlength=0: weights is not None,
    "median": lambda values, *dimension, **more: bool(dimension or more),
    "scatter_reduce": lambda values, dimension, index, source, reduce, **more: reduce == "prod",
    # In the first list since a later version than 2.6: it is deterministic there.
    "cumsum": lambda values, *dimension, **more: values.is_floating_point(),
}


class OnlyDeterministic(TorchDispatchMode):
    """Fails on operators that would raise on CUDA under ``torch.use_deterministic_algorithms(True)``."""

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = operator.overloadpacket.__name__, kwargs or {}
        raises = name in ALWAYS or (name in SOMETIMES and SOMETIMES[name](*args, **kwargs))
        assert not raises, f"{operator} has no deterministic form on CUDA"
        return operator(*args, **kwargs)


def take_the_ways_of_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors say that they are on CUDA, so that PyTorch's Python code and ours decide as they do there."""
    monkeypatch.setattr(torch.Tensor, "is_cpu", property(lambda tensor: False))
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda tensor: True))
