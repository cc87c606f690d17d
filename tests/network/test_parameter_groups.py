"""What is trained, and how fast: the network's parameter groups and the optimiser's."""

from __future__ import annotations

import pytest
import torch
from programs import arguments
from torch.nn import Parameter

from methods.engine.build import build_method, build_optimizer
from network import SegmentationNet, create_network
from network.head import HEADS

DEEPLABV2 = {"head": "deeplabv2", "output_stride": 8, "snr_stages": (1, 2, 3)}


def names_of(network: SegmentationNet, parameters: list[Parameter]) -> set[str]:
    names = {parameter: name for name, parameter in network.named_parameters()}
    assert len(set(parameters)) == len(parameters)
    return {names[parameter] for parameter in parameters if parameter in names}


@pytest.mark.parametrize("head", HEADS)
def test_every_trained_parameter_is_there_once(head: str) -> None:
    with torch.device("meta"):
        network = create_network("resnet50_caffe", head=head, output_stride=32, snr_stages=(1, 2, 3))
    (backbone, slow), (heads, fast) = network.parameter_groups(3.0)
    assert (slow, fast) == (3.0, 10.0 if head.startswith(("deeplabv2", "fcn")) else 1.0)
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert names_of(network, backbone) | names_of(network, heads) == trained
    assert names_of(network, backbone) == {name for name in trained if name.startswith("backbone.")}
    assert len(backbone) + len(heads) == len(trained)
    assert {"bn1.weight", "bn1.bias"} == {
        name.removeprefix("backbone.") for name, _ in network.named_parameters() if name not in trained
    }


def optimiser_groups(network: SegmentationNet, *flags: str) -> dict[float, set[str]]:
    """Learning rate -> names of the network's parameters in that group of the optimiser."""
    args = arguments("--method", "baseline", "--no_pretrained", "--lr", "0.001", *flags)
    optimizer = build_optimizer(build_method(args, network, fresh=True), args, torch.device("cpu"))
    assert all(group["initial_lr"] == group["lr"] for group in optimizer.param_groups)
    return {group["lr"]: names_of(network, group["params"]) for group in optimizer.param_groups}


def test_heads_of_deeplabv2_learn_ten_times_as_fast() -> None:
    network = create_network("resnet18", **DEEPLABV2, atrous_branches=2)
    groups = optimiser_groups(network, "--backbone_lr_mult", "3.0")
    assert sorted(groups) == pytest.approx([0.003, 0.01])
    backbone, heads = (groups[rate] for rate in sorted(groups))
    assert {name.split(".")[0] for name in backbone} == {"backbone"}
    assert heads == {
        f"{classifier}.branches.{branch}.{kind}"
        for classifier in ("head.classifier", "auxiliary")
        for branch in (0, 1)
        for kind in ("weight", "bias")
    }


def test_all_of_deeplabv3plus_learns_alike() -> None:
    network = create_network("resnet18")
    groups = optimiser_groups(network)
    assert groups == {0.001: {name for name, _ in network.named_parameters()}}
    # In the order of the parameters, which a saved optimiser's state goes by.
    args = arguments("--method", "baseline", "--no_pretrained")
    method = build_method(args, network, fresh=True)
    (group,) = method.parameter_groups(0.1)
    assert all(a is b for a, b in zip(group["params"], method.parameters(), strict=True))


@pytest.mark.parametrize("flags", [[], ["--no_train_snr"]])
def test_snr_is_in_the_optimiser_if_it_is_trained(flags: list[str]) -> None:
    network = create_network("resnet18", **DEEPLABV2)
    names = set.union(*optimiser_groups(network, *flags).values())
    snr = {name for name, _ in network.named_parameters() if "restitutions" in name}
    assert len(snr) == 18
    assert names & snr == (set() if flags else snr)
    assert "backbone.layer1.0.conv1.weight" in names


def test_what_stands_still_by_itself_stays_so() -> None:
    network = create_network("resnet50_caffe", **DEEPLABV2, atrous_branches=2)
    names = set.union(*optimiser_groups(network).values())
    assert not [name for name in names if name.startswith("backbone.bn1.") or "branches.2" in name]
    frozen = optimiser_groups(network, "--freeze_trunk")
    assert {name.split(".")[0] for name in set.union(*frozen.values())} == {"head", "auxiliary"}
