"""The device of ``--device``: which it is, what a missing one is told, and what each kind can do.

No GPU is needed: what PyTorch says is there is put in place of what is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from comparison import differing
from inference import write_checkpoint
from programs import TINY_METHODS, arguments, train_arguments

import config
import infer
import train
import valid
from datasets.domains import Domains
from datasets.training import TrainingLoaders
from methods.engine.build import placed, restore_optimizer
from methods.isw import InstanceSelectiveWhitening
from network import create_network
from scripts import importance
from scripts.benchmark.__main__ import main as benchmark
from utils.device import device_name, kind_of, memory_format, moved, pins_memory, select_device
from utils.distributed import process_backend
from utils.errors import UserError
from utils.run.checkpoint import load_checkpoint

MODULES = {"cuda": torch.cuda, "xpu": torch.xpu, "mps": torch.backends.mps}
Machine = Callable[..., list[torch.device]]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Lets PyTorch see two devices of each of the kinds named; returns those that become the current one."""

    def see(*kinds: str) -> list[torch.device]:
        current: list[torch.device] = []
        for kind, module in MODULES.items():
            monkeypatch.setattr(module, "is_available", lambda kind=kind: kind in kinds)
            if kind != "mps":
                monkeypatch.setattr(module, "device_count", lambda: 2)
                monkeypatch.setattr(module, "set_device", current.append)
        return current

    return see


@pytest.mark.parametrize(
    ("kinds", "chosen"),
    [
        (("mps", "xpu", "cuda"), "cuda:0"),
        (("mps", "xpu"), "xpu:0"),
        (("mps",), "mps"),
        ((), "cpu"),
    ],
)
def test_auto_takes_the_first_that_is_there(kinds: Sequence[str], chosen: str, machine: Machine) -> None:
    machine(*kinds)
    assert select_device() == torch.device(chosen)
    assert select_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("kind", ["cuda", "xpu"])
def test_each_process_takes_a_device_of_its_own(kind: str, machine: Machine) -> None:
    current = machine(kind)
    assert select_device("auto", 1, processes=2) == torch.device(kind, 1)
    assert current == [torch.device(kind, 1)]
    with pytest.raises(
        UserError, match="--nproc_per_node: more processes than GPUs, 2 visible; start at most 2"
    ):
        select_device(kind, 2, processes=3)


def test_several_processes_on_a_mac(machine: Machine) -> None:
    machine("mps")
    assert select_device("auto", 1, processes=2) == torch.device("cpu")
    with pytest.raises(UserError, match="--device mps: serves one process alone"):
        select_device("mps", 1, processes=2)


@pytest.mark.parametrize(
    ("kind", "built", "reason"),
    [
        ("cuda", False, "it is built without cuda; install a build with it"),
        ("cuda", True, "driver is too old for it .nvidia-smi shows both., or CUDA_VISIBLE_DEVICES hides it"),
        ("xpu", False, "it is built without xpu; install a build with it"),
        ("xpu", True, "xpu-smi shows both.*ZE_AFFINITY_MASK"),
        ("mps", False, "this is not a Mac"),
        ("mps", True, "it needs macOS 14"),
    ],
)
def test_a_device_that_is_not_there_is_told_with_the_likely_reason(
    kind: str, built: bool, reason: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine()
    for name in ("cuda", "hip", "xpu"):
        monkeypatch.setattr(torch.version, name, "1.0" if built and name == kind else None, raising=False)
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: built)
    with pytest.raises(UserError, match=f"^--device {kind}: this PyTorch sees no such device; .*{reason}"):
        kind_of(kind)


def test_a_build_for_amd_is_a_build_with_cuda(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine()
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", "6.4")
    with pytest.raises(UserError, match="driver is too old"):
        kind_of("cuda")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (train.main, "--dataset gtav"),
        (valid.main, "--snapshot none.pth"),
        (infer.main, "--snapshot none.pth --input none.png --output none"),
        (importance.main, "--snapshot none.pth --dataset gtav --output {}/none.json"),
        (benchmark, "losses"),
    ],
)
def test_every_program_has_the_flag(
    program: Callable[[Sequence[str]], int], words: str, machine: Machine, tmp_path: Path
) -> None:
    machine("cuda")
    with pytest.raises(UserError, match="^--device xpu: this PyTorch sees no such device"):
        program([*words.format(tmp_path).split(), "--device", "xpu"])
    with pytest.raises(UserError, match="--device: invalid choice: 'gpu'"):
        program([*words.format(tmp_path).split(), "--device", "gpu"])


@pytest.mark.parametrize(
    ("device", "present", "backend"),
    [
        ("cpu", ("nccl",), "gloo"),
        ("cuda:1", ("nccl",), "nccl"),
        ("cuda:1", (), "gloo"),  # On Windows.
        ("xpu:0", ("xccl",), "cpu:gloo,xpu:xccl"),
    ],
)
def test_what_carries_tensors_between_processes(
    device: str, present: Sequence[str], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dist, "is_backend_available", present.__contains__)
    assert process_backend(torch.device(device)) == backend


def test_an_older_pytorch_for_intel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, "is_backend_available", lambda name: False)
    with pytest.raises(UserError, match="--device xpu: this PyTorch has no xccl"):
        process_backend(torch.device("xpu", 0))


@pytest.mark.parametrize(("kind", "waits"), [("cuda", False), ("xpu", False), ("mps", True)])
def test_only_a_mac_waits_for_copies(kind: str, waits: bool) -> None:
    tensor = mock.Mock()
    moved(tensor, torch.device(kind))
    tensor.to.assert_called_once_with(torch.device(kind), non_blocking=not waits)


