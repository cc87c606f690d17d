"""Our networks against numbers of the public DA-SAC: a file as theirs with weights by rule, two pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from published import (
    LEAST_AGREEMENT,
    LOGIT_TOLERANCE,
    family_weights,
    load_pictures,
    logit_difference,
    read_arrays,
    read_numbers,
)
from torch import Tensor

from network import SegmentationNet, architecture_from_arch, create_network
from network.legacy.dasac import NAMINGS
from network.legacy.foreign import to_theirs
from network.restore import load_network

CASES = ("deeplabv2_resnet101", "fcn_vgg16_bn")


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def weights(case: str, shared: Path) -> dict[str, Tensor]:
    return family_weights(shared, "dasac", case)


@pytest.fixture(scope="module")
def network(
    case: str, weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory
) -> SegmentationNet:
    """From a file as theirs of the third step, whose teacher is another network than its student."""
    entries = {f"module.backbone.{key}": value for key, value in weights.items()}
    # Expanded, one number is stored for all.
    entries |= {f"module.slow_net.{k}": torch.zeros(()).expand(v.shape) for k, v in weights.items()}
    entries |= {"module.running_conf": torch.zeros(19), "module.slow_init": torch.ones(1)}
    path = tmp_path_factory.mktemp("dasac") / "theirs.pth"
    torch.save({"model": entries, "opt": {}, "score": 0.5, "epoch": 136}, path)
    network, _ = load_network(path)
    path.unlink()
    return network


def test_every_published_key_has_its_place(case: str, shared: Path) -> None:
    numbers = read_numbers(shared, "dasac", case)
    with torch.device("meta"):
        network = create_network(**architecture_from_arch(case))
    assert sum(parameter.numel() for parameter in network.parameters()) == numbers["params"]
    theirs = to_theirs(network.state_dict(), NAMINGS[case].prefixes)
    assert {key: list(value.shape) for key, value in theirs.items()} == numbers["keys"]


def test_logits(case: str, network: SegmentationNet, weights: dict[str, Tensor], shared: Path) -> None:
    arrays = read_arrays(shared, "dasac", case)
    pictures, _ = load_pictures(shared)
    with torch.no_grad():
        output = network(pictures[..., :352, :])
    grid, _ = read_numbers(shared, "dasac", case)["shapes"]
    assert list(output.features["decoder_logits"].shape) == grid
    assert logit_difference(output.logits, arrays["logits"]) < LOGIT_TOLERANCE
    assert (output.logits.argmax(1).numpy() == arrays["argmax"]).mean() > LEAST_AGREEMENT
    theirs = to_theirs(network.state_dict(), NAMINGS[case].prefixes)
    assert all(torch.equal(value, weights[key]) for key, value in theirs.items())
