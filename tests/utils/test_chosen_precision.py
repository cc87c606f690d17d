"""The precision of ``--amp`` and ``--float32``. No GPU is needed: stand-ins say what a machine can do."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from unittest import mock

import pytest
import torch

from utils.device import to_device
from utils.precision import choose_precision


@pytest.fixture(autouse=True)
def products_as_before() -> None:
    """Gives back PyTorch's own choice of the precision of products."""
    matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = convolution


def chosen(amp: str, float32: str, kind: str) -> tuple[str, str]:
    """``args.amp`` after the choice, and the choice in words."""
    args = argparse.Namespace(amp=amp, float32=float32)
    words = choose_precision(args, torch.device(kind, 0) if kind == "cuda" else torch.device(kind))
    return args.amp, words


@pytest.mark.parametrize(
    ("amx", "limit", "amp"),
    [
        (True, None, "bf16"),
        (False, None, "off"),
        (True, "AVX512_CORE", "off"),
        (True, "avx512_core_amx", "bf16"),
    ],
)
def test_auto_on_cpus(monkeypatch: pytest.MonkeyPatch, amx: bool, limit: str | None, amp: str) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if limit:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    words = {"off": "float32", "bf16": "bf16 and float32"}
    assert chosen("auto", "high", "cpu") == (amp, words[amp])
    assert chosen("fp16", "high", "cpu") == ("fp16", "fp16 and float32")


@pytest.mark.parametrize(
    ("bf16", "float32", "capability", "expected"),
    [
        (True, "high", (9, 0), ("bf16", "bf16 and TF32")),
        (True, "highest", (9, 0), ("bf16", "bf16 and float32")),
        (False, "high", (7, 5), ("off", "float32")),
    ],
)
def test_auto_and_products_on_gpus(
    monkeypatch: pytest.MonkeyPatch, bf16: bool, float32: str, capability: tuple, expected: tuple
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert chosen("auto", float32, "cuda") == expected
    assert torch.get_float32_matmul_precision() == float32
    assert torch.backends.cudnn.allow_tf32 == (float32 == "high")


def test_copies_on_a_stream_are_waited_for_and_keep_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    computing, copies = mock.Mock(), mock.Mock()
    module = mock.Mock(stream=mock.Mock(return_value=nullcontext()))
    module.current_stream.return_value = computing
    monkeypatch.setattr(torch, "get_device_module", lambda device: module)
    recorded = []
    monkeypatch.setattr(
        torch.Tensor, "record_stream", lambda tensor, stream: recorded.append((tensor, stream))
    )
    image = torch.zeros(2, dtype=torch.uint8)
    batch = to_device({"image": image, "name": ["a"]}, torch.device("cpu"), copies)
    module.stream.assert_called_once_with(copies)
    computing.wait_stream.assert_called_once_with(copies)
    assert recorded == [(batch["image"], computing)]
    assert batch["name"] == ["a"]
