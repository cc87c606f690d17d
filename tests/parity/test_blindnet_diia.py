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

from methods import Progress
from methods.blindnet import BlindNet
from network import SegmentationNet, create_network
from network.input_spec import IMAGENET, InputSpec
from network.legacy.robustnet_names import from_family, projections, to_family

# The published gradients are float32, whose own rounding is as much on deep networks.
GRADIENT_TOLERANCE = 1e-2
# The random draws of the contrasts are others.
WEIGHTS_AND_TOLERANCES = {
    "main": (1.0, LOSS_TOLERANCE),
    "aux": (0.4, LOSS_TOLERANCE),
    "covariance": (0.2, LOSS_TOLERANCE),
    "cross_covariance": (0.2, LOSS_TOLERANCE),
    "class_contrast": (0.3, 0.1),
    "disentanglement": (0.3, 0.1),
}
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
    # The pictures are normalised already.
    network.input_spec = InputSpec(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    pictures, label = (x[..., :352, :] for x in load_pictures(shared))
    batch = {"image": pictures, "image_jittered": other_view(pictures), "label": label}
    losses = method(batch, "source", Progress(0, 1, 0))
    published = read_numbers(shared, system, "r50os16")
    costs = published["train_losses(main,aux,cml,ccl)"] + published["cwcl_sdcl_random"]
    for (name, loss), cost in zip(losses.items(), costs, strict=True):
        weight, tolerance = WEIGHTS_AND_TOLERANCES[name]
        assert float(loss.detach()) == pytest.approx(weight * cost, rel=tolerance), name
    sum(losses[name] for name in ("main", "aux", "covariance", "cross_covariance")).backward()
    gradients = [p.grad.norm() for p in network.parameters() if p.grad is not None]
    norm = float(torch.stack(gradients).norm())
    assert norm == pytest.approx(published["grad_norm_main_aux_ca"], rel=GRADIENT_TOLERANCE)


def other_view(pictures: Tensor) -> Tensor:
    """Channels reversed, 0.6 x + 40 of the grey levels, normalised like ``pictures``."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET.mean, IMAGENET.std))
    levels = 255 * (pictures * std + mean)
    return ((0.6 * levels.flip(1) + 40) / 255 - mean) / std
