"""Small checkpoints: what they leave out, that it comes back to the bit, and what is said if it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from programs import TINY_METHODS, TUNABLE_METHODS, arguments
from safetensors.torch import save_file
from tiny_transformers import changed, large_network, tiny_network
from torch import nn

import network as package
from methods import Method
from methods.engine.build import build_method
from network import create_network
from network.base_weights import as_saved, left_out, saves_all
from network.restore import load_network, load_start
from utils.errors import UserError
from utils.run.checkpoint import load_checkpoint, save_checkpoint
from utils.run.tensor_file import digest_of

TUNINGS = ["frozen", "lora", "soma", "rein"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights for the tiny transformer."""
    file = tmp_path_factory.mktemp("base") / "vit.pth"
    torch.save(tiny_network().backbone.state_dict(), file)
    return file


def built(base: Path, *flags: str, method: str = "baseline", fresh: bool = True) -> Method:
    """A method as train.py starts it, on the tiny transformer with the weights of a file."""
    words = ["--backbone", "tiny_vit", "--backbone_weights", str(base), "--method", method]
    settings = arguments(*words, *TUNABLE_METHODS[method], *flags)
    return build_method(settings, create_network("tiny_vit", head="linear", wt_layer=[0] * 7), fresh)


def write(method: Method, path: Path, wanted: str | None = None) -> dict[str, Any]:
    """A checkpoint of ``method``; returns what the file holds."""
    net = method.network
    content = {"network": net.config, "model": method.state_dict(), "optimizer": {}}
    save_checkpoint(path, as_saved(content, net, saves_all(net, wanted), resumable=False))
    return load_checkpoint(path)


@pytest.mark.parametrize("tuning", TUNINGS)
def test_what_was_left_out_comes_back_to_the_bit(base: Path, tmp_path: Path, tuning: str) -> None:
    method = built(base, "--tune", tuning)
    changed(method)
    content = write(method, tmp_path / "small.pth")
    frozen = {f"network.backbone.model.blocks.0.{n}" for n in ("norm1.weight", "mlp.fc2.weight")}
    assert not frozen & content["model"].keys() and "optimizer" not in content
    assert {"network.backbone.model.pos_embed", "network.head.classifier.weight"} <= content["model"].keys()
    loaded, checkpoint = load_network(tmp_path / "small.pth", backbone_weights=base)
    state = method.network.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())
    assert checkpoint["model"].keys() == method.state_dict().keys()
    own = {key: value for key, value in checkpoint.items() if key != "model"}
    assert own == {key: value for key, value in content.items() if key != "model"}


def test_a_remainder_has_the_same_bits_in_any_order_of_the_machine(base: Path) -> None:
    """Four threads add matrix products in another order than one; the remainder does not change."""
    first = built(base, "--tune", "soma").network.state_dict()
    second = built(base, "--tune", "soma").network.state_dict()
    b, a = (first[f"backbone.model.blocks.2.mlp.fc1.initial_{each}"] for each in "ba")
    plain = torch.load(base, weights_only=True)["model.blocks.2.mlp.fc1.weight"].double()
    exact = plain.clone()
    for place in range(b.shape[1]):
        exact -= torch.outer(b[:, place].double(), a[place].double())
    assert torch.equal(first["backbone.model.blocks.2.mlp.fc1.weight"], exact.float())
    fixed = [name for name in first if "lora" not in name]
    assert all(torch.equal(first[name], second[name]) for name in fixed if "backbone" in name)


def test_a_teacher_leaves_out_the_same(base: Path, tmp_path: Path) -> None:
    method = built(base, "--tune", "soma", method="sac")
    changed(method.network)
    method.before_training(1.0)
    changed(method.network)
    content = write(method, tmp_path / "small.pth")
    assert not any(key.endswith("blocks.0.norm1.weight") for key in content["model"])
    for teacher, module in ((False, method.network), (True, method.teacher)):
        loaded, _ = load_network(tmp_path / "small.pth", teacher=teacher, backbone_weights=base)
        state = module.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())