def test_layout_and_pinned_memory(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine("cuda", "mps")
    assert [pins_memory(word) for word in ("auto", "cuda", "mps", "cpu")] == [True, True, False, False]
    assert memory_format(True, torch.device("cuda")) == torch.channels_last
    assert memory_format(True, torch.device("mps")) == torch.contiguous_format
    assert memory_format(False, torch.device("cuda")) == torch.contiguous_format
    assert memory_format(None, torch.device("cuda")) == torch.contiguous_format
    assert memory_format(None, torch.device("cpu")) == torch.channels_last
    assert memory_format(False, torch.device("cpu")) == torch.contiguous_format
    monkeypatch.setattr(torch.cuda, "get_device_name", str)
    assert device_name(torch.device("cuda", 1)) == "cuda:1"
    assert device_name(torch.device("mps")) == "Apple GPU"
    assert device_name(torch.device("cpu")) == f"{torch.get_num_threads()} CPU threads"


def test_loaders_pin_for_the_device_that_is_asked_for(
    toycity: Path, tmp_path: Path, machine: Machine
) -> None:
    machine("cuda")
    for word, pins in (("auto", True), ("cpu", False)):
        flags = TINY_METHODS["abn"]
        args = train.parse_arguments(train_arguments(toycity, tmp_path, "--device", word, *flags))
        data = Domains(args, {}, config.TOYCITY_ROOT)
        loaders = TrainingLoaders(data, args, ("image",), domains=("source", "target"))
        every = (loaders.loader, loaders.target.loader, data.evaluation_loader("gtav"))
        assert [loader.pin_memory for loader in every] == [pins] * 3


def test_the_statistics_of_isw_stay_precise_where_the_device_has_no_float64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The meta device stands for one: whatever is added up there is lost."""
    args = arguments("--method", "isw", "--wt_layer", "0", "0", "2", "2", "2", "0", "0")
    method = InstanceSelectiveWhitening(create_network("mobilenet_v2", wt_layer=args.wt_layer), args).eval()
    crops = torch.randint(0, 256, (2, 1, 3, 32, 32), dtype=torch.uint8)
    pair = {"image": crops[0], "image_jittered": crops[1]}
    seen = mock.Mock(return_value=torch.device("meta"))
    monkeypatch.setattr("methods.isw.float64_device", seen)
    variances = method.mean_pair_variance([pair], [2])
    seen.assert_called_once_with(torch.device("cpu"))
    assert (variances[2].device.type, variances[2].dtype) == ("meta", torch.float64)


def test_a_run_goes_on_with_what_suits_the_new_device(tmp_path: Path) -> None:
    """The optimiser of a GPU is fused; its state must not make that of another device so."""
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight], fused=False)
    weight.grad = torch.ones(2)
    optimizer.step()
    state = optimizer.state_dict()
    state["param_groups"][0]["fused"] = True
    restore_optimizer(optimizer, state, tmp_path)
    assert optimizer.param_groups[0]["fused"] is False
    there = torch.nn.Parameter(torch.ones(2, device="meta"))
    step = optimizer.state[weight]["step"]
    assert placed(step, there, fused=True).device.type == "meta"
    assert placed(step, there, fused=False).device.type == "cpu"


def test_losses_do_not_depend_on_device_word_and_workers(toycity: Path, tmp_path: Path) -> None:
    """Three steps in this process, then two with two workers and a third after a resume without."""
    more = ["--max_iter", "3", "--eval_every", "0", "--save_every", "1", "--log_every", "3"]
    alone, many = (train_arguments(toycity, tmp_path / name, *more) for name in ("alone", "many"))
    assert train.main(alone) == 0
    assert train.main([*many, "--num_workers", "2", "--iter_stop", "2"]) == 0
    assert train.main([*many, "--resume", "auto", "--device", "cpu"]) == 0
    ends = [load_checkpoint(tmp_path / name / "default" / "tiny" / "last.pth") for name in ("alone", "many")]
    for part in ("model", "optimizer", "iteration"):
        assert differing(ends[0][part], ends[1][part]) == []
    logs = [(tmp_path / name / "default" / "tiny" / "log.txt").read_text() for name in ("alone", "many")]
    lines = [next(line for line in log.splitlines() if "[iter 3" in line) for log in logs]
    assert lines[0].partition(", images/s")[0] == lines[1].partition(", images/s")[0]


def test_programs_without_loader_processes(toycity: Path, tmp_path: Path) -> None:
    snapshot = str(write_checkpoint(tmp_path / "tiny.pth"))
    data = ["--snapshot", snapshot, "--data_root", str(toycity), "--num_workers", "0", "--device", "cpu"]
    assert valid.main([*data, "--val_dataset", "gtav"]) == 0
    assert importance.main([*data, "--dataset", "gtav", "--output", str(tmp_path / "weights.json")]) == 0


def test_loaders_whose_processes_are_started_anew(toycity: Path, tmp_path: Path) -> None:
    """As on Windows and macOS: what the processes need is pickled."""
    more = [*TINY_METHODS["sac"], "--method", "sac", "--max_bad_samples", "1"]
    args = train.parse_arguments(train_arguments(toycity, tmp_path, *more))
    data = Domains(args, {}, config.TOYCITY_ROOT)
    loaders = TrainingLoaders(
        data, args, ("image",), domains=("source", "target"), target_transform="multi_crop"
    )
    for loader in (loaders.loader, loaders.target.loader):
        alone = list(loader)
        # Persistent processes would outlive the test.
        loader.num_workers, loader.prefetch_factor, loader.multiprocessing_context = 1, 2, "spawn"
        for one, other in zip(alone, loader, strict=True):
            assert differing(one, other) == []
