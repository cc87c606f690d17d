"""Switchable whitening: its statistics, its evaluation mode, and several processes against one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from network.norm.switch_whitening import SwitchWhitening, inverse_root


def pictures() -> Tensor:
    return torch.randn(4, 32, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def mixed_layer(mean: float = 0.0, covariance: float = 0.0) -> SwitchWhitening:
    """A layer whose mixes lean to the batch (large) or to the picture (small) by these amounts."""
    layer = SwitchWhitening(32).double()
    with torch.no_grad():
        layer.sw_mean_weight[0] += mean
        layer.sw_var_weight[0] += covariance
    return layer


def group_covariances(y: Tensor) -> Tensor:
    """Of channel groups over pictures and pixels: C x H x W or B x C x H x W -> groups x 16 x 16."""
    values = y.reshape(-1, 32, 30).transpose(0, 1).reshape(2, 16, -1)
    values = values - values.mean(2, keepdim=True)
    return values @ values.transpose(1, 2) / values.shape[2]


def test_newton_iteration_approaches_the_inverse_root():
    factor = torch.randn(3, 16, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    covariance = factor @ factor.transpose(1, 2) / 200
    root = inverse_root(covariance, iterations=12)
    identity = torch.eye(16, dtype=torch.float64).expand(3, 16, 16)
    torch.testing.assert_close(root @ covariance @ root, identity, atol=1e-6, rtol=0)


def test_batch_statistics_whiten_the_batch_and_instance_statistics_each_picture():
    identity = torch.eye(16, dtype=torch.float64).expand(2, 16, 16)
    batch = mixed_layer(40, 40)
    batch.iterations = 13
    y = batch(pictures())
    torch.testing.assert_close(group_covariances(y), identity, atol=1e-3, rtol=0)
    assert y.mean((0, 2, 3)).abs().max() < 1e-6
    instance = mixed_layer(-40, -40)
    instance.iterations = 13
    for picture in instance(pictures()):
        torch.testing.assert_close(group_covariances(picture), identity, atol=1e-2, rtol=0)


def test_running_statistics_start_at_zero_and_follow_the_batch():
    layer = SwitchWhitening(32).double()
    assert layer.running_mean.abs().sum() == layer.running_cov.abs().sum() == 0
    layer(pictures())
    values = pictures().transpose(0, 1).reshape(2, 16, -1)
    torch.testing.assert_close(layer.running_mean, 0.01 * values.mean(2, keepdim=True))
    torch.testing.assert_close(layer.running_cov, 0.01 * group_covariances(pictures()))


def test_evaluation_uses_the_running_statistics_and_leaves_them():
    layer = SwitchWhitening(32, momentum=0.0).double()
    trained = layer(pictures())
    before = layer.running_cov.clone()
    torch.testing.assert_close(layer.eval()(pictures()), trained)
    assert torch.equal(layer.running_cov, before)


@pytest.mark.parametrize("channels, size", [(64, 16), (24, 8), (116, 4), (40, 8)])
def test_groups_divide_the_channels(channels: int, size: int):
    layer = SwitchWhitening(channels)
    assert layer.running_cov.shape == (channels // size, size, size)
    assert layer(torch.randn(2, channels, 4, 4)).shape == (2, channels, 4, 4)


def test_gradient_against_finite_differences():
    layer = SwitchWhitening(4).double()
    x = torch.randn(
        2, 4, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True
    )
    assert torch.autograd.gradcheck(layer, (x,))


def test_half_precision_comes_back_as_it_went_in():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = SwitchWhitening(32)(pictures().bfloat16())
    assert y.dtype == torch.bfloat16
    assert torch.isfinite(y).all()


def step(shard: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Output, input gradient, parameter gradients and running statistics of one training step on a shard."""
    layer = mixed_layer(0.3, -0.2)
    x = shard.clone().requires_grad_()
    y = layer(x)
    (y * target).sum().backward()
    gradients = {name: parameter.grad for name, parameter in layer.named_parameters()}
    return {
        "y": y.detach(),
        "x": x.grad,
        **gradients,
        "mean": layer.running_mean,
        "covariance": layer.running_cov,
    }


def one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    shards = pictures().split([3, 1])  # unequal shares
    targets = pictures().flip(0).split([3, 1])
    torch.save(step(shards[rank], targets[rank]), Path(folder) / f"{rank}.pth")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one_on_the_joint_batch(tmp_path: Path):
    mp.spawn(one_of_two, args=(str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pth", weights_only=True) for rank in (0, 1))
    joint = step(pictures(), pictures().flip(0))
    for name, expected in joint.items():
        if name in ("y", "x"):
            ours = torch.cat([first[name], second[name]])
        elif name in ("mean", "covariance"):
            torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
            ours = first[name]
        else:
            ours = first[name] + second[name]
        torch.testing.assert_close(
            ours, expected, rtol=1e-5, atol=1e-8, msg=lambda text, n=name: f"{n}: {text}"
        )
