"""Our networks against numbers of the public BlindNet and DIIA: weights by rule, two real pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from programs import arguments
from published import (
    LEAST_AGREEMENT,
    LOGIT_TOLERANCE,
    LOSS_TOLERANCE,
    family_weights,
    load_pictures,
    logit_difference,
    read_arrays,
    read_numbers,
)
from torch import Tensor, nn

from loss.segmentation import auxiliary_cross_entropy, cross_entropy
from methods.blindnet import BlindNet
from network import SegmentationNet, create_network
from network.input_spec import IMAGENET
from utils.legacy import from_family, projections, to_family

# The published gradients are float32, whose own rounding is as much on deep networks.
GRADIENT_TOLERANCE = 1e-2
ARCHITECTURES = {
    "blindnet": {"wt_layer": (0, 0, 1, 1, 1, 0, 0)},
    "diia": {"wt_layer": (0, 0, 2, 2, 2, 0, 0), "head": "aggregation"},
}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def system(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def network(system: str, shared: Path) -> SegmentationNet:
    """With the published case's weights; every one of them has its place."""
    network = create_network("resnet50", **ARCHITECTURES[system]).eval()
    network.load_state_dict(from_family(family_weights(shared, system, "r50os16")))
    return network


def test_every_published_key_has_its_place(system: str, network: SegmentationNet, shared: Path) -> None:
    published = read_numbers(shared, system, "r50os16")
    heads = projections(family_weights(shared, system, "r50os16"))
    assert len(heads) == {"blindnet": 12, "diia": 0}[system]
    parameters = [*network.parameters(), *heads.values()]
    assert sum(parameter.numel() for parameter in parameters) == published["params"]
    theirs = to_family(network.state_dict())
    assert len(theirs) + len(heads) == len(published["keys"])
    assert {key: list(value.shape) for key, value in theirs.items()}.items() <= published["keys"].items()


def test_logits(system: str, network: SegmentationNet, shared: Path) -> None:
    arrays = read_arrays(shared, system, "r50os16")
    pictures, _ = load_pictures(shared)
    with torch.no_grad():
        output = network(pictures)
    parts = {"logits": output.logits}
    if system == "diia":
        parts = {name: output.features[f"{name}_logits"] for name in ("coarse", "final")}
    for name, ours in parts.items():
        assert logit_difference(ours, arrays[name]) < LOGIT_TOLERANCE, name
    assert (output.logits.argmax(1).numpy() == arrays["argmax"]).mean() > LEAST_AGREEMENT


@pytest.mark.parametrize("system", ["blindnet"], indirect=True)
def test_blindnet_losses_and_gradients(system: str, shared: Path) -> None:
    """Both views in training mode, one after the other; the contrast, being random, roughly."""
    torch.manual_seed(0)
    # layer4 has 660 pixels here: room for 13 blocks of the published 50.
    sizes = ["--contrast_max_classes", "13", "--contrast_max_views", "50", "--num_patch", "20"]
    settings = ["--method", "blindnet", "--cwcl_negatives", "all", "--cwcl_fill", "any", *sizes]
    network = create_network("resnet50", **ARCHITECTURES[system])
    method = BlindNet(network, arguments(*settings)).train()
    state = family_weights(shared, system, "r50os16")
    network.load_state_dict(from_family(state))
    method.load_state_dict(projections(state), strict=False)
    for module in network.modules():
        if isinstance(module, nn.Dropout2d):
            module.p = 0.0
    pictures, label = (x[..., :352, :] for x in load_pictures(shared))
    original, jittered = network(pictures), network(other_view(pictures), auxiliary=False)
    main = [cross_entropy(output.logits, label) for output in (original, jittered)]
    terms = method.alignment(original.features, jittered.features)
    losses = [sum(main) / 2, auxiliary_cross_entropy(original.aux_logits, label), *terms.values()]
    published = read_numbers(shared, system, "r50os16")
    assert [float(loss.detach()) for loss in losses] == pytest.approx(
        published["train_losses(main,aux,cml,ccl)"], rel=LOSS_TOLERANCE
    )
    contrasts = method.contrast(original.features, jittered.features, label)
    for ours, theirs in zip(contrasts.values(), published["cwcl_sdcl_random"], strict=True):
        assert float(ours.detach()) == pytest.approx(theirs, rel=0.1)
    sum(w * loss for w, loss in zip((1, 0.4, 0.2, 0.2), losses, strict=True)).backward()
    gradients = [p.grad.norm() for p in network.parameters() if p.grad is not None]
    norm = float(torch.stack(gradients).norm())
    assert norm == pytest.approx(published["grad_norm_main_aux_ca"], rel=GRADIENT_TOLERANCE)


def other_view(pictures: Tensor) -> Tensor:
    """Channels reversed, 0.6 x + 40 of the grey levels, normalised like ``pictures``."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET.mean, IMAGENET.std))
    levels = 255 * (pictures * std + mean)
    return ((0.6 * levels.flip(1) + 40) / 255 - mean) / std
