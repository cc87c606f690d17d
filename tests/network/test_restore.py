"""What a run starts from: the network of any file, and the projection heads of BlindNet's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from families import write_family_file
from torch import Tensor, nn

from network import create_network
from network.factory import flag_of
from network.legacy.__main__ import main as convert
from network.legacy.robustnet_names import to_family
from network.restore import load_network, load_start
from utils.errors import UserError
from utils.run.checkpoint import save_checkpoint

CODES = (0, 0, 1, 1, 1, 0, 0)


class Contrasting(nn.Module):
    """A method that projects pixels, as far as loading is concerned."""

    def __init__(self, dimension: int = 8, number: int = 3) -> None:
        super().__init__()
        self.network = create_network("mobilenet_v2", wt_layer=CODES, partial_dilation=True)
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, dimension, 1)) for _ in range(number)
        )
        self.register_buffer("step", torch.zeros(()))


def family_state(method: Contrasting) -> dict[str, Tensor]:
    """Its entries as the public BlindNet names them."""
    heads = method.projections.state_dict()
    names = {key: f"ProjectionHead_cls_{key[0]}.proj.{key[2:]}" for key in heads}
    return to_family(method.network.state_dict()) | {names[key]: value for key, value in heads.items()}


@pytest.fixture(scope="module")
def theirs() -> Contrasting:
    torch.manual_seed(1)
    return Contrasting()


@pytest.fixture
def file(theirs: Contrasting, tmp_path: Path) -> Path:
    arch = "DeepMobileNetV3PlusD --dataset gtav_jitter"
    return write_family_file(tmp_path / "theirs.pth", family_state(theirs), arch, CODES)


def equal(module: nn.Module, other: nn.Module) -> bool:
    state = other.state_dict()
    return all(torch.equal(value, state[key]) for key, value in module.state_dict().items())


def test_projection_heads_are_no_part_of_the_network(file: Path, theirs: Contrasting) -> None:
    network, checkpoint = load_network(file)
    assert network.config == theirs.network.config
    assert equal(network, theirs.network)
    assert checkpoint["arguments"]["dataset"] == ["gtav"]


@pytest.mark.parametrize("imported", [False, True])
def test_a_method_with_projection_heads_starts_from_them(
    imported: bool, file: Path, theirs: Contrasting, tmp_path: Path
) -> None:
    if imported:
        assert convert(["import", str(file), str(tmp_path / "imported.pth")]) == 0
        file = tmp_path / "imported.pth"
    method = Contrasting()
    method.step.fill_(5)
    load_start(method, file)
    assert equal(method.network, theirs.network)
    assert equal(method.projections, theirs.projections)
    assert method.step == 5


def test_a_method_without_projection_heads_starts_from_the_network(file: Path, theirs: Contrasting) -> None:
    method = Contrasting(number=0)
    load_start(method, file)
    assert equal(method.network, theirs.network)


def test_projection_heads_stay_where_the_file_has_none(theirs: Contrasting, tmp_path: Path) -> None:
    file = write_family_file(tmp_path / "isw.pth", to_family(theirs.network.state_dict()))
    method = Contrasting()
    before = method.projections[0][0].weight.clone()
    load_start(method, file)
    assert equal(method.network, theirs.network)
    assert torch.equal(method.projections[0][0].weight, before)


def test_other_projection_heads_are_refused_or_taken_in_part(file: Path, theirs: Contrasting) -> None:
    method = Contrasting(dimension=9)
    with pytest.raises(UserError, match="6 misshapen"):
        load_start(method, file)
    load_start(method, file, partial=True)
    assert torch.equal(method.projections[2][0].weight, theirs.projections[2][0].weight)


def test_diia_takes_from_robustnet_what_fits(tmp_path: Path) -> None:
    """Trunk, pyramid and auxiliary head, and of the coarse head all but the layer that had a skip."""
    torch.manual_seed(2)
    robustnet = create_network("mobilenet_v2", wt_layer=CODES)
    file = write_family_file(tmp_path / "isw.pth", to_family(robustnet.state_dict()))
    method = nn.Module()
    method.network = create_network("mobilenet_v2", "aggregation", wt_layer=CODES)
    with pytest.raises(UserError, match="missing.*unexpected.*1 misshapen.*--partial_load"):
        load_start(method, file)
    load_start(method, file, partial=True)
    ours, weights = method.network.state_dict(), robustnet.state_dict()
    taken = {key for key in ours.keys() & weights.keys() if torch.equal(ours[key], weights[key])}
    left = {key for key in weights if key not in taken}
    assert left == {"head.decoder.0.weight"} | {key for key in weights if "low_level_projection" in key}


def test_a_file_that_describes_no_network_is_named(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "odd.pth", {"network": {"backbone": "nothing"}, "model": {}})
    with pytest.raises(UserError, match=r"odd\.pth: cannot build the network that it describes \(--backbone"):
        load_network(tmp_path / "odd.pth")


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("backbone", "resnet50", "--backbone resnet50"),
        ("wt_layer", (0, 0, 2, 2, 2, 0, 0), "--wt_layer 0 0 2 2 2 0 0"),
        ("snr_stages", [], "--snr_stages none"),
        ("atrous_branches", 2, "--deeplabv2_head two_branch"),
        ("per_image_input", False, "no --image_in"),
        ("auxiliary", False, "--no_auxiliary"),
        ("partial_dilation", True, "partial_dilation True (see --arch)"),
    ],
)
def test_messages_name_the_flag_of_an_argument(name: str, value: object, words: str) -> None:
    assert flag_of(name, value) == words


def test_a_smaller_copy_of_a_checkpoint_predicts_the_same(theirs: Contrasting, tmp_path: Path) -> None:
    """Saved again in half precision and without all that is not the network."""
    model = {f"network.{key}": value for key, value in theirs.network.state_dict().items()}
    path = tmp_path / "slim.pth"
    save_checkpoint(path, {"network": theirs.network.config, "model": model, "optimizer": {}})
    content = torch.load(path, weights_only=True)
    del content["optimizer"]
    content["model"] = {key: value.half() for key, value in content["model"].items()}
    torch.save(content, path)
    network, _ = load_network(path)
    picture = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        expected = theirs.network.eval().predict(picture)
        torch.testing.assert_close(network.predict(picture), expected, rtol=0.02, atol=0.02)
    assert all(value.dtype == torch.float32 for value in network.parameters())
