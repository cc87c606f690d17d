import math
from unittest import mock

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


def test_waiting_is_the_time_without_work_of_the_host_or_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([2.0, 5.0, 10.0, 10.0])
    monkeypatch.setattr("utils.run.meter.time.perf_counter", lambda: next(clock))
    on_cpu, on_gpu = Meter(start=0.0), Meter(start=0.0)
    with on_cpu.waiting(torch.device("cpu")):
        pass
    first, last = mock.Mock(), mock.Mock()
    first.elapsed_time = lambda event: 500.0 if event is last and event.record.called else math.nan
    module = mock.Mock(Event=mock.Mock(side_effect=[first, last]))
    monkeypatch.setattr(torch, "get_device_module", lambda device: module)
    with on_gpu.waiting(torch.device("cuda", 0)):
        first.record.assert_called_once_with()
        last.record.assert_not_called()
    module.Event.assert_called_with(enable_timing=True)
    for meter, share in ((on_cpu, 0.3), (on_gpu, 0.05)):
        meter.add({"main": torch.tensor(1.0)})
        assert meter.read(pictures_per_step=2)["data wait"] == pytest.approx(share)
