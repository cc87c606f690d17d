"""What every registered method can do, and how one is chosen."""

from __future__ import annotations

import pytest
import torch
from examples import batch, crop_batch
from programs import TINY_METHODS, TUNABLE_METHODS, arguments
from tiny_transformers import tiny_network

import config
from methods import METHODS, Method, Progress, method_named
from network import SegmentationNet, create_network
from network.sites import NO_SITES
from network.tuning import tune
from utils.errors import UserError

ISW_CODES = "--wt_layer 0 0 2 2 2 0 0".split()


def check(network: SegmentationNet, *flags: str) -> None:
    """Train, predict and remember."""
    settings = arguments(*flags)
    method: Method = METHODS[settings.method](network, settings).train()
    pictures = batch()
    unlabelled = {view: picture for view, picture in pictures.items() if view != "label"}
    target = crop_batch(crops=2) if method.target_transform == "multi_crop" else unlabelled
    for domain in method.domains:
        losses = method(pictures if domain == "source" else target, domain, Progress(0, 10, 0))
        assert all(torch.isfinite(loss) for loss in losses.values())
        if losses:
            sum(losses.values()).backward()
    groups = method.parameter_groups(0.1)
    assert all(parameter.grad is not None for group in groups for parameter in group["params"])
    own = {name: p for name, p in method.named_parameters() if not name.startswith("teacher.")}
    trained = {id(p) for p in own.values() if p.requires_grad or network.config["tuning"] is None}
    assert {id(p) for group in groups for p in group["params"]} == trained
    assert method.eval().network.predict(batch()["image"]).shape == (2, 19, 32, 32)
    other = METHODS[settings.method](create_network(**network.config), settings)
    other.load_state_dict(method.state_dict())
    assert torch.equal(
        other.eval().network.predict(batch()["image"]), method.network.predict(batch()["image"])
    )


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_trains_predicts_and_remembers(name: str) -> None:
    codes = {"wt_layer": (0, 0, 2, 2, 2, 0, 0)} if name == "isw" else {}
    network = create_network(**{"backbone": "mobilenet_v2", **METHODS[name].architecture, **codes})
    check(network, "--method", name, *TINY_METHODS[name])


@pytest.mark.parametrize("name", [*TUNABLE_METHODS, "snr"])
def test_every_method_without_whitening_trains_on_a_frozen_backbone(name: str) -> None:
    architecture = {**METHODS[name].architecture, "wt_layer": NO_SITES}
    network = create_network(**{"backbone": "mobilenet_v2", **architecture})
    tune(network, {"name": "frozen"})
    before = {key: value.clone() for key, value in network.backbone.state_dict().items()}
    check(network, "--method", name, *TUNABLE_METHODS.get(name, TINY_METHODS[name]))
    after = network.backbone.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize("tuning", ["frozen", "lora"])
@pytest.mark.parametrize("name", list(TUNABLE_METHODS))
def test_every_method_without_sites_trains_on_a_tuned_transformer(name: str, tuning: str) -> None:
    network = tiny_network(**{**METHODS[name].architecture, "wt_layer": NO_SITES})
    tune(network, {"name": tuning})
    check(network, "--method", name, *TUNABLE_METHODS[name])


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ([], "baseline"),
        (["--wt_layer", *"0 0 4 4 4 0 0".split()], "baseline"),
        (ISW_CODES, "isw"),
        ([*ISW_CODES, "--method", "baseline"], "baseline"),
        ([*ISW_CODES, "--method", "diia"], "diia"),
        (["--method", "blindnet"], "blindnet"),
        (["--jit_only", "--wt_layer", *"0 0 1 1 1 0 0".split()], "blindnet"),
        (["--use_sdcl"], "blindnet"),
        (["--snr_stages", "1", "2", "3"], "snr"),
        (["--dataset", "gtav_jitter"], "blindnet"),
    ],
)
def test_method_follows_from_the_flags(flags: list[str], name: str) -> None:
    assert method_named(arguments(*flags)) == name


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(UserError, match="--method magic"):
        method_named(arguments("--method", "magic"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--use_ca"], "--method isw: --use_ca belongs to the method blindnet"),
        (["--jit_only"], "--method isw: --jit_only belongs to the method blindnet"),
        (["--dataset", "gtav_jitter"], "--dataset gtav_jitter: means the method blindnet, not isw"),
    ],
)
def test_flags_of_another_method_are_refused(flags: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        method_named(arguments(*ISW_CODES, "--method", "isw", *flags))


@pytest.mark.parametrize(
    ("flags", "unheeded"),
    [
        (["--method", "diia", "--w1", "0.3", "--trials", "3"], ["--w1"]),
        (
            ["--method", "baseline", "--cwcl_negatives", "all", "--clusters", "7"],
            ["--clusters", "--cwcl_negatives"],
        ),
        ([*ISW_CODES, "--method", "isw", "--diia_main_weight", "3", "--dynamic"], ["--diia_main_weight"]),
        (["--method", "blindnet", "--nce_T", "0.1"], []),
        (
            ["--snr_dual_weight", "0.1", "--method", "snr", "--no_train_snr"],
            ["--snr_dual_weight", "--no_train_snr"],
        ),
    ],
)
def test_flags_without_effect_are_named(flags: list[str], unheeded: list[str]) -> None:
    lines = config.method_notices(arguments(*flags))
    assert [line.partition(":")[0] for line in lines] == unheeded


def test_flags_of_snr_say_nothing_where_the_network_has_it() -> None:
    given = arguments("--method", "snr", "--snr_dual_weight", "0.1", "--no_train_snr")
    assert config.method_notices(given, snr_stages=[1]) == []


def test_other_methods_on_a_network_with_snr_say_that_its_loss_is_not_theirs() -> None:
    assert method_named(arguments(*ISW_CODES, "--snr_stages", "2")) == "isw"
    lines = config.method_notices(arguments("--method", "isw"), snr_stages=[2])
    assert lines == ["--snr_stages: --method isw has no dual restitution loss; --method snr has"]


@pytest.mark.parametrize("flags", [["--snr_stages", "2"], ["--arch", "deeplabv2_multi_snr"]])
def test_a_network_with_snr_means_its_method(flags: list[str]) -> None:
    assert method_named(arguments(*flags)) == "snr"
