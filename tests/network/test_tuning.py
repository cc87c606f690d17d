"""Tuning: a wrapped network computes what the plain one did, trains what it says, and folds back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from live_memory import MostBytes
from tiny_transformers import DEPTH, MODELS, WIDTH, changed, large_network, tiny_network
from torch import Tensor, nn

from network import SegmentationNet, create_network
from network.tuning import TUNINGS, merge, trained_words, tune
from network.tuning.low_rank import INITIAL_A, INITIAL_B, LowRankLinear
from network.tuning.rein import FIRST_SCALE
from utils.errors import UserError

PICTURES = torch.rand(2, 3, 32, 48)
IN_FULL = pytest.mark.parametrize("name", list(MODELS))
FOLDABLE = pytest.mark.parametrize("tuning", ["lora", "soma"])


def output(network: SegmentationNet) -> Tensor:
    """Logits in evaluation mode, in the type of the weights."""
    network.eval()
    with torch.no_grad():
        return network(PICTURES.to(next(network.parameters()).dtype)).logits


def train(network: SegmentationNet, steps: int = 2) -> None:
    """Take some steps with an optimiser that changes every weight much."""
    network.train()
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        network(PICTURES.to(next(network.parameters()).dtype)).logits.square().mean().backward()
        optimizer.step()


def trained(network: SegmentationNet) -> set[str]:
    """The names of the parameters of the backbone that are trained."""
    return {name for name, each in network.backbone.named_parameters() if each.requires_grad}


@IN_FULL
@FOLDABLE
@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_a_tuned_network_first_computes_what_it_did_and_folds_after_training(
    name: str, tuning: str, kind: torch.dtype, tolerance: float
) -> None:
    network = tiny_network(name).to(kind)
    plain = output(network)
    atol = tolerance * float(plain.abs().max())
    tune(network, {"name": tuning})
    torch.testing.assert_close(output(network), plain, rtol=0, atol=atol)
    train(network)
    after = output(network)
    assert (after - plain).abs().max() > 0.01
    atol = tolerance * float(after.abs().max())
    merge(network)
    torch.testing.assert_close(output(network), after, rtol=0, atol=atol)
    assert network.config["tuning"] is None
    rebuilt = create_network(**network.config).to(kind)
    rebuilt.load_state_dict(network.state_dict())
    torch.testing.assert_close(output(rebuilt), after, rtol=0, atol=atol)


@IN_FULL
@pytest.mark.parametrize("tuning", list(TUNINGS))
def test_a_config_rebuilds_the_tuned_network(name: str, tuning: str) -> None:
    network = tiny_network(name)
    tune(network, {"name": tuning})
    changed(network)
    rebuilt = create_network(**network.config)
    assert rebuilt.config == network.config
    rebuilt.load_state_dict(network.state_dict())
    assert torch.equal(output(rebuilt), output(network))
    assert trained(rebuilt) == trained(network)


def test_lora_adds_the_scaled_product_to_its_targets() -> None:
    network = tiny_network()
    plain = copy.deepcopy(network.backbone.model.blocks[1].attn.qkv)
    tune(network, {"name": "lora", "rank": 4, "alpha": 10})
    layer = network.backbone.model.blocks[1].attn.qkv.eval()
    assert not layer.lora_b.any() and layer.lora_a.std() > 0.05
    assert layer.lora_a.abs().max() <= WIDTH**-0.5
    changed(network)
    x = torch.rand(5, WIDTH)
    expected = plain(x) + 2.5 * (x @ layer.lora_a.T) @ layer.lora_b.T
    torch.testing.assert_close(layer(x), expected)


@IN_FULL
def test_soma_takes_the_smallest_components_out_of_every_part(name: str) -> None:
    network = tiny_network(name)
    before = copy.deepcopy(network.backbone.model)
    tune(network, {"name": "soma"})
    layers = [each for each in network.backbone.model.named_modules() if isinstance(each[1], LowRankLinear)]
    assert {int(place.split(".")[1]) for place, _ in layers} == {1, 2}
    for place, layer in layers:
        parts = 3 if place.endswith(".qkv") else 1
        weights = before.get_submodule(place).weight.unflatten(0, (parts, -1))
        matrices = zip(
            weights,
            layer.weight.unflatten(0, (parts, -1)),
            layer.lora_b.unflatten(0, (parts, -1)),
            layer.lora_a.unflatten(0, (parts, -1)),
            strict=True,
        )
        for weight, rest, b, a in matrices:
            assert torch.linalg.matrix_rank(b @ a) == 16
            values = torch.linalg.svdvals(weight)
            torch.testing.assert_close(torch.linalg.svdvals(rest)[:-16], values[:-16])
            assert torch.linalg.svdvals(rest)[-16:].max() < 1e-5
            torch.testing.assert_close(torch.linalg.svdvals(b @ a)[:16], values[-16:])
            torch.testing.assert_close(torch.linalg.norm(b, dim=0), torch.linalg.norm(a, dim=1))


def names(blocks: range, *layers: str, entries: str = "lora_a lora_b") -> set[str]:
    return {
        f"model.blocks.{number}.{layer}.{entry}"
        for number in blocks
        for layer in layers
        for entry in entries.split()
    }


ALL, UPPER = range(DEPTH), range(1, DEPTH)
SPLIT = ("attn.q_proj", "attn.k_proj", "attn.v_proj")
MLP = ("mlp.fc1", "mlp.fc2")


@pytest.mark.parametrize(
    ("name", "tuning", "expected"),
    [
        ("tiny_vit", {"name": "frozen"}, set()),
        ("tiny_vit", {"name": "head"}, set()),
        ("tiny_vit", {"name": "lora"}, names(ALL, "attn.qkv")),
        ("tiny_vit", {"name": "lora", "blocks": [2], "targets": ["fc2"]}, names(range(2, 3), "mlp.fc2")),
        ("tiny_eva", {"name": "lora"}, names(ALL, "attn.qkv")),
        ("tiny_eva_split", {"name": "lora"}, names(ALL, *SPLIT)),
        (
            "tiny_vit",
            {"name": "soma"},
            names(UPPER, "attn.qkv", "attn.proj", *MLP, entries="lora_a lora_b bias"),
        ),
        (
            "tiny_eva",
            {"name": "soma"},
            names(UPPER, "attn.proj", *MLP, entries="lora_a lora_b bias")
            | names(UPPER, "attn.qkv")
            | names(UPPER, "attn", entries="q_bias v_bias"),
        ),
        (
            "tiny_eva_split",
            {"name": "soma"},
            names(UPPER, *SPLIT, "attn.proj", "mlp.fc1_g", "mlp.fc1_x", "mlp.fc2")
            | names(UPPER, "attn.q_proj", "attn.v_proj", "attn.proj", entries="bias")
            | names(UPPER, "mlp.fc1_g", "mlp.fc1_x", "mlp.fc2", entries="bias"),
        ),
        (
            "tiny_vit",
            {"name": "rein"},
            {f"rein.{name}" for name in ("tokens_a", "tokens_b", "scale")}
            | {f"rein.{layer}.{entry}" for layer in ("transfer", "output") for entry in ("weight", "bias")},
        ),
    ],
)
def test_exactly_the_named_parameters_are_trained(
    name: str, tuning: dict[str, Any], expected: set[str]
) -> None:
    network = tiny_network(name)
    tune(network, tuning)
    assert trained(network) == expected
    network.train()(PICTURES).logits.square().mean().backward()
    got = {name for name, each in network.backbone.named_parameters() if each.grad is not None}
    assert got == expected
    assert all(parameter.grad is not None for parameter in network.head.parameters())


@IN_FULL
def test_rein_refines_the_patches_after_every_block(name: str) -> None:
    network = tiny_network(name)
    tune(network, {"name": "rein", "tokens": 5, "rank": 2})
    model, rein = network.backbone.model, network.backbone.rein
    prefix = {"tiny_vit": 1, "tiny_eva": 3, "tiny_eva_split": 1}[name]
    x = torch.rand(2, prefix + 6, WIDTH)
    refined = rein.refine(1, model.blocks[1], (), x)
    assert torch.equal(refined[:, :prefix], x[:, :prefix])
    f, tokens = x[:, prefix:], rein.tokens_a[1] @ rein.tokens_b[1]
    similarity = torch.softmax(f @ tokens.T / WIDTH**0.5, -1)
    change = similarity[:, :, 1:] @ (tokens[1:] @ rein.transfer.weight.T + rein.transfer.bias)
    expected = f + FIRST_SCALE * ((change + f) @ rein.output.weight.T + rein.output.bias)
    torch.testing.assert_close(refined[:, prefix:], expected)


def test_rein_starts_close_to_the_loaded_network_and_a_copy_has_tokens_of_its_own() -> None:
    network = tiny_network()
    plain = output(network)
    tune(network, {"name": "rein"})
    first = output(network)
    assert 0 < (first - plain).abs().max() < 0.1
    teacher = copy.deepcopy(network)
    changed(teacher.backbone.rein)
    assert torch.equal(output(network), first)
    assert not torch.equal(output(teacher), first)


@pytest.mark.parametrize("tuning", ["frozen", "lora", "soma", "rein"])
def test_what_was_loaded_stays_in_evaluation_mode(tuning: str) -> None:
    network = tiny_network()
    tune(network.train(), {"name": tuning})
    model = network.backbone.model
    adapters = {place for place, each in model.named_modules() if isinstance(each, LowRankLinear)}
    added = adapters | {f"{place}.dropout" for place in adapters}
    assert {place for place, module in model.named_modules() if module.training} == added
    assert network.head.training and network.backbone.restitutions.training
    network.eval()
    assert not any(module.training for module in network.modules())
    network.train()
    assert {place for place, module in model.named_modules() if module.training} == added


@pytest.mark.parametrize("tuning", ["frozen", "head"])
def test_on_a_cnn_only_head_lets_the_statistics_go_on(tuning: str) -> None:
    network = create_network("mobilenet_v2", snr_stages=[1], wt_layer=(0, 0, 0, 4, 0, 0, 0))
    tune(network, {"name": tuning})
    before = {name: buffer.clone() for name, buffer in network.backbone.named_buffers()}
    network.train()(torch.rand(2, 3, 64, 64))
    moved = [not torch.equal(buffer, before[name]) for name, buffer in network.backbone.named_buffers()]
    assert any(moved) == (tuning == "head")
    # SNR modules and sites are not loaded, so a frozen backbone has them trained.
    added = {name for name, _ in network.backbone.named_parameters() if network.backbone.is_site_key(name)}
    assert trained(network) == (added if tuning == "frozen" else set())
    assert "snr1_normalised" in network(torch.rand(2, 3, 64, 64)).features


FULL_SIZE = {
    "lora": 24 * 32 * (1024 + 3072),
    "soma": 16 * (16 * (3 * 2048 + 2048 + 2 * 5120) + 9 * 1024),
    "rein": 24 * 16 * (100 + 1024) + 2 * (1024 * 1024 + 1024) + 1,
}


@pytest.mark.parametrize(("tuning", "millions"), [("lora", "3.15"), ("soma", "4.87"), ("rein", "2.53")])
def test_the_published_numbers_of_parameters_hold_at_full_size(tuning: str, millions: str) -> None:
    """The published 2.99 million of Rein have the link to the queries of another head: 0.46 million."""
    with torch.device("meta"):
        network = large_network(tuning)
    count = sum(each.numel() for each in network.backbone.parameters() if each.requires_grad)
    assert count == FULL_SIZE[tuning]
    assert f"adapters {millions} M, head 0.08 M" in trained_words(Holder(network))
    query_link = 1024 * 256 + 256 + 768 * 256 + 256
    assert tuning != "rein" or f"{(count + query_link) / 1e6:.2f}" == "2.99"


class Holder(nn.Module):
    """A method, as far as counting goes."""

    def __init__(self, network: SegmentationNet) -> None:
        super().__init__()
        self.network = network
        self.teacher = copy.deepcopy(network).requires_grad_(False)


def saved_for_backward(network: SegmentationNet) -> tuple[int, int]:
    """The bytes that a forward pass keeps for the backward pass, and those of the gradients after it."""
    kept: dict[int, int] = {}
    own = {each.untyped_storage()._cdata for each in [*network.parameters(), *network.buffers()]}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        features = network.backbone(PICTURES)["layer4"]
    if features.requires_grad:
        features.sum().backward()
    gradients = sum(p.grad.nbytes for p in network.parameters() if p.grad is not None)
    return sum(kept.values()), gradients


def test_frozen_weights_cost_no_gradient_and_no_graph_below_the_first_trained_block() -> None:
    def memory(tuning: dict[str, Any]) -> tuple[int, int]:
        network = tiny_network().train()
        tune(network, tuning)
        return saved_for_backward(network)

    full, gradients = memory({"name": "full"})
    assert memory({"name": "frozen"}) == (0, 0)
    all_blocks, first_gradients = memory({"name": "lora"})
    last_block, last_gradients = memory({"name": "lora", "blocks": [2]})
    assert 0 < 2.5 * last_block < all_blocks < full
    adapters = 4 * 32 * (WIDTH + 3 * WIDTH)
    assert (first_gradients, last_gradients) == (DEPTH * adapters, adapters)
    assert first_gradients < gradients


@pytest.mark.parametrize("tuning", ["full", "frozen", "lora", "soma", "rein"])
def test_gradients_and_the_optimiser_hold_bytes_of_trained_weights_alone(tuning: str) -> None:
    network = tiny_network()
    tune(network, {"name": tuning})
    network.train()
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(p for group, _ in network.parameter_groups() for p in group)
    with MostBytes() as memory:
        network(PICTURES).logits.square().mean().backward()
        optimizer.step()
    # The gradient and two moments of each.
    assert memory.held == 3 * sum(each.nbytes for each in weights)
    backbone = sum(each.nbytes for each in network.backbone.parameters())
    assert tuning == "full" or memory.held < 1.5 * backbone


@pytest.mark.parametrize("tuning", ["lora", "rein"])
def test_activations_can_be_computed_again_in_the_backward_pass(tuning: str) -> None:
    """The first block gets nothing that needs a gradient, which the older kind of checkpoints cannot do."""
    network = tiny_network()
    tune(network, {"name": tuning})
    changed(network)
    gradients = []
    for again in (False, True):
        network.zero_grad()
        network.backbone.model.set_grad_checkpointing(again)
        network.eval()(PICTURES).logits.square().mean().backward()
        gradients.append({n: p.grad for n, p in network.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.equal(gradient, gradients[1][name]) for name, gradient in gradients[0].items())


def refused(network: str, **settings: Any) -> Callable[[], None]:
    return lambda: tune(tiny_network(network), settings)


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (refused("tiny_vit", name="magic"), "^--tune magic: unknown; use one of full, frozen, head"),
        (refused("tiny_vit", name="lora", tokens=3), "^--tune lora: has no setting tokens"),
        (refused("tiny_vit", name="lora", blocks=[3]), "^--tune_blocks 3: tiny_vit has the blocks 0 to 2$"),
        (
            refused("tiny_eva", name="lora", targets=["q_proj"]),
            "^--lora_targets q_proj: .*no linear layer q_proj; they have fc1, fc2, proj, qkv$",
        ),
        (refused("tiny_vit", name="soma", rank=33), "^--rank 33: .* has 32 components; lower it$"),
        (
            lambda: tune(create_network("mobilenet_v2"), {"name": "lora"}),
            "^--tune lora: mobilenet_v2 has no transformer blocks; use --tune frozen, head or full",
        ),
        (
            lambda: tune(create_network("timm:convnext_atto"), {"name": "lora"}),
            "^--tune lora: the blocks of timm:convnext_atto have no linear layer qkv or q_proj, k_proj",
        ),
    ],
)
def test_what_a_network_lacks_is_one_line(attempt: Callable[[], None], message: str) -> None:
    with pytest.raises(UserError, match=message):
        attempt()


def test_linear_layers_of_other_networks_can_be_named() -> None:
    with torch.device("meta"):
        network, other = (create_network("timm:convnext_tiny", output_stride=32) for _ in range(2))
    tune(network, {"name": "lora", "targets": ["fc1"], "blocks": [0, 17], "rank": 2})
    assert len(trained(network)) == 4
    with pytest.raises(UserError, match="^--tune rein: needs the tokens of a plain transformer"):
        tune(other, {"name": "rein"})


def test_the_first_matrices_of_soma_are_kept_beside_the_trained_ones() -> None:
    network = tiny_network()
    tune(network, {"name": "soma"})
    first = {name: value.clone() for name, value in network.backbone.named_buffers()}
    changed(network)
    layer = network.backbone.model.blocks[2].mlp.fc1
    for name, now in ((INITIAL_A, layer.lora_a), (INITIAL_B, layer.lora_b)):
        kept = first[f"model.blocks.2.mlp.fc1.{name}"]
        assert torch.equal(kept, getattr(layer, name)) and not torch.equal(kept, now)
