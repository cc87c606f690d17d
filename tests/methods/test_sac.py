"""DA-SAC: what a target step teaches, what it remembers, and that processes may share it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from examples import batch, crop_batch
from processes import two_processes
from programs import arguments
from torch import Tensor, nn

from loss.self_supervision import CONFIDENCES, FUSIONS, focal_confidence_loss, pseudo_labels, refine
from methods import Progress
from methods.engine.guard import FiniteSteps
from methods.sac import AugmentationConsistency
from network import create_network
from utils.errors import UserError

FLAGS = "--method sac --target_dataset cityscapes --confidence_lower 0".split()
NETWORK = {"backbone": "mobilenet_v2", "head": "deeplabv2", "output_stride": 16}


def sac(*flags: str, **architecture: object) -> AugmentationConsistency:
    """The method around a network as after a first training: features are normalised, and classes differ."""
    torch.manual_seed(0)
    network = create_network(**{**NETWORK, **architecture}).train()
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    with torch.no_grad():
        for layer in norms:
            layer.momentum = 1
        network(network.input_spec.prepare(crop_batch()["image"].flatten(0, 1)))
        for layer in norms:
            layer.momentum = 0.1
        for parameter in network.head.parameters():
            parameter *= 5
    return AugmentationConsistency(network, arguments(*FLAGS, *flags)).train()


def at(iteration: int) -> Progress:
    return Progress(iteration, 1000, 0)


def step(method: AugmentationConsistency, domain: str = "target", iteration: int = 0) -> dict[str, Tensor]:
    """An optimiser step on one domain; its loss terms."""
    optimizer = torch.optim.SGD(method.parameter_groups(0.1), lr=0.1)
    losses = method(crop_batch() if domain == "target" else batch(), domain, at(iteration))
    sum(losses.values()).backward()
    optimizer.step()
    return losses


@pytest.mark.parametrize("domain", ["source", "target"])
def test_running_statistics_stay_while_weights_and_biases_are_trained(domain: str) -> None:
    method = sac()
    before = {name: value.clone() for name, value in method.network.state_dict().items()}
    step(method, domain)
    moved = {n for n, value in method.network.state_dict().items() if not torch.equal(value, before[n])}
    assert not any("running" in name or "num_batches" in name for name in moved)
    assert {"backbone.stem.0.1.weight", "backbone.stem.0.1.bias"} <= moved


def test_switchable_statistics_stay_too_and_instance_normalisation_is_untouched() -> None:
    method = sac(wt_layer=(0, 0, 5, 4, 0, 0, 0))
    before = {name: value.clone() for name, value in method.network.named_buffers()}
    step(method, "source")
    assert all(torch.equal(value, before[name]) for name, value in method.network.named_buffers())
    norm = method.network.backbone.site_norms["3"]
    assert norm.training and method.network.training and not method.teacher.training


def test_the_target_term_is_built_of_its_parts() -> None:
    method, pictures = sac(*"--target_weight 2 --focal_power 2 --confidence_lower 0.3".split()), crop_batch()
    loss = method(pictures, "target", at(0))["target"]
    with torch.no_grad():
        clean = method.teacher.predict(pictures["image_clean"].flatten(0, 1))
        maps = clean.softmax(1).unflatten(0, (2, 4))
        refined = refine(maps, pictures["affine"], pictures["affine_inverse"], "mean").flatten(0, 1)
        prior = maps.mean((0, 1, 3, 4))
        labels = pseudo_labels(refined, prior, 0.75, 1e-3, 0.3)
        logits = method.network.predict(pictures["image"].flatten(0, 1))
    torch.testing.assert_close(method.prior, prior)
    assert (labels.label == 255).any() and (labels.label < 255).any()
    torch.testing.assert_close(loss.detach(), 2 * focal_confidence_loss(logits, labels, prior, 2))


def test_options_make_a_difference() -> None:
    choices = [["--sac_fusion", name] for name in FUSIONS] + [
        ["--sac_confidence", n] for n in CONFIDENCES[1:]
    ]
    losses = [float(sac(*flags)(crop_batch(), "target", at(0))["target"].detach()) for flags in choices]
    assert len({round(loss, 7) for loss in losses}) == len(choices)
    assert all(0 < loss < 5 * 3 for loss in losses)


def test_padded_pixels_neither_teach_nor_count_in_the_prior() -> None:
    pictures, blacked = crop_batch(1, 1), crop_batch(1, 1)
    pictures["padding"][..., :16, :] = True
    blacked["padding"][..., :16, :] = True
    blacked["image"][..., :16, :] = blacked["image_clean"][..., :16, :] = 77
    losses, priors = [], []
    for group in (pictures, blacked):
        method = sac()
        losses.append(method(group, "target", at(0))["target"])
        priors.append(method.prior)
    assert float(losses[0].detach()) > 0
    assert torch.equal(*losses) and torch.equal(*priors)
    assert priors[0].sum() == pytest.approx(1, abs=1e-5)


def test_the_teacher_follows_at_its_steps_once_each() -> None:
    method = sac("--teacher_every", "3", "--teacher_momentum", "0.9")
    key = "head.classifier.branches.0.weight"

    def weight(network: nn.Module) -> Tensor:
        return network.state_dict()[key].clone()

    with torch.no_grad():
        for value in method.network.parameters():
            value.add_(0.01)  # As if other weights had been loaded after the method was built.
    first = weight(method.network)
    step(method, iteration=0)
    assert torch.equal(weight(method.teacher), first)
    for iteration in (0, 1, 2):
        step(method, iteration=iteration)
        assert torch.equal(weight(method.teacher), first)
    student = weight(method.network)
    for _ in range(2):  # Several batches of one step.
        method(crop_batch(), "target", at(3))
        torch.testing.assert_close(weight(method.teacher), 0.9 * first + 0.1 * student)
    assert not torch.equal(weight(method.teacher), first)


def test_the_prior_is_that_of_the_first_batch_then_follows() -> None:
    method = sac("--prior_momentum", "0.9", "--teacher_momentum", "1")
    method(crop_batch(), "target", at(0))
    first = method.prior.clone()
    assert first.sum() == pytest.approx(1, abs=1e-5)
    other = crop_batch(1, 4)
    method(other, "target", at(1))
    with torch.no_grad():
        share = method.teacher.predict(other["image_clean"].flatten(0, 1)).softmax(1).mean((0, 2, 3))
    torch.testing.assert_close(method.prior, 0.9 * first + 0.1 * share)


def test_the_prior_moves_once_in_a_step_however_many_batches_it_has() -> None:
    flags = "--prior_momentum 0.5 --teacher_momentum 1".split()
    whole, parted = sac(*flags), sac(*flags)
    for iteration, groups in enumerate(([1, 2], [2, 1])):
        pictures, before = crop_batch(3), whole.prior.clone()
        pictures["image_clean"] //= 1 + iteration
        whole(pictures, "target", at(iteration))
        for part in zip(*(value.split(groups) for value in pictures.values()), strict=True):
            parted(dict(zip(pictures, part, strict=True)), "target", at(iteration))
        torch.testing.assert_close(parted.prior, whole.prior)
        assert not torch.allclose(whole.prior, before, atol=1e-4)


@pytest.mark.reliability
def test_a_first_step_that_is_left_out_spoils_neither_teacher_nor_prior() -> None:
    method = sac("--prior_momentum", "0.5")
    with torch.no_grad():  # As if other weights had been loaded after the method was built.
        for value in (*method.network.parameters(), *method.network.buffers()):
            value.add_(1 if value.dtype == torch.int64 else 0.01)
    start = {name: value.clone() for name, value in method.network.state_dict().items()}
    method.before_training(1)
    optimizer = torch.optim.SGD(method.parameter_groups(0.1), lr=0.1)
    finite = FiniteSteps(method, optimizer, torch.device("cpu"), False, 3)

    def take_step(iteration: int, factor: float) -> tuple[Tensor, Tensor]:
        """The prior after a step, and the teacher's share of every class in its pictures."""
        pictures = crop_batch()
        pictures["image_clean"] //= 1 + iteration
        optimizer.zero_grad()
        finite.begin()
        finite.backward(method(pictures, "target", at(iteration))["target"] * factor, [])
        finite.step()
        assert all(torch.equal(value, start[name]) for name, value in method.teacher.state_dict().items())
        share = method.teacher.predict(pictures["image_clean"].flatten(0, 1)).softmax(1).mean((0, 2, 3))
        return method.prior.clone(), share

    untouched = method.prior.clone()
    assert torch.equal(take_step(0, torch.nan)[0], untouched)
    assert int(method.teacher_iteration) == -1
    first, share = take_step(1, 1.0)
    # Classes that the pictures hardly have keep half of their first prior, 0.001.
    torch.testing.assert_close(first, share, rtol=0, atol=0.001)
    assert int(method.teacher_iteration) == 1
    second, share = take_step(2, 1.0)
    torch.testing.assert_close(second, 0.5 * first + 0.5 * share)
    assert not torch.allclose(second, share, atol=1e-4)
    assert int(method.teacher_iteration) == 1 and finite.check() == 1


