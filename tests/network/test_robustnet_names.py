"""The family's names and ours, both ways."""

from __future__ import annotations

import pytest
import torch

from network import create_network
from network.legacy.robustnet import FamilyCommand, RobustNetFile, family_command
from network.legacy.robustnet_names import from_family, our_key, projections, to_family

IBN = (0, 0, 4, 4, 4, 0, 0)


@pytest.mark.parametrize(
    "theirs, ours",
    [
        ("layer0.0.weight", "backbone.conv1.weight"),
        ("layer0.7.running_var", "backbone.bn3.running_var"),
        ("layer1.2.conv3.weight", "backbone.layer1.2.conv3.weight"),
        ("layer2.3.instance_norm_layer.bias", "backbone.site_norms.4.bias"),
        ("layer0.0.1.num_batches_tracked", "backbone.stem.0.1.num_batches_tracked"),
        ("layer0.1.instance_norm_layer.weight", "backbone.site_norms.2.weight"),
        ("layer4.0.0.weight", "backbone.layer4.0.0.weight"),
        ("aspp.features.3.1.running_mean", "head.aspp.branches.3.1.running_mean"),
        ("aspp.img_conv.0.weight", "head.aspp.image_pooling.0.weight"),
        ("bot_aspp.0.weight", "head.aspp_projection.0.weight"),
        ("bot_fine.1.bias", "head.low_level_projection.1.bias"),
        ("final1.3.weight", "head.decoder.3.weight"),
        ("final2.0.bias", "head.classifier.bias"),
        ("dsn.4.weight", "auxiliary.4.weight"),
        ("final1_boundary.4.bias", "head.edges.refinement.4.bias"),
        ("encoder_struct.7.weight", "head.layout.encoder.7.weight"),
        ("up_conv.weight", "head.attention.content.weight"),
        ("gamma", "head.attention.gamma"),
        ("final2_sg.0.weight", "head.final.classifier.weight"),
    ],
)
def test_names(theirs: str, ours: str):
    assert our_key(theirs) == ours


@pytest.mark.parametrize(
    "backbone, wt_layer",
    [
        ("resnet18", (0,) * 7),
        ("resnet50", IBN),
        ("resnet101_3x3stem", (4, 4, 0, 4, 4, 0, 0)),
        ("mobilenet_v2", IBN),
        ("shufflenet_v2_x1_0", (0, 0, 4, 4, 4, 4, 4)),
        ("mnasnet1_0", (0, 0, 4, 4, 4, 4, 4)),
        ("resnet50", (0, 0, 5, 5, 5, 0, 0)),
    ],
)
def test_there_and_back(backbone: str, wt_layer: tuple[int, ...]):
    with torch.device("meta"):
        state = create_network(backbone, wt_layer=wt_layer).state_dict()
    theirs = to_family(state)
    assert len(theirs) == len(state)
    assert not any(key.startswith(("backbone.", "head.", "auxiliary.")) for key in theirs)
    back = from_family(theirs)
    assert back.keys() == state.keys()
    assert all(back[key] is state[key] for key in state)


def test_there_and_back_with_the_aggregation_head():
    with torch.device("meta"):
        state = create_network("resnet50", head="aggregation").state_dict()
    theirs = to_family(state)
    assert len(theirs) == len(state)
    assert not any(key.startswith(("backbone.", "head.", "auxiliary.")) for key in theirs)
    assert from_family(theirs) == state


def test_projection_heads_are_the_methods():
    state = {"ProjectionHead_cls_1.proj.2.bias": 1, "gamma": 2}
    assert projections(state) == {"projections.1.2.bias": 1}
    assert from_family(state) == {"head.attention.gamma": 2}


def test_bypassed_norms_of_the_family_are_left_out():
    keys = ["layer0.layer.0.1.weight", "layer0.instance_norm_layer.weight", "layer4.layer.1.weight"]
    assert list(from_family(dict.fromkeys(["layer0.layer.0.0.weight", *keys]))) == [
        "backbone.stem.0.0.weight",
        "backbone.site_norms.2.weight",
        "backbone.layer4.1.weight",
    ]


def test_class_weights_of_the_losses_are_left_out():
    assert from_family({"criterion.weight": 1, "criterion_aux.weight": 2, "dsn.0.bias": 3}) == {
        "auxiliary.0.bias": 3
    }


def test_bypassed_norms_that_only_the_codes_tell_of_are_left_out():
    keys = ["layer0.layer.0.1.weight", "layer4.layer.1.weight", "layer4.layer.0.weight"]
    entries = dict.fromkeys(["layer0.layer.0.0.weight", *keys])
    assert list(from_family(entries, (0, 0, 2, 2, 2, 0, 0))) == [
        "backbone.stem.0.0.weight",
        "backbone.layer4.1.weight",
        "backbone.layer4.0.weight",
    ]


@pytest.mark.parametrize(
    "command, said",
    [
        (None, FamilyCommand()),
        ("train.py --arch 'unclosed", FamilyCommand()),
        ("train.py --arch A --wt_layer 0 0 two", FamilyCommand()),
        ("train.py --arch=A --wt_reg_weight 0.6 --date 0101", FamilyCommand("A", [0] * 7, None, False)),
        (
            "train.py --wt_layer 0 0 2 2 2 0 0 --dataset gtav synthia --arch A --image_in --gblur",
            FamilyCommand("A", [0, 0, 2, 2, 2, 0, 0], ["gtav", "synthia"], True),
        ),
        (
            "train.py --dataset gtav_jitter --wt_layer 0 0 1 1 1 0 0 --arch A --jit_only --w1 0.2 --w4 0.3",
            FamilyCommand("A", [0, 0, 1, 1, 1, 0, 0], ["gtav"], False),
        ),
        ("train.py --wt_layer 0 0 2 2 2 0 0", FamilyCommand(None, None, None, False)),
    ],
)
def test_training_command_lines(command: str | None, said: FamilyCommand):
    assert family_command({"command": command}) == said


def family_entries(content: object) -> dict[str, torch.Tensor] | None:
    file = RobustNetFile.recognised(content, "theirs.pth")
    return file and file.entries


def test_what_is_a_family_file():
    weight = torch.ones(1)
    entries = {"final2.0.weight": weight}
    assert family_entries({"state_dict": {"module.final2.0.weight": weight}, "epoch": 0}) == entries
    assert family_entries(entries) == entries
    for other in ({}, [weight], {"weight": weight}, {"state_dict": 3}, {"final2.0.weight": 1}):
        assert family_entries(other) is None


@pytest.mark.parametrize("before", ["_orig_mod.", "module.module.", "module._orig_mod.", "_orig_mod.module."])
@pytest.mark.parametrize("lightning", [False, True])
def test_what_wraps_a_network_is_taken_out_of_its_names(before: str, lightning: bool):
    weight = torch.ones(1)
    names = ("final2.0.weight", "layer0.0.weight")
    state = {f"{'model.' * lightning}{before}{name}": weight for name in names}
    content: dict = {"state_dict": state}
    if lightning:
        state["loss.weight"] = weight
        content["pytorch-lightning_version"] = "2.5.0"
    assert family_entries(content) == dict.fromkeys(names, weight)