def test_a_run_can_start_from_a_small_file_and_write_small_files_again(base: Path, tmp_path: Path) -> None:
    method = built(base, "--tune", "lora")
    changed(method)
    content = write(method, tmp_path / "small.pth")
    started = built(base, "--tune", "lora", "--snapshot", str(tmp_path / "small.pth"))
    assert differences(started, method) == []
    assert write(started, tmp_path / "again.pth")["base"] == content["base"]


def test_another_method_goes_on_with_a_small_file(base: Path, tmp_path: Path) -> None:
    method = built(base, "--tune", "soma", method="abn")
    changed(method)
    content = write(method, tmp_path / "small.pth")
    file = str(tmp_path / "small.pth")
    other = built(base, "--tune", "soma", "--resume_from", file, method="sac")
    load_start(other, file, backbone_weights=base)
    assert differences(other.network, method.network) == []
    assert other.network.base == content["base"]


@pytest.mark.parametrize("tuning", ["lora", "soma"])
def test_a_tuned_run_can_start_from_a_plain_checkpoint(base: Path, tmp_path: Path, tuning: str) -> None:
    plain = built(base)
    changed(plain)
    write(plain, tmp_path / "plain.pth")
    started = built(base, "--tune", tuning, "--snapshot", str(tmp_path / "plain.pth"))
    pictures = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        of_plain, of_tuned = (each.network.eval()(pictures).logits for each in (plain, started))
    torch.testing.assert_close(of_tuned, of_plain)
    # Nobody could load these weights again, so the checkpoints hold all of them.
    assert len(write(started, tmp_path / "tuned.pth")["model"]) == len(started.state_dict())
    with pytest.raises(UserError, match="^--save trained: the frozen weights are not those of a known"):
        saves_all(started.network, "trained")


def differences(method: nn.Module, other: nn.Module) -> list[str]:
    theirs = other.state_dict()
    return [name for name, value in method.state_dict().items() if not torch.equal(value, theirs[name])]


def test_all_is_saved_where_it_is_asked_for_or_nothing_is_frozen(base: Path, tmp_path: Path) -> None:
    tuned = built(base, "--tune", "lora")
    content = write(tuned, tmp_path / "full.pth", "full")
    assert content["model"].keys() == tuned.state_dict().keys() and "optimizer" in content
    loaded, _ = load_network(tmp_path / "full.pth")
    assert all(torch.equal(value, tuned.network.state_dict()[n]) for n, value in loaded.state_dict().items())
    assert len(write(built(base), tmp_path / "plain.pth")["model"]) == len(built(base).state_dict())
    # --freeze_trunk wrote whole files before there was any tuning.
    head = built(base, "--freeze_trunk")
    assert head.network.config["tuning"] == {"name": "head"}
    assert len(write(head, tmp_path / "head.pth")["model"]) == len(head.state_dict())
    assert len(write(head, tmp_path / "small.pth", "trained")["model"]) < len(head.state_dict())
    with pytest.raises(UserError, match="^--save trained: everything is trained here"):
        saves_all(built(base).network, "trained")


@pytest.fixture
def small(base: Path, tmp_path: Path) -> Path:
    write(built(base, "--tune", "lora"), tmp_path / "small.pth")
    return tmp_path / "small.pth"


def other_weights(path: Path, base: Path) -> None:
    state = torch.load(base, weights_only=True)
    state["model.blocks.1.mlp.fc1.weight"][3, 2] += 1e-6
    torch.save(state, path)


def fewer_weights(path: Path, base: Path) -> None:
    state = torch.load(base, weights_only=True)
    del state["model.blocks.1.mlp.fc1.weight"]
    torch.save(state, path)