def test_a_run_started_from_the_first_steps_of_another_moves_their_teacher() -> None:
    first, other = sac(), sac()
    step(first)
    other.load_state_dict(first.state_dict())
    key = "head.classifier.branches.0.weight"
    before, student = (network.state_dict()[key].clone() for network in (other.teacher, other.network))
    other(crop_batch(), "target", at(0))
    after = other.teacher.state_dict()[key]
    torch.testing.assert_close(after, 0.99 * before + 0.01 * student)
    assert not torch.equal(after, before)


def test_the_teacher_has_the_network_s_names_and_is_not_trained() -> None:
    method = sac()
    names = {n.removeprefix("teacher.") for n in method.state_dict() if n.startswith("teacher.")}
    assert names == set(method.network.state_dict())
    trained = {id(parameter) for group in method.parameter_groups(0.1) for parameter in group["params"]}
    assert not trained & {id(parameter) for parameter in method.teacher.parameters()}


def test_a_run_is_remembered() -> None:
    method, other = sac(), sac()
    step(method)
    step(method, iteration=100)
    other.load_state_dict(method.state_dict())
    losses = [each(crop_batch(), "target", at(200))["target"] for each in (method, other)]
    assert torch.equal(*losses)
    assert torch.equal(other.prior, method.prior)


