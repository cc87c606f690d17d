"""DIIA's terms and their weights."""

from __future__ import annotations

import pytest
import torch
from examples import batch
from programs import arguments
from torch import Tensor
from torch.nn import functional as F

from loss.edges import edge_map
from loss.segmentation import nearest_label
from methods import Progress
from methods.diia import WEIGHTS, DomainInvariantAggregation
from network import create_network
from utils.errors import UserError

START = Progress(0, 10, 0)


def diia(*flags: str, **architecture: object) -> DomainInvariantAggregation:
    torch.manual_seed(0)
    settings = {"backbone": "mobilenet_v2", **DomainInvariantAggregation.architecture, **architecture}
    words = ["--method", "diia", *flags]
    return DomainInvariantAggregation(create_network(**settings), arguments(*words)).train()


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    return F.cross_entropy(logits, label, ignore_index=255)


def losses_of(method: DomainInvariantAggregation) -> dict[str, float]:
    torch.manual_seed(1)
    return {name: float(loss.detach()) for name, loss in method(batch(64), "source", START).items()}


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_term_has_a_weight_of_its_own(name: str) -> None:
    published = losses_of(diia())
    changed = losses_of(diia(f"--diia_{name}_weight", str(3 * WEIGHTS[name])))
    for term, loss in published.items():
        assert changed[term] == pytest.approx(3 * loss if term == name else loss, rel=1e-5)


def test_the_auxiliary_flag_of_all_methods_weighs_the_auxiliary_term() -> None:
    published, changed = losses_of(diia()), losses_of(diia("--aux_weight", "5"))
    assert changed.pop("aux") == pytest.approx(50 * published.pop("aux"), rel=1e-5)
    assert changed == pytest.approx(published, rel=1e-5)


def test_an_auxiliary_weight_of_0_leaves_the_term_out() -> None:
    method = diia("--aux_weight", "0")
    assert losses_of(method).keys() == losses_of(diia()).keys() - {"aux"}
    assert not any(parameter.requires_grad for parameter in method.network.auxiliary.parameters())


def test_every_branch_learns_what_it_is_for() -> None:
    """The layout branch the coarse prediction's own layout, the others the label."""
    method, pictures, outputs = diia("--diia_layout_switch", "0"), batch(64), []
    method.network.register_forward_hook(lambda _, given, output: outputs.append(output))
    label = pictures["label"]
    with torch.no_grad():
        losses = method(pictures, "source", START)
    parts, aux_logits = outputs[0].features, outputs[0].aux_logits
    expected = {
        "main": 0.5 * cross_entropy(parts["coarse_logits"], label),
        "aux": 0.1 * cross_entropy(aux_logits, nearest_label(label, aux_logits.shape[2:])),
        "final": cross_entropy(parts["final_logits"], label),
        "edge_segmentation": 0.1 * cross_entropy(parts["edge_logits"], label),
        "layout": 0.1 * cross_entropy(parts["layout_logits"], parts["layout"]),
    }
    for name, loss in expected.items():
        torch.testing.assert_close(losses[name], loss)


def test_a_large_layout_loss_counts_a_hundredth() -> None:
    switched, plain = (losses_of(diia("--diia_layout_switch", value))["layout"] for value in ("0.1", "0"))
    assert switched == pytest.approx(0.01 * plain, rel=1e-5)
    assert losses_of(diia("--diia_layout_switch", str(11 * plain)))["layout"] == pytest.approx(plain)


def test_edges_are_those_of_the_view_before_its_colours_change() -> None:
    method, pictures = diia("--diia_edge_weight", "1"), batch(64)
    torch.manual_seed(1)
    prepared = method.network.input_spec.prepare(pictures["image"])
    edges = method.network(prepared).features["edges"].detach()
    expected = F.l1_loss(edges, edge_map(pictures["image_plain"]))
    method = diia("--diia_edge_weight", "1")
    assert losses_of(method)["edge"] == pytest.approx(float(expected), rel=1e-5)


def test_isw_is_kept() -> None:
    method = diia("--cov_stat_epoch", "0")
    for site in (2, 3, 4):
        method.mask(site).copy_(torch.ones_like(method.mask(site)).triu(1))
    pictures = batch(64)
    assert method(pictures, "source", START)["whitening"] == 0
    assert method(pictures, "source", Progress(9, 10, 1))["whitening"] > 0


def test_another_head_is_refused() -> None:
    with pytest.raises(UserError, match="--method diia: needs the head aggregation"):
        diia(head="deeplabv3plus")


def test_a_network_without_auxiliary_head_has_no_such_term() -> None:
    assert losses_of(diia(auxiliary=False)).keys() == losses_of(diia()).keys() - {"aux"}
