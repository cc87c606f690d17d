"""scripts.merge: plain files of tuned networks, in torch's format and in that of safetensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file
from tiny_transformers import changed, tiny_network
from torch import Tensor

import network as package
from network import SegmentationNet, load_imagenet_weights
from network.base_weights import as_saved, base_record
from network.restore import load_network
from network.tuning import tune
from scripts.merge import main
from utils.errors import UserError
from utils.run.checkpoint import load_checkpoint, save_checkpoint

PICTURES = torch.rand(1, 3, 32, 32)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    file = tmp_path / "vit.pth"
    torch.save(tiny_network().backbone.state_dict(), file)
    return file


def tuned(base: Path, name: str, file: Path) -> SegmentationNet:
    """A tuned network with everything trained a little, and a small checkpoint of it."""
    net = tiny_network()
    load_imagenet_weights(net, base)
    loaded = dict(net.backbone.state_dict())
    tune(net, {"name": name})
    changed(net)
    net.base = base_record(net, loaded, base)
    content: dict[str, Any] = {
        "network": net.config,
        "model": {f"network.{key}": value for key, value in net.state_dict().items()},
        "optimizer": {},
        "arguments": {"dataset": ["gtav"]},
        "iteration": 7,
        "selection": "best source val",
    }
    save_checkpoint(file, as_saved(content, net, whole=False, resumable=False))
    return net.eval()


def logits(net: SegmentationNet) -> Tensor:
    with torch.no_grad():
        return net(PICTURES).logits


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", ["frozen", "lora", "soma", "rein"])
def test_the_result_needs_no_base_weights_and_computes_the_same(
    base: Path, tmp_path: Path, name: str, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    net = tuned(base, name, tmp_path / "tuned.pth")
    result = tmp_path / f"plain{suffix}"
    words = [str(tmp_path / "tuned.pth"), "--output", str(result), "--backbone_weights", str(base)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert ("cannot be folded" in said) == (name == "rein") and "entries, " in said
    base.unlink()
    merged, checkpoint = load_network(result)
    assert merged.config == {**net.config, "tuning": net.config["tuning"] if name == "rein" else None}
    torch.testing.assert_close(logits(merged), logits(net), rtol=1e-5, atol=1e-5)
    assert "lora" not in " ".join(merged.state_dict()) and "base" not in checkpoint
    kept = (checkpoint["iteration"], checkpoint["selection"], checkpoint["arguments"])
    assert kept == (7, "best source val", {"dataset": ["gtav"]})
    segment = package.load(result, "cpu").segment(torch.zeros(32, 40, 3, dtype=torch.uint8).numpy())
    assert segment.train_ids.shape == (32, 40)


@pytest.fixture
def result(base: Path, tmp_path: Path) -> Path:
    """A plain file in the format of safetensors."""
    tuned(base, "lora", tmp_path / "tuned.pth")
    words = [str(tmp_path / "tuned.pth"), "--output", str(tmp_path / "plain.safetensors")]
    main([*words, "--backbone_weights", str(base)])
    return tmp_path / "plain.safetensors"


def test_other_programs_read_the_result_too(result: Path) -> None:
    state = load_file(result)
    merged, _ = load_network(result)
    assert {f"network.{name}" for name in merged.state_dict()} == state.keys()
    with safetensors.safe_open(result, "pt") as file:
        assert file.metadata()["format"] == "urbandg-1"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def strip(path: Path) -> None:
    save_file(load_file(path), path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut, "plain.safetensors: damaged or not a checkpoint .*; use another file"),
        (flip, "plain.safetensors: damaged .*its tensors are not those that were written.*use another file"),
        (strip, "plain.safetensors: not an UrbanDG checkpoint, .*--backbone_weights"),
    ],
)
def test_a_spoilt_file_is_one_line(result: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(result)
    with pytest.raises(UserError, match=message):
        load_network(result)


def test_there_is_no_run_in_it_to_resume(result: Path) -> None:
    assert "optimizer" not in load_checkpoint(result)


def test_the_checkpoint_itself_is_not_replaced(base: Path, tmp_path: Path) -> None:
    tuned(base, "lora", tmp_path / "tuned.pth")
    before = (tmp_path / "tuned.pth").read_bytes()
    with pytest.raises(UserError, match="--output .*tuned.pth: is the checkpoint itself"):
        main([str(tmp_path / "tuned.pth"), "--output", str(tmp_path / "tuned.pth")])
    with pytest.raises(UserError, match="of the file vit.pth; pass it with --backbone_weights"):
        main([str(tmp_path / "tuned.pth"), "--output", str(tmp_path / "plain.pth")])
    assert (tmp_path / "tuned.pth").read_bytes() == before and not (tmp_path / "plain.pth").exists()


def test_a_plain_checkpoint_is_written_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = tiny_network()
    model = {f"network.{key}": value for key, value in net.state_dict().items()}
    save_checkpoint(tmp_path / "plain.pth", {"network": net.config, "model": model})
    assert main([str(tmp_path / "plain.pth"), "--output", str(tmp_path / "plain.safetensors")]) == 0
    assert "is not tuned; its weights are written as they are" in capsys.readouterr().out
    same = load_network(tmp_path / "plain.safetensors")[0].state_dict()
    assert all(torch.equal(value, same[name]) for name, value in net.state_dict().items())
