"""Our network against numbers of the public SNR: weights by rule, two real pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from published import (
    LEAST_AGREEMENT,
    LOGIT_TOLERANCE,
    family_weights,
    logit_difference,
    picture_files,
    read_arrays,
    read_numbers,
)

from network import SegmentationNet, architecture_from_arch, create_network
from network.legacy.deeplabv2 import PREFIXES
from network.legacy.foreign import to_ours, to_theirs

SYSTEM, CASE = "snr", "deeplabv2_multi_snr"


@pytest.fixture(scope="module")
def network(shared: Path) -> SegmentationNet:
    network = create_network(**architecture_from_arch(CASE), atrous_branches=2).eval()
    network.load_state_dict(to_ours(family_weights(shared, SYSTEM, CASE), PREFIXES))
    return network


def test_every_published_key_has_its_place(network: SegmentationNet, shared: Path) -> None:
    published = read_numbers(shared, SYSTEM, CASE)
    assert sum(parameter.numel() for parameter in network.parameters()) == published["params"]
    theirs = {key: list(value.shape) for key, value in to_theirs(network.state_dict(), PREFIXES).items()}
    assert theirs == published["keys"]


def test_logits(network: SegmentationNet, shared: Path) -> None:
    """The main and the auxiliary output, from 8-bit RGB pictures: the network knows how it wants them."""
    arrays = read_arrays(shared, SYSTEM, CASE)
    files = [np.asarray(Image.open(file).convert("RGB")) for file in picture_files(shared)]
    pictures = torch.from_numpy(np.stack(files)).permute(0, 3, 1, 2)
    with torch.no_grad():
        output = network(network.input_spec.prepare(pictures))
        auxiliary = network.auxiliary(output.features["layer3"], (pictures.shape[2], pictures.shape[3]))
    assert logit_difference(output.logits, arrays["main"]) < LOGIT_TOLERANCE
    assert logit_difference(auxiliary, arrays["aux"]) < LOGIT_TOLERANCE
    assert (output.logits.argmax(1).numpy() == arrays["argmax"]).mean() > LEAST_AGREEMENT
