"""--checkpoint_activations: the same outputs, gradients and running statistics, and less memory."""

from __future__ import annotations

import pytest
import torch
from backbones import picture_batch
from torch import Tensor

from network import SegmentationNet, create_network
from utils.errors import UserError

NETWORKS = {
    "resnet18": {"wt_layer": (0, 0, 2, 5, 2, 0, 0), "snr_stages": (1, 2)},
    "mobilenet_v2": {"wt_layer": (0, 0, 0, 1, 0, 0, 0)},
    "timm:efficientnet_lite0": {"wt_layer": (0, 0, 2, 0, 5, 0, 0), "timm": {"drop_path": 0.3}},
    "timm:convnext_atto": {"snr_stages": (2,), "timm": {"drop_path": 0.3}},
    "timm:vit_tiny_patch16_224": {"timm": {"image_size": [64, 64], "drop_path": 0.3}},
}


def two_steps(name: str, recompute: bool) -> tuple[SegmentationNet, list[Tensor]]:
    """A network after two passes with the same random numbers, and all tensors that it gave out."""
    torch.manual_seed(0)
    stride = {} if "vit" in name else {"output_stride": 32}
    network = create_network(name, "linear", **stride, **NETWORKS[name]).train()
    if recompute:
        network.backbone.checkpoint_activations()
    given = []
    for _ in range(2):
        output = network(picture_batch())
        output.logits.square().mean().backward()
        given += [output.logits, *output.features.values()]
    return network, given


@pytest.mark.parametrize("name", NETWORKS)
def test_everything_is_the_same(name: str) -> None:
    (network, given), (plain, expected) = two_steps(name, True), two_steps(name, False)
    assert len(given) == len(expected)
    for one, other in zip(given, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    for (key, one), other in zip(network.named_parameters(), plain.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), key
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad)
    for (key, one), other in zip(network.named_buffers(), plain.named_buffers(), strict=True):
        torch.testing.assert_close(one, other[1], rtol=0, atol=0, msg=key)


def kept_bytes(name: str, recompute: bool) -> int:
    """The memory of what a training pass keeps for its backward pass, without parameters."""
    network = create_network(name, "linear", output_stride=None if "vit" in name else 32).train()
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    if recompute:
        network.backbone.checkpoint_activations()
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = network(picture_batch())
    del output
    return sum(kept.values())


@pytest.mark.parametrize("name", ["resnet18", "timm:vit_tiny_patch16_224"])
def test_less_is_kept(name: str) -> None:
    assert kept_bytes(name, True) < 0.6 * kept_bytes(name, False)


def test_evaluation_keeps_nothing_and_recomputes_nothing() -> None:
    network = create_network("resnet18", "linear", output_stride=32).eval()
    with torch.no_grad():
        expected = network(picture_batch()).logits
        network.backbone.checkpoint_activations()
        assert torch.equal(network(picture_batch()).logits, expected)


def test_a_model_that_runs_as_a_whole_has_no_stages_for_it() -> None:
    with torch.device("meta"), pytest.raises(UserError, match="--checkpoint_activations: timm:xception41 .*"):
        create_network("timm:xception41", "linear").backbone.checkpoint_activations()