def test_what_it_shows() -> None:
    method, palette = sac(), np.arange(57, dtype=np.uint8).reshape(19, 3)
    step(method)
    method.eval()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    (picture,) = method.pictures(crop_batch(), palette).values()
    assert (picture.width, picture.height) == (7 * 32, 4 * 32)
    pixels, clean = np.asarray(picture), crop_batch()["image_clean"][0, 2]
    assert np.array_equal(pixels[64:96, :32], clean.permute(1, 2, 0).numpy())
    assert set(np.unique(pixels[:, 64:128])) <= set(range(57))
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    scalars = method.scalars()
    assert float(scalars["class_prior/03"]) == float(method.prior[3])
    assert float(scalars["teacher_distance"]) > 0


def test_it_shows_itself_in_mixed_precision() -> None:
    method, palette = sac(), np.arange(57, dtype=np.uint8).reshape(19, 3)
    step(method)
    method.eval()
    with torch.autocast("cpu", torch.bfloat16):
        (picture,) = method.pictures(crop_batch(), palette).values()
    (full,) = method.pictures(crop_batch(), palette).values()
    assert picture.size == full.size
    assert picture.crop((0, 0, 64, 128)).tobytes() == full.crop((0, 0, 64, 128)).tobytes()
    assert picture.tobytes() != full.tobytes()


