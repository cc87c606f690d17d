"""In which precision a device computes, as ``--amp`` and ``--float32`` say."""

from __future__ import annotations

import argparse
import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

AMP_TYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}
AMP_WORDS = ("auto", *AMP_TYPES)
FLOAT32_WORDS = ("high", "highest")


def choose_precision(args: argparse.Namespace, device: torch.device) -> str:
    """Set the precision of this process, and return what was chosen, in words.

    ``args.amp`` becomes "bf16" or "off" if it is "auto". ``args.float32`` counts on NVIDIA's GPUs, where
    "high" computes convolutions and matrix products of float32 in TF32: with 10 bits of mantissa instead of
    23. PyTorch's default is to do so for convolutions only.
    """
    if args.amp == "auto":
        args.amp = "bf16" if gains_from_bf16(device) else "off"
    float32 = "float32"
    if device.type == "cuda":
        torch.set_float32_matmul_precision(args.float32)
        torch.backends.cudnn.allow_tf32 = args.float32 == "high"
        if args.float32 == "high" and torch.cuda.get_device_capability(device) >= (8, 0):
            float32 = "TF32"
    return float32 if args.amp == "off" else f"{args.amp} and {float32}"


def faster_flags(args: argparse.Namespace, device: torch.device) -> list[str]:
    """A line that names the flags of precision and layout with which ``device`` would be faster, if any.

    To be called before :func:`choose_precision`.
    """
    flags = ["--amp bf16"] if args.amp == "off" and gains_from_bf16(device) else []
    # CPUs have this layout unless the command line says otherwise.
    if device.type in ("cuda", "xpu") and not args.channels_last and (flags or args.amp != "off"):
        flags.append("--channels_last")
    return [f"{' '.join(flags)}: would be faster on this machine"] if flags else []


def gains_from_bf16(device: torch.device) -> bool:
    """Whether ``device`` computes faster in bfloat16 than in float32: GPUs with it, and CPUs with AMX.

    A CPU with AVX512-BF16 but without AMX does not: there a step takes 1.6 times as long in bf16
    (docs/benchmarks.md).
    """
    if device.type == "cpu":
        # This variable limits oneDNN, which computes convolutions, to older instructions.
        limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "DEFAULT").upper()
        return torch.cpu._is_amx_tile_supported() and ("AMX" in limit or limit in ("DEFAULT", "ALL"))
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "xpu" and torch.xpu.is_bf16_supported()


def autocast(amp: str, device: torch.device) -> AbstractContextManager[Any]:
    """The mixed-precision context for ``amp``, a key of ``AMP_TYPES``."""
    dtype = AMP_TYPES[amp]
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)
