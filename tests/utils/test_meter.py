import math

import pytest
import torch

from utils.run.meter import Meter


def test_losses_that_are_not_finite_do_not_count() -> None:
    meter = Meter()
    for main, aux in ((1.0, torch.nan), (torch.inf, torch.nan), (3.0, torch.nan)):
        meter.add({"main": torch.tensor(main), "aux": torch.tensor(aux)})
        meter.steps += 1
    values = meter.read(pictures_per_step=2)
    assert values["loss/main"] == 2.0
    assert math.isnan(values["loss/aux"])


def test_shares_of_a_step_add_up_and_a_resumed_meter_goes_on() -> None:
    meter, again = Meter(), Meter()
    meter.add({"main": torch.tensor(4.0)}, share=0.5)
    again.load_state_dict(meter.state_dict(), torch.device("cpu"))
    again.add({"main": torch.tensor(2.0)}, share=0.5)
    again.steps += 1
    assert again.read(1)["loss/main"] == pytest.approx(3.0)


def test_speed_is_that_of_the_steps_since_a_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 110.0])
    monkeypatch.setattr("utils.run.meter.time.perf_counter", lambda: next(clock))
    meter, again = Meter(start=0.0), Meter()
    meter.add({"main": torch.tensor(4.0)})
    meter.steps = 99
    again.load_state_dict(meter.state_dict(), torch.device("cpu"))
    again.restart_clock()
    again.add({"main": torch.tensor(2.0)})
    again.steps += 1
    assert again.read(pictures_per_step=2)["images/s"] == pytest.approx(0.2)
