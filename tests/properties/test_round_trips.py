"""Checkpoints: whatever they may hold comes back, and a shortened file is refused."""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from utils.errors import UserError
from utils.run.checkpoint import load_checkpoint, save_checkpoint

pytestmark = pytest.mark.reliability

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
]
SHAPES = st.lists(st.integers(0, 4), max_size=4)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Of any type and shape, also without elements, a view of another, transposed, or a parameter."""
    dtype, shape, seed = draw(st.sampled_from(DTYPES)), draw(SHAPES), draw(st.integers(0, 99))
    values = 100 * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    tensor = values.to(dtype)
    kind = draw(st.sampled_from(["plain", "part", "transposed", "parameter"]))
    if kind == "part" and shape and shape[0]:
        return tensor[draw(st.integers(0, shape[0] - 1)) :]
    if kind == "transposed" and len(shape) > 1:
        return tensor.transpose(0, 1)
    if kind == "parameter" and (dtype.is_floating_point or dtype.is_complex):
        return torch.nn.Parameter(tensor)
    return tensor


KEYS = st.text(max_size=8) | st.integers()
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    PLAIN | tensors(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=3).map(OrderedDict)
    ),
    max_leaves=20,
)
CONTENTS = st.dictionaries(st.text(max_size=8).filter(lambda key: key != "format"), VALUES, max_size=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


def same(first: Any, second: Any) -> bool:
    """Equal in value and type, at every depth; bits of tensors, and NaN is itself."""
    if type(first) is not type(second):
        return False
    if isinstance(first, Tensor):
        if (first.dtype, first.shape, first.requires_grad) != (
            second.dtype,
            second.shape,
            second.requires_grad,
        ):
            return False
        return torch.equal(
            first.detach().contiguous().view(-1).view(torch.uint8),
            second.detach().contiguous().view(-1).view(torch.uint8),
        )
    if isinstance(first, dict):
        return list(first) == list(second) and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, float) and math.isnan(first):
        return math.isnan(second)
    return first == second


@given(CONTENTS)
def test_what_is_saved_comes_back(folder: Path, content: dict[str, Any]) -> None:
    path = folder / "any.pth"
    content = {"network": {}, "model": {}, "content": content}
    save_checkpoint(path, content)
    loaded = load_checkpoint(path)
    assert loaded.pop("format") == "urbandg-1"
    assert same(loaded, content)
    assert [each.name for each in folder.iterdir() if each.name.startswith(".")] == []
    # A second round changes nothing any more.
    save_checkpoint(path, loaded)
    again = load_checkpoint(path)
    again.pop("format")
    assert same(again, content)


@pytest.fixture(scope="module")
def whole(folder: Path) -> bytes:
    """A checkpoint as a run writes it, in small."""
    path = folder / "whole.pth"
    parameter = torch.nn.Parameter(torch.arange(6.0).view(2, 3))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    parameter.sum().backward()
    optimizer.step()
    model = {"network.weight": parameter, "mask": torch.ones(2, dtype=torch.bool)}
    content = {"network": {}, "model": model, "optimizer": optimizer.state_dict(), "iteration": 7}
    save_checkpoint(path, content)
    return path.read_bytes()


@pytest.fixture(scope="module")
def is_thorough(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--faults", default=False))


def test_a_file_cut_at_any_byte_is_refused_by_name(folder: Path, whole: bytes, is_thorough: bool) -> None:
    """Every length there is with ``--faults``; else every 29th, and all near both ends."""
    path = folder / "cut.pth"
    path.write_bytes(whole)
    assert load_checkpoint(path)["iteration"] == 7
    near_ends = [*range(16), *range(len(whole) - 16, len(whole))]
    for length in range(len(whole)) if is_thorough else sorted({*range(0, len(whole), 29), *near_ends}):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.pth: (damaged|not a checkpoint)"):
            load_checkpoint(path)


@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused_by_name(folder: Path, data: bytes) -> None:
    path = folder / "rubbish.pth"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"rubbish\.pth"):
        load_checkpoint(path)
