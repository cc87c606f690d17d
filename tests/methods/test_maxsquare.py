"""MaxSquare's target losses, guidance, and what a step of both domains trains."""

from __future__ import annotations

import pytest
import torch
from examples import batch
from programs import arguments

from loss.adaptation import guidance, hard_pseudo_label, image_weighted_max_square, max_square
from methods import Progress
from methods.maxsquare import TARGET_MODES, MaxSquare
from network import create_network
from utils.errors import UserError

START = Progress(0, 10, 0)


def maxsquare(*flags: str, **architecture: object) -> MaxSquare:
    torch.manual_seed(0)
    words = ["--method", "maxsquare", "--target_dataset", "cityscapes", *flags]
    return MaxSquare(
        create_network(**{"backbone": "mobilenet_v2", **architecture}), arguments(*words)
    ).train()


def target_losses(method: MaxSquare) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)  # Dropout of the auxiliary output.
    return method({"image": batch()["image_plain"]}, "target", START)


@pytest.mark.parametrize("mode", TARGET_MODES)
def test_every_mode_trains_on_pictures_without_labels(mode: str) -> None:
    method = maxsquare("--target_mode", mode, "--threshold", "0.01")
    losses = target_losses(method)
    assert losses.keys() == {"target"}
    losses["target"].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in method.network.backbone.parameters())


def test_target_loss_carries_its_weight_and_settings() -> None:
    torch.manual_seed(1)
    method = maxsquare()
    logits = method.network(method.network.input_spec.prepare(batch()["image_plain"])).logits
    expected = {
        "maxsquare": max_square(logits),
        "IW_maxsquare": image_weighted_max_square(logits, 0.7),
        "hard": hard_pseudo_label(logits, 0.1),
    }
    for mode, loss in expected.items():
        flags = ["--lambda_target", "0.5", "--IW_ratio", "0.7", "--threshold", "0.1", "--target_mode", mode]
        assert torch.isclose(target_losses(maxsquare(*flags))["target"], 0.5 * loss)


def test_guidance_teaches_the_auxiliary_output_alone() -> None:
    method = maxsquare("--multi", "--threshold", "0.1", "--lambda_target", "0.09", "--lambda_seg", "0.1")
    torch.manual_seed(1)
    output = method.network(method.network.input_spec.prepare(batch()["image_plain"]))
    expected = 0.1 * 0.09 * guidance(output.logits, output.aux_logits, 0.1)
    method = maxsquare("--multi", "--threshold", "0.1", "--lambda_target", "0.09", "--lambda_seg", "0.1")
    losses = target_losses(method)
    assert torch.isclose(losses["guidance"], expected)
    losses["guidance"].backward()
    assert all(parameter.grad is None for parameter in method.network.head.parameters())


def test_no_certain_pixel_costs_nothing() -> None:
    losses = target_losses(maxsquare("--multi", "--threshold", "1", "--target_mode", "hard"))
    assert all(float(loss.detach()) == 0 for loss in losses.values())


def test_a_network_with_restitution_also_trains_it_on_the_source() -> None:
    method = maxsquare(snr_stages=(1, 2))
    losses = method(batch(), "source", START)
    assert {"restitution", "stage_classifier"} < losses.keys()
    assert maxsquare(snr_stages=(1, 2)).restitution is not None
    assert maxsquare("--no_snr_dual_loss", snr_stages=(1, 2)).restitution is None


def test_without_weight_the_auxiliary_output_is_left_alone() -> None:
    method = maxsquare("--aux_weight", "0")
    assert method(batch(), "source", START).keys() == {"main"}
    trained = {id(p) for group in method.parameter_groups(0.1) for p in group["params"]}
    assert not trained & {id(p) for p in method.network.auxiliary.parameters()}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--threshold", "1.5"], "--threshold 1.5"),
        (["--IW_ratio", "-1"], "--IW_ratio -1.0"),
        (["--multi", "--aux_weight", "0"], "--multi: .*--aux_weight"),
    ],
)
def test_settings_that_make_no_sense_are_refused(flags: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        maxsquare(*flags)
