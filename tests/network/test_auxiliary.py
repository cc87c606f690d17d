"""Networks without auxiliary head."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from backbones import picture_batch

from network import architecture_from_arch, create_network, stated_architecture
from network.factory import DASAC_ARCHITECTURES
from network.head import HEADS
from network.legacy.__main__ import main as convert
from network.restore import load_network
from utils.errors import UserError
from utils.run.checkpoint import save_checkpoint


@pytest.mark.parametrize("head", HEADS)
def test_nothing_of_it_is_there(head: str) -> None:
    with torch.device("meta"):
        network, other = (
            create_network("resnet18", head, output_stride=32, auxiliary=auxiliary).train()
            for auxiliary in (False, True)
        )
        assert network(torch.empty(2, 3, 64, 64)).aux_logits is None
    assert network.auxiliary is None
    left_out = other.state_dict().keys() - network.state_dict().keys()
    assert left_out == {key for key in other.state_dict() if key.startswith("auxiliary.")} != set()
    (backbone, _), (heads, factor) = network.parameter_groups()
    assert factor == network.head.learning_rate_factor
    assert {id(p) for p in (*backbone, *heads)} == {id(p) for p in network.parameters()}


def test_saves_and_reloads(tmp_path: Path) -> None:
    network = create_network("resnet18", output_stride=32, auxiliary=False).eval()
    model = {f"network.{key}": value for key, value in network.state_dict().items()}
    save_checkpoint(tmp_path / "last.pth", {"network": network.config, "model": model})
    reloaded, _ = load_network(tmp_path / "last.pth", {"auxiliary": False})
    with torch.no_grad():
        assert torch.equal(reloaded(picture_batch()).logits, network(picture_batch()).logits)
    with pytest.raises(UserError, match="trained with --no_auxiliary, the flags say an auxiliary head"):
        load_network(tmp_path / "last.pth", {"auxiliary": True})
    with pytest.raises(UserError, match="has no auxiliary head"):
        convert(["export", str(tmp_path / "last.pth"), str(tmp_path / "theirs.pth")])


def test_a_command_line_takes_it_away_or_leaves_it_to_the_architecture() -> None:
    assert stated_architecture({"auxiliary": None}) == {}
    assert stated_architecture({"auxiliary": False}) == {"auxiliary": False}
    for arch in DASAC_ARCHITECTURES:
        assert stated_architecture({"arch": arch, "auxiliary": None}) == architecture_from_arch(arch)
        assert stated_architecture({"arch": arch})["auxiliary"] is False
    family = {"arch": "network.deepv3.DeepR18V3PlusD", "auxiliary": False}
    assert stated_architecture(family) == {"backbone": "resnet18", "output_stride": 32, "auxiliary": False}
