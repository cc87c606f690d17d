"""SNR as a method: its dual restitution loss, and the released code's way without it."""

from __future__ import annotations

import pytest
import torch
from examples import batch
from programs import arguments

from loss.entropy import dual_restitution_loss
from methods import Progress, method_named
from methods.snr import StyleNormalisationRestitution
from network import create_network
from utils.errors import UserError

START = Progress(0, 10, 0)


def snr(*flags: str, **architecture: object) -> StyleNormalisationRestitution:
    torch.manual_seed(0)
    settings = {"backbone": "mobilenet_v2", **StyleNormalisationRestitution.architecture, **architecture}
    words = ["--method", "snr", *flags]
    return StyleNormalisationRestitution(create_network(**settings), arguments(*words)).train()


def test_the_dual_loss_sums_over_the_stages() -> None:
    method, pictures = snr("--snr_dual_weight", "0.5"), batch()
    features = method.network(method.network.input_spec.prepare(pictures["image"])).features
    expected = 0.0
    for stage, classifier in method.restitution.classifiers.items():
        kinds = ("normalised", "restituted", "contaminated")
        expected += dual_restitution_loss(*(classifier(features[f"snr{stage}_{kind}"]) for kind in kinds))
    losses = method.restitution(features, pictures["label"])
    assert list(method.restitution.classifiers) == ["1", "2", "3"]
    assert torch.isclose(losses["restitution"], 0.5 * expected)


def test_the_last_stage_classifier_learns_the_labels_from_restituted_features() -> None:
    method, pictures = snr("--snr_classifier_weight", "0.5"), batch()
    features = method.network(method.network.input_spec.prepare(pictures["image"])).features
    logits = method.restitution.classifiers["3"](features["snr3_restituted"])
    label = pictures["label"][:, None].float()
    small = torch.nn.functional.interpolate(label, logits.shape[2:], mode="nearest")[:, 0].long()
    expected = torch.nn.functional.cross_entropy(logits, small, ignore_index=255)
    losses = method.restitution(features, pictures["label"])
    assert torch.isclose(losses["stage_classifier"], 0.5 * expected)


def test_it_trains_the_restitution_modules() -> None:
    method = snr()
    sum(method(batch(), "source", START).values()).backward()
    gates = [p for name, p in method.named_parameters() if "restitutions" in name]
    assert gates
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in gates)


def test_the_released_code_trains_neither() -> None:
    method = snr("--no_snr_dual_loss")
    assert method(batch(), "source", START).keys() == {"main", "aux"}
    assert method.restitution is None


def test_it_is_meant_by_its_stages_and_needs_one() -> None:
    assert method_named(arguments("--snr_stages", "1", "2")) == "snr"
    with pytest.raises(UserError, match="--method snr: .*--snr_stages"):
        snr(snr_stages=())