@pytest.mark.parametrize(
    "architecture",
    [
        {"backbone": "resnet18", "head": "deeplabv3plus", "wt_layer": (0, 0, 2, 2, 0, 0, 0)},
        {"backbone": "resnet18", "head": "aggregation", "snr_stages": (1,)},
        {"backbone": "vgg16_bn", "head": "fcn8s", "output_stride": 32, "auxiliary": False},
    ],
    ids=["whitening", "restitution", "fcn8s"],
)
def test_every_kind_of_network_even_of_one_crop(architecture: dict[str, object]) -> None:
    torch.manual_seed(0)
    method = AugmentationConsistency(create_network(**architecture), arguments(*FLAGS)).train()
    losses = method(crop_batch(1, 1), "target", at(0))
    losses["target"].backward()
    assert float(losses["target"].detach()) > 0
    assert method.prior.sum() == pytest.approx(1, abs=1e-4)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in method.network.backbone.parameters())


def test_biases_learn_twice_as_fast_without_decay() -> None:
    groups = {
        name: (round(group["lr"], 6), group["weight_decay"])
        for group in sac("--weight_decay", "0.0005").parameter_groups(0.1)
        for name in group["names"]
    }
    assert groups["network.backbone.stem.0.0.weight"] == (0.1, 0.0005)
    assert groups["network.backbone.stem.0.1.bias"] == (0.2, 0)
    assert groups["network.head.classifier.branches.0.weight"] == (1.0, 0.0005)
    assert groups["network.head.classifier.branches.0.bias"] == (2.0, 0)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--teacher_momentum 1.1", "--teacher_momentum 1.1"),
        ("--confidence_upper -1", "--confidence_upper -1.0"),
        ("--group_size 0", "--group_size 0"),
        ("--teacher_every 0", "--teacher_every 0"),
        ("--threshold_beta 0", "--threshold_beta 0.0"),
        ("--focal_power -1", "--focal_power -1.0"),
        ("--processes_per_group 3", "--processes_per_group 3: .*--group_size 4"),
        ("--processes_per_group 2", "--processes_per_group 2: .*number of processes, 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(flags: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        sac(*flags.split())


def test_two_processes_do_what_one_does(project: Path, tmp_path: Path) -> None:
    """Sharing each group's crops, under either fusion, or with a group each."""
    cases = {
        "shared": ["--processes_per_group", "2"],
        "shared_min_entropy": ["--processes_per_group", "2", "--sac_fusion", "min_entropy"],
        "own_groups": [],
    }
    expected, content = {}, {}
    for name, flags in cases.items():
        method = sac(*[flag for flag in flags if flag not in ("--processes_per_group", "2")])
        weights = {key: value.clone() for key, value in method.network.state_dict().items()}
        loss = method(crop_batch(), "target", at(0))["target"]
        loss.backward()
        gradients = {key: p.grad for key, p in method.named_parameters() if p.grad is not None}
        expected[name] = {"loss": loss.detach(), "prior": method.prior, **gradients}
        words = [*FLAGS, *flags]
        content[name] = {"network": NETWORK, "flags": words, "weights": weights, "batch": crop_batch()}
    torch.save(content, tmp_path / "cases.pth")
    two_processes(project, "tests/sac_worker.py", str(tmp_path))
    for name, values in expected.items():
        result = torch.load(tmp_path / f"{name}.pth", weights_only=True)
        assert result.keys() == values.keys() and len(values) > 100
        assert float(values["loss"]) > 0
        for key, value in values.items():
            assert (result[key] - value).abs().max() <= 1e-5 * value.abs().max(), f"{name} {key}"


@pytest.mark.parametrize(("flags", "warned"), [([], True), (["--resume_from", "abn.pth"], False)])
def test_a_run_without_a_start_is_warned(
    flags: list[str], warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    sac(*flags).before_training(1)
    assert ("start with --resume_from" in capsys.readouterr().out) == warned
