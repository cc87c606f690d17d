"""Steps whose loss or gradients are not finite are left out, counted, and end the run when they go on."""

import pytest
import torch
from programs import arguments
from torch import nn

from methods.baseline import Baseline
from methods.engine.build import build_optimizer
from methods.engine.guard import FiniteSteps
from network import create_network
from network.norm.switch_whitening import SwitchWhitening
from utils.errors import UserError

pytestmark = pytest.mark.reliability


def make(limit: int = 3, fp16: bool = False) -> tuple[nn.Module, FiniteSteps]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return model, FiniteSteps(model, optimizer, torch.device("cpu"), fp16, limit)


def step(model: nn.Module, finite: FiniteSteps, factor: float = 1.0, name: str = "a.png") -> None:
    finite.optimizer.zero_grad()
    finite.begin()
    picture = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * factor
    finite.backward(model(picture).square().mean() * factor, [name])
    finite.step()


def everything(model: nn.Module, finite: FiniteSteps) -> list[torch.Tensor]:
    momentum = [s["momentum_buffer"] for s in finite.optimizer.state.values()]
    return [value.clone() for value in (*model.state_dict().values(), *momentum)]


@pytest.mark.parametrize("factor", [torch.nan, torch.inf])
@pytest.mark.parametrize("fp16", [False, True])
def test_a_step_that_is_not_finite_changes_nothing(factor: float, fp16: bool) -> None:
    model, finite = make(fp16=fp16)
    step(model, finite)
    before, scale = everything(model, finite), finite.scaler.get_scale()
    step(model, finite, factor)
    assert all(map(torch.equal, before, everything(model, finite)))
    assert finite.check() == 1
    assert finite.scaler.get_scale() == (scale / 2 if fp16 else 1.0)
    step(model, finite)
    assert not torch.equal(before[0], model[0].weight)
    assert finite.check() == 1


def test_a_step_is_left_out_without_a_scaler_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on mps and some of Intel's GPUs: the scaler computes in float64, which they do not have."""
    monkeypatch.setattr("methods.engine.guard.float64_device", lambda device: torch.device("meta"))
    model, finite = make()
    assert not finite.scaler.is_enabled()
    step(model, finite)
    before = everything(model, finite)
    step(model, finite, torch.nan)
    assert all(map(torch.equal, before, everything(model, finite)))
    assert finite.check() == 1
    step(model, finite)
    assert not torch.equal(before[0], model[0].weight)


def test_an_infinite_loss_with_finite_gradients_is_left_out() -> None:
    model, finite = make()
    before = model[0].weight.clone()
    finite.begin()
    finite.backward(model(torch.rand(2, 3, 4, 4)).mean() + torch.inf, ["a.png"])
    finite.step()
    assert torch.equal(before, model[0].weight)


def test_steps_equal_those_without_a_guard() -> None:
    model, finite = make()
    step(model, finite)
    plain, other = make()
    loss = plain(torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))).square().mean()
    loss.backward()
    other.optimizer.step()
    assert all(map(torch.equal, model.parameters(), plain.parameters()))


def test_too_many_in_a_row_end_the_run_and_name_the_pictures() -> None:
    model, finite = make(limit=2)
    for name, factor in (("a.png", torch.nan), ("b.png", 1.0), ("c.png", torch.nan)):
        step(model, finite, factor, name)
        finite.check()
    step(model, finite, torch.nan, "d.png")
    with pytest.raises(UserError, match=r"--max_bad_steps 2: .*pictures: c.png, d.png$"):
        finite.check()


def test_too_many_are_noticed_though_good_steps_follow() -> None:
    """The counts are looked at with the log line, some time later."""
    model, finite = make(limit=2)
    steps = (("a.png", 1.0), ("b.png", torch.nan), ("c.png", torch.nan), ("d.png", torch.nan), ("e.png", 1.0))
    for name, factor in steps:
        step(model, finite, factor, name)
    with pytest.raises(UserError, match=r"--max_bad_steps 2: .*pictures: b.png, c.png$"):
        finite.check()


def test_what_a_method_remembers_is_restored() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1))
    model.register_buffer("prior", torch.ones(4))
    finite = FiniteSteps(model, torch.optim.SGD(model.parameters(), 0.1), torch.device("cpu"), False, 3)
    for factor, expected in ((torch.nan, 1.0), (1.0, 2.0)):
        finite.optimizer.zero_grad()
        finite.begin()
        model.prior += factor
        finite.backward(model(torch.ones(1, 3, 4, 4)).mean() * factor, ["a.png"])
        finite.step()
        assert (model.prior == expected).all()


@pytest.mark.parametrize("adam", [False, True])
def test_a_first_step_that_is_left_out_leaves_nothing_behind(adam: bool) -> None:
    """A fused optimiser makes its state before it looks whether to take the step."""
    flags = ["--adam"] if adam else []
    method = Baseline(create_network("mobilenet_v2"), arguments(*flags)).train()
    optimizer = build_optimizer(method, arguments(*flags), torch.device("cpu"))
    for group in optimizer.param_groups:
        group["fused"] = True
    finite = FiniteSteps(method, optimizer, torch.device("cpu"), False, 3)
    for factor in (torch.nan, 0.0):
        optimizer.zero_grad()
        finite.begin()
        finite.backward(sum(p.sum() for p in method.parameters()) * factor, ["a.png"])
        finite.step()
    assert all(parameter.isfinite().all() for parameter in method.parameters())
    assert finite.check() == 1


def test_every_running_statistic_is_restored() -> None:
    switch = nn.Sequential(SwitchWhitening(16))
    finite = FiniteSteps(switch, torch.optim.SGD(switch.parameters(), 0.1), torch.device("cpu"), False, 3)
    before = switch[0].running_cov.clone()
    finite.begin()
    finite.backward(switch.train()(torch.full((2, 16, 4, 4), torch.nan)).sum(), ["a.png"])
    finite.step()
    assert torch.equal(switch[0].running_cov, before)


def test_its_counts_and_scale_are_remembered() -> None:
    model, finite = make(fp16=True)
    step(model, finite)
    step(model, finite, torch.nan)
    again = make(fp16=True)[1]
    again.load_state_dict(finite.state_dict())
    assert again.state_dict() == finite.state_dict()
    assert again.check() == 1
