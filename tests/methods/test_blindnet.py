"""BlindNet's terms, switches and what it trains."""

from __future__ import annotations

import pytest
import torch
from examples import batch
from programs import TINY_METHODS, arguments

from methods import Progress
from methods.blindnet import BlindNet
from network import create_network
from utils.errors import UserError
from utils.seeding import seed_step

TERMS = {"covariance", "cross_covariance", "class_contrast", "disentanglement"}
START = Progress(0, 10, 0)


def blindnet(*flags: str, **architecture: object) -> BlindNet:
    torch.manual_seed(0)
    settings = {"backbone": "mobilenet_v2", **BlindNet.architecture, **architecture}
    words = ["--method", "blindnet", *TINY_METHODS["blindnet"], *flags]
    return BlindNet(create_network(**settings), arguments(*words)).train()


@pytest.mark.parametrize(
    ("flags", "terms"),
    [
        ([], TERMS),
        (["--use_ca"], {"covariance", "cross_covariance"}),
        (["--use_cwcl"], {"class_contrast"}),
        (["--use_sdcl"], {"disentanglement"}),
        (["--use_ca", "--use_sdcl"], TERMS - {"class_contrast"}),
        (["--w1", "0", "--w3", "0"], {"cross_covariance", "disentanglement"}),
    ],
)
def test_each_loss_can_be_switched(flags: list[str], terms: set[str]) -> None:
    method = blindnet(*flags)
    losses = method(batch(), "source", START)
    assert losses.keys() == {"main", "aux", *terms}
    contrasts = {"class_contrast", "disentanglement"} & terms
    assert len(method.projections) == (3 if contrasts else 0)


def test_terms_carry_their_weights() -> None:
    once, twice = (blindnet("--w1", weight, "--w3", weight) for weight in ("0.2", "0.4"))
    seed_step(0, 0, 0)
    first = once(batch(), "source", START)
    seed_step(0, 0, 0)
    second = twice(batch(), "source", START)
    for name in ("covariance", "class_contrast"):
        assert torch.isclose(second[name], 2 * first[name])
    assert second["disentanglement"] == first["disentanglement"]


def test_auxiliary_statistics_come_from_the_original_view_alone() -> None:
    methods = [blindnet(), blindnet()]
    views = [batch(), {**batch(), "image_jittered": batch()["image"]}]
    for method, view in zip(methods, views, strict=True):
        method(view, "source", START)
    for name, value in methods[0].network.auxiliary.state_dict().items():
        assert torch.equal(value, methods[1].network.auxiliary.state_dict()[name])
    counts = {
        int(value)
        for name, value in methods[0].network.state_dict().items()
        if name.endswith("num_batches_tracked")
    }
    assert counts == {1, 2}  # The rest of the network saw both views, one after the other.


def test_extra_terms_pull_only_the_jittered_view() -> None:
    method = blindnet()
    prepare = method.network.input_spec.prepare
    original, jittered = (prepare(batch()[v]).requires_grad_() for v in ("image", "image_jittered"))
    key = method.network(original).features
    query = method.network(jittered, auxiliary=False).features
    terms = {**method.alignment(key, query), **method.contrast(key, query, batch()["label"])}
    sum(terms.values()).backward()
    assert original.grad is None
    assert jittered.grad.abs().sum() > 0


def test_a_step_draws_the_same_pixels_again() -> None:
    method = blindnet("--use_cwcl")
    losses = []
    for number in (0, 1, 0):
        seed_step(304, 0, number)
        losses.append(float(method(batch(), "source", START)["class_contrast"].detach()))
    assert losses[0] == losses[2] != losses[1]


def test_too_small_a_crop_names_the_flags() -> None:
    with pytest.raises(UserError, match="--contrast_max_classes 15 x --contrast_max_views 50.*--crop_size"):
        blindnet("--contrast_max_classes", "15", "--contrast_max_views", "50")(batch(), "source", START)


def test_alignment_without_a_site_is_refused_and_contrast_goes_on() -> None:
    with pytest.raises(UserError, match="--method blindnet: .*--wt_layer"):
        blindnet(wt_layer=(0,) * 7)
    losses = blindnet("--use_cwcl", "--use_sdcl", wt_layer=(0,) * 7)(batch(), "source", START)
    assert losses.keys() == {"main", "aux", "class_contrast", "disentanglement"}


@pytest.mark.parametrize("backbone", ["resnet18", "shufflenet_v2_x1_0", "mnasnet1_0"])
def test_it_trains_other_backbones(backbone: str) -> None:
    losses = blindnet(backbone=backbone)(batch(64), "source", START)
    total = sum(losses.values())
    total.backward()
    assert torch.isfinite(total)


def test_a_batch_without_labels_costs_nothing() -> None:
    unlabelled = {**batch(), "label": torch.full((2, 32, 32), 255)}
    losses = blindnet("--use_cwcl", "--use_sdcl")(unlabelled, "source", START)
    assert all(float(loss.detach()) == 0 for loss in losses.values())
    sum(losses.values()).backward()


def test_terms_are_computed_in_full_precision_under_autocast() -> None:
    method = blindnet()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = method(batch(), "source", START)
    assert all(losses[name].dtype == torch.float32 for name in TERMS)