NEEDS = "small.pth: needs the weights it was trained on"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (None, f"{NEEDS}, of the file vit.pth; pass it with --backbone_weights$"),
        (lambda path, base: None, f"{NEEDS}: --backbone_weights .*no such file; pass them with"),
        (other_weights, f"{NEEDS}, but .*others, with another digest; .*the file was called vit.pth"),
        (fewer_weights, f"{NEEDS}: .*1 of 40 entries of tiny_vit are absent .*; pass them with"),
        (
            lambda path, base: path.write_bytes(base.read_bytes()[:5000]) and None,
            f"{NEEDS}: --backbone_weights .*damaged.*; pass them with --backbone_weights FILE$",
        ),
    ],
)
def test_wrong_base_weights_are_one_line(
    small: Path, base: Path, tmp_path: Path, make: Callable[[Path, Path], None] | None, message: str
) -> None:
    given = None if make is None else tmp_path / "given.pth"
    if make is not None:
        make(given, base)
    with pytest.raises(UserError, match=message):
        load_network(small, backbone_weights=given)
    with pytest.raises(UserError, match=message):
        package.load(small, "cpu", backbone_weights=given)


def test_resampled_weights_are_stored_so_any_machine_may_resample_the_others_its_own_way(
    small: Path, base: Path, tmp_path: Path
) -> None:
    state = torch.load(base, weights_only=True)
    expected = state["model.pos_embed"].clone()
    state["model.pos_embed"] += 1e-6
    torch.save(state, tmp_path / "resampled.pth")
    loaded, _ = load_network(small, backbone_weights=tmp_path / "resampled.pth")
    assert torch.equal(loaded.backbone.model.pos_embed, expected)


def test_base_weights_may_be_a_safetensors_file(small: Path, base: Path, tmp_path: Path) -> None:
    save_file(torch.load(base, weights_only=True), tmp_path / "vit.safetensors")
    loaded, _ = load_network(small, backbone_weights=tmp_path / "vit.safetensors")
    assert loaded.config["tuning"]["name"] == "lora"


def test_weights_known_by_name_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = torchvision.models.mobilenet_v2(weights=None).state_dict()
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: dict(library))
    words = ["--method", "baseline", "--backbone", "mobilenet_v2", "--tune", "frozen"]
    method = build_method(arguments(*words), create_network("mobilenet_v2"), True)
    content = write(method, tmp_path / "small.pth")
    assert content["base"]["file"] is None and content["base"]["backbone"] == "mobilenet_v2"
    loaded, _ = load_network(tmp_path / "small.pth")
    state = method.network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())
    library["features.5.conv.0.0.weight"] = library["features.5.conv.0.0.weight"] + 1
    with pytest.raises(UserError, match="but those of mobilenet_v2 that are found now are others"):
        load_network(tmp_path / "small.pth")


@pytest.mark.parametrize(("tuning", "megabytes"), [("lora", 20.2), ("rein", 17.8), ("soma", 46.0)])
def test_files_of_the_largest_common_transformer_are_small(tuning: str, megabytes: float) -> None:
    """DINOv2-L for crops of 512, with the linear head. The whole network has 1.2 GB."""
    with torch.device("meta"):
        network = large_network(tuning)
    without = set(left_out(network))
    size = sum(value.nbytes for name, value in network.state_dict().items() if name not in without)
    assert round(size / 1e6, 1) == megabytes
    assert tuning == "soma" or size < 30e6


def test_a_digest_depends_on_names_types_shapes_and_bytes_alone() -> None:
    state = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}
    digest = digest_of(state)
    assert digest == digest_of(dict(reversed(state.items())))
    assert digest == digest_of({**state, "a": state["a"].T.contiguous().T})
    others = [
        {**state, "a": state["a"].reshape(3, 2)},
        {**state, "a": state["a"].half()},
        {**state, "b": torch.tensor(4)},
        {"a": state["a"], "c": state["b"]},
        {"a": state["a"]},
    ]
    assert len({digest, *map(digest_of, others)}) == 1 + len(others)


@pytest.mark.parametrize("flag", ["--freeze_trunk", "--tune=frozen", "--tune=head"])
def test_whitening_has_to_train_the_backbone(base: Path, flag: str) -> None:
    settings = arguments("--arch", "network.deepv3.DeepR18V3PlusD", *TINY_METHODS["isw"], flag)
    network = create_network("resnet18", wt_layer=(0, 0, 2, 2, 2, 0, 0))
    with pytest.raises(UserError, match=f"^{flag.replace('=', ' ')}: freezes the backbone, which whitening"):
        build_method(settings, network, fresh=False)
