"""ABN: what a source and a target batch change."""

from __future__ import annotations

import torch
from examples import batch
from programs import arguments
from torch.nn import functional as F

from methods import Progress
from methods.abn import AdaptiveBatchNormalisation
from network import create_network

START = Progress(0, 10, 0)


def abn(*flags: str) -> AdaptiveBatchNormalisation:
    torch.manual_seed(0)
    words = ["--method", "abn", "--target_dataset", "cityscapes", *flags]
    return AdaptiveBatchNormalisation(create_network("mobilenet_v2"), arguments(*words)).train()


def changed(method: AdaptiveBatchNormalisation, domain: str) -> set[str]:
    before = {name: value.clone() for name, value in method.state_dict().items()}
    method(batch(), domain, START)
    return {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}


def test_target_pictures_change_running_statistics_alone() -> None:
    method = abn()
    pictures = {"image": batch()["image_plain"]}
    assert method(pictures, "target", START) == {}
    assert all(parameter.grad is None for parameter in method.parameters())
    moved = changed(method, "target")
    statistics = {name for name in method.state_dict() if "running" in name or "num_batches" in name}
    assert moved == statistics


def test_an_auxiliary_output_that_is_left_alone_sees_no_target() -> None:
    assert not any(".auxiliary." in name for name in changed(abn("--aux_weight", "0"), "target"))


def test_both_domains_enter_the_running_statistics_alike() -> None:
    """At momentum 0.1 a target batch after a source batch leaves 0.09 and 0.1 of them."""
    method = abn()
    first = next(layer for layer in method.modules() if isinstance(layer, torch.nn.BatchNorm2d))
    means = []
    first.register_forward_pre_hook(lambda layer, inputs: means.append(inputs[0].detach().mean((0, 2, 3))))
    method(batch(), "source", START)
    method({"image": batch()["image_plain"]}, "target", START)
    torch.testing.assert_close(first.running_mean, 0.09 * means[0] + 0.1 * means[1])


def test_padding_of_source_crops_is_0_for_the_network() -> None:
    method, seen = abn(), []
    method.network.register_forward_pre_hook(lambda network, inputs: seen.append(inputs[0]))
    pictures = batch()
    method(pictures, "source", START)
    padding = torch.zeros(2, 32, 32, dtype=torch.bool)
    padding[0, :, 20:] = True
    method({**pictures, "padding": padding}, "source", START)
    whole, padded = (x.movedim(1, -1) for x in seen)
    assert (padded[padding] == 0).all() and torch.equal(padded[~padding], whole[~padding])
    assert (whole[padding] != 0).all()


def test_pixels_without_a_label_count_in_the_mean() -> None:
    method = abn()
    pictures = batch()
    losses = method(pictures, "source", START)
    method = abn()
    logits = method.network(method.network.input_spec.prepare(pictures["image"])).logits
    costs = F.cross_entropy(logits, pictures["label"], ignore_index=255, reduction="none")
    assert (pictures["label"] == 255).any()
    torch.testing.assert_close(losses["main"], costs.mean())


def test_source_pictures_get_the_colours_that_come_with_them() -> None:
    colours = torch.tensor([[[1.5] * 3, [0.2] * 3], [[0.5] * 3, [-0.1] * 3]])
    pictures = batch()
    scale, shift = colours[..., None, None].unbind(1)
    expected = {**pictures, "image": pictures["image"] / 255 * scale + shift}
    with_colours = abn()({**pictures, "renormalisation": colours}, "source", START)
    torch.testing.assert_close(with_colours, abn()(expected, "source", START), rtol=1e-3, atol=0)
    assert not torch.isclose(with_colours["main"], abn()(pictures, "source", START)["main"], rtol=1e-2)
