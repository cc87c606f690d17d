"""What the optimiser is given: learning rates and weight decays, and the state of another run."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch
from examples import batch
from programs import TINY_METHODS, arguments, train_arguments

import train
from methods import METHODS, Method, Progress
from methods.engine.build import build_method, build_optimizer, placed, take_over, usable_state, wrap
from network import SegmentationNet, create_network, stated_architecture
from utils.errors import UserError
from utils.run.checkpoint import load_checkpoint


def test_dasac_has_its_four_groups() -> None:
    given = arguments("--method", "abn", "--arch", "deeplabv2_resnet101", "--lr", "0.00025")
    with torch.device("meta"):
        method = METHODS["abn"](create_network(**stated_architecture(vars(given))), given)
    groups = {
        (group["lr"] / 0.00025, group["weight_decay"]): len(group["params"])
        for group in method.parameter_groups(given.lr)
    }
    assert groups == {(1, 5e-4): 208, (2, 0): 104, (10, 5e-4): 4, (20, 0): 4}


def test_the_command_line_replaces_what_a_method_does_with_biases() -> None:
    given = arguments("--method", "abn", "--bias_lr_mult", "3", "--bias_weight_decay", "0.25", "--lr", "1")
    method = METHODS["abn"](create_network("resnet18", output_stride=32), given)
    groups = {(group["lr"], group["weight_decay"]) for group in method.parameter_groups(given.lr)}
    assert groups == {(1, 5e-4), (3, 0.25)}


def test_a_network_without_auxiliary_output_takes_no_weight_for_it() -> None:
    network = create_network("resnet18", output_stride=32, auxiliary=False)
    assert METHODS["baseline"](network, arguments()).auxiliary_weight == 0
    with pytest.raises(UserError, match="--aux_weight 0.3: .* no auxiliary"):
        METHODS["baseline"](network, arguments("--aux_weight", "0.3"))


def test_a_run_takes_over_the_state_of_another_methods_run(toycity: Path, tmp_path: Path) -> None:
    short = ["--max_iter", "2", "--eval_every", "0"]
    abn = train_arguments(toycity, tmp_path, "--method", "abn", *TINY_METHODS["abn"], *short)
    assert train.main([*abn, "--exp", "abn"]) == 0
    path = tmp_path / "default" / "abn" / "last.pth"
    sac = train_arguments(toycity, tmp_path, "--method", "sac", *TINY_METHODS["sac"], *short)
    assert train.main([*sac, "--exp", "sac", "--resume_from", str(path)]) == 0
    log = (path.parents[1] / "sac" / "log.txt").read_text()
    assert "from a run of the method abn after 2 steps" in log
    assert "took over the network and the optimiser's state of " in log
    assert "starts at step 0, with a new teacher iteration, prior, teacher\n" in log

    given = train.parse_arguments([*sac, "--resume_from", str(path)])
    method = build_method(given, create_network(**load_checkpoint(path)["network"]), fresh=True)
    optimizer = build_optimizer(method, given, torch.device("cpu"))
    take_over(method, optimizer, str(path))
    then = load_checkpoint(path)
    momenta = [state["momentum_buffer"] for state in optimizer.state.values()]
    theirs = [state["momentum_buffer"] for state in then["optimizer"]["state"].values()]
    assert len(momenta) == len(theirs) > 0
    assert all(torch.equal(ours, other) for ours, other in zip(momenta, theirs, strict=True))
    assert {group["lr"] for group in optimizer.param_groups} == {given.lr, 2 * given.lr}
    for name, value in method.network.state_dict().items():
        assert torch.equal(value, then["model"][f"network.{name}"])

    line = take_over(method, optimizer, str(path.parents[1] / "sac" / "last.pth"))
    assert "took over the network, teacher iteration, prior, teacher and the optimiser's state of " in line
    assert line.endswith("from a run of the method sac after 2 steps; this run starts at step 0")
    assert int(method.teacher_iteration) == 0


@pytest.mark.parametrize(
    ("before", "now"), [([], ["--adam"]), (["--adam"], []), (["--adam"], ["--adam", "--amsgrad"])]
)
def test_the_state_of_another_optimiser_is_left(
    before: list[str], now: list[str], toycity: Path, tmp_path: Path
) -> None:
    short = train_arguments(toycity, tmp_path, "--max_iter", "1", "--eval_every", "0")
    assert train.main([*short, "--exp", "before", *before]) == 0
    path = tmp_path / "default" / "before" / "last.pth"
    assert train.main([*short, "--exp", "now", *now, "--resume_from", str(path)]) == 0
    assert "state of 0 of " in (path.parents[1] / "now" / "log.txt").read_text()


def test_adam_takes_what_it_needs_of_the_state_of_amsgrad() -> None:
    parameter = torch.nn.Parameter(torch.rand(2))
    states = []
    for amsgrad in (True, False):
        optimizer = torch.optim.Adam([parameter], amsgrad=amsgrad)
        parameter.sum().backward()
        optimizer.step()
        states.append(optimizer.state[parameter])
    assert usable_state(optimizer, states[0], parameter).keys() == states[1].keys()
    assert usable_state(optimizer, {**states[0], "exp_avg_sq": torch.rand(3)}, parameter) is None


def test_state_is_laid_out_as_its_parameter() -> None:
    parameter = torch.nn.Parameter(torch.rand(4, 3, 3, 3).to(memory_format=torch.channels_last))
    value = torch.rand(4, 3, 3, 3)
    laid_out = placed(value, parameter)
    assert torch.equal(laid_out, value)
    assert laid_out.stride() == parameter.stride()


def test_snapshot_and_resume_from_contradict() -> None:
    with pytest.raises(UserError, match="--snapshot and --resume_from"):
        arguments("--snapshot", "a.pth", "--resume_from", "b.pth")


def small(name: str, *flags: str) -> tuple[Method, argparse.Namespace]:
    """A method around a network whose head normalises one pixel of each picture."""
    words = ["--method", name, "--backbone", "resnet18", "--output_stride", "32", "--no_pretrained", *flags]
    given = arguments(*words)
    return METHODS[name](create_network("resnet18", output_stride=32), given), given


def test_the_smaller_domain_counts_for_batch_norm() -> None:
    target = ["--target_dataset", "cityscapes", "--target_bs_mult", "1"]
    method, given = small("abn", *target, "--bs_mult", "2")
    with pytest.raises(UserError, match="--target_bs_mult 1: BatchNorm needs 2"):
        wrap(method, given, torch.device("cpu"))
    method, given = small("abn", *target, "--bs_mult", "1")
    with pytest.raises(UserError, match="--bs_mult 1: BatchNorm needs 2"):
        wrap(method, given, torch.device("cpu"))


def test_statistics_that_stay_need_no_second_picture() -> None:
    method, given = small("sac", "--target_dataset", "cityscapes", "--bs_mult", "1")
    one = {name: value[:1] for name, value in batch().items()}
    losses = wrap(method, given, torch.device("cpu"))(one, "source", Progress(0, 1, 0))
    assert all(0 < float(loss.detach()) < 10 for loss in losses.values())


@pytest.mark.parametrize(("name", "networks"), [("baseline", ["network"]), ("sac", ["network", "teacher"])])
def test_every_network_of_a_method_is_compiled(
    name: str, networks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []
    monkeypatch.setattr(SegmentationNet, "compile", lambda network, dynamic: compiled.append(network))
    method, given = small(name, "--compile")
    wrap(method, given, torch.device("cpu"))
    assert compiled == [getattr(method, each) for each in networks]
