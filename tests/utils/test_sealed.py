"""Digests: any damage to a checkpoint is noticed."""

from pathlib import Path

import pytest
import torch

from utils.run.sealed import is_unsealed, is_whole, seal

pytestmark = pytest.mark.reliability


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pth"
    torch.save({"weight": torch.arange(3)}, path)
    assert not is_whole(path)
    assert is_unsealed(path)
    seal(path)
    return path


def test_a_sealed_file_is_whole_and_still_an_archive(sealed: Path) -> None:
    assert is_whole(sealed)
    assert torch.load(sealed, weights_only=True)["weight"].tolist() == [0, 1, 2]


def test_every_changed_byte_and_every_cut_is_seen(sealed: Path) -> None:
    content = sealed.read_bytes()
    for place in range(len(content)):
        sealed.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        assert not is_whole(sealed), place
    for length in range(0, len(content), 7):
        sealed.write_bytes(content[:length])
        assert not is_whole(sealed), length
    for length in range(2, len(content)):
        sealed.write_bytes(content[:length])
        assert not is_unsealed(sealed), length
    sealed.write_bytes(content + b"more")
    assert not is_whole(sealed)
