import operator
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from utils.errors import UserError
from utils.run.checkpoint import (
    DamagedCheckpoint,
    load_checkpoint,
    load_state,
    network_state,
    read_file,
    save_checkpoint,
)


class Bomb:
    """Runs code when unpickled, as a checkpoint from a stranger might."""

    def __reduce__(self):
        return (Path("exploded").touch, ())


@pytest.fixture
def content() -> dict:
    return {
        "network": {},
        "model": {"network.weight": torch.arange(4.0), "mask": torch.ones(2)},
        "iteration": 7,
        "best": {"miou": 0.5},
    }


def test_what_is_saved_comes_back(tmp_path: Path, content: dict) -> None:
    path = tmp_path / "run" / "last.pth"
    save_checkpoint(path, content)
    loaded = load_checkpoint(path)
    assert loaded["iteration"] == 7
    assert torch.equal(network_state(loaded)["weight"], torch.arange(4.0))
    assert list(network_state(loaded)) == ["weight"]
    assert [p.name for p in path.parent.iterdir()] == ["last.pth"]


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, content: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.pth"
    save_checkpoint(path, content)

    def full_disk(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(UserError, match="No space left"):
        save_checkpoint(path, {**content, "iteration": 8})
    assert load_checkpoint(path)["iteration"] == 7
    assert [p.name for p in tmp_path.iterdir()] == ["last.pth"]


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"format": "urbandg-1", "model": Bomb()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"evil\.pth"):
        load_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "exploded").exists()


class Call:
    """Calls a function when unpickled."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "call",
    [
        Call(eval, "__import__('pathlib').Path('exploded').touch()"),
        Call(np.fromfile, "secret"),
        Call(np.frombuffer, b"1234", "f4"),
        Call(operator.attrgetter, "weight"),
        Call(np.dtype, "rubbish"),
        np.zeros(3),
        np.str_("words"),
    ],
    ids=lambda call: getattr(getattr(call, "call", [type(call)])[0], "__name__", "call"),
)
def test_only_numpy_scalars_are_read_beside_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: object
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret").write_bytes(b"secret")
    torch.save({"state_dict": {}, "mean_iu": call}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"evil\.pth"):
        read_file(tmp_path / "evil.pth")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
@pytest.mark.parametrize("score", [np.float32(0.25), np.float64(0.25), np.int64(3)])
def test_numpy_scalars_of_both_numpys_are_read(tmp_path: Path, module: bytes, score: np.generic) -> None:
    torch.save({"mean_iu": score}, tmp_path / "written.pth")
    with (
        zipfile.ZipFile(tmp_path / "written.pth") as written,
        zipfile.ZipFile(tmp_path / "other.pth", "w") as other,
    ):
        for name in written.namelist():
            data = written.read(name).replace(b"numpy._core.multiarray", module)
            other.writestr(name, data.replace(b"numpy.core.multiarray", module))
    assert read_file(tmp_path / "other.pth")["mean_iu"] == score


@pytest.mark.parametrize("data", [b"", b"<html>not found</html>", b"PK\x03\x04 cut short"])
def test_rubbish_is_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "rubbish.pth"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"rubbish\.pth"):
        load_checkpoint(path)


def test_truncated_checkpoint_is_named(tmp_path: Path, content: dict) -> None:
    path = tmp_path / "cut.pth"
    save_checkpoint(path, content)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"cut\.pth"):
        load_checkpoint(path)


def test_missing_file_and_other_formats_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "nothing.pth")
    torch.save({"weights": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="not an UrbanDG checkpoint"):
        load_checkpoint(tmp_path / "other.pth")


def test_every_key_must_fit_unless_partial(capsys: pytest.CaptureFixture[str]) -> None:
    module = nn.Linear(3, 2)
    state = {"weight": torch.ones(2, 3), "extra": torch.ones(1)}
    with pytest.raises(UserError, match=r"1 missing \(first: bias\), 1 unexpected \(first: extra\)"):
        load_state(module, state, "here.pth")
    assert not torch.equal(module.weight, torch.ones(2, 3))
    load_state(module, state, "here.pth", partial=True)
    assert torch.equal(module.weight, torch.ones(2, 3))
    assert "took 1 of 2" in capsys.readouterr().out
    with pytest.raises(UserError, match="misshapen"):
        load_state(module, {"weight": torch.ones(3, 3), "bias": torch.ones(2)}, "here.pth")


def saved_again(path: Path, content: dict) -> dict:
    """A checkpoint of ours as its owner makes it smaller; returns its content."""
    save_checkpoint(path, content)
    smaller = torch.load(path, weights_only=True)
    torch.save(smaller, path)
    return smaller


def test_a_file_that_was_saved_again_is_taken_and_said_so(
    tmp_path: Path, content: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "slim.pth"
    saved_again(path, content)
    assert torch.equal(network_state(load_checkpoint(path))["weight"], torch.arange(4.0))
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: has no seal, as it was saved again by something other than UrbanDG"
    ]


def test_a_changed_weight_in_a_file_without_seal_is_damage(tmp_path: Path, content: dict) -> None:
    path = tmp_path / "slim.pth"
    saved_again(path, content)
    whole = path.read_bytes()
    weight = torch.arange(4.0).numpy().tobytes()
    assert whole.count(weight) == 1
    path.write_bytes(whole.replace(weight, torch.tensor([0.0, 1.0, 2.0, 4.0]).numpy().tobytes()))
    with pytest.raises(DamagedCheckpoint, match=r"slim\.pth: damaged, its bytes"):
        load_checkpoint(path)


def test_half_precision_and_double_are_converted(tmp_path: Path) -> None:
    module = nn.Linear(3, 2)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        state = {"weight": torch.ones(2, 3, dtype=dtype), "bias": torch.ones(2, dtype=dtype)}
        load_state(module, state, "half.pth")
        assert module.weight.dtype == torch.float32
        assert module(torch.ones(3)).tolist() == [4.0, 4.0]


def test_a_foreign_file_without_checksums_is_told_from_a_damaged_one_in_words(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"weight": torch.zeros(100)}, tmp_path / "foreign.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    with pytest.raises(DamagedCheckpoint, match="if torch saved it without checksums"):
        load_checkpoint(tmp_path / "foreign.pth")
