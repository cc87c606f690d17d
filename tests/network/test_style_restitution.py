"""Style normalisation and restitution: its three features, its gate, its start."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from network.norm.snr import StyleRestitution

PARAMETERS = {
    "norm.weight",
    "norm.bias",
    "gate.fc1.weight",
    "gate.fc1.bias",
    "gate.fc2.weight",
    "gate.fc2.bias",
}


def features() -> Tensor:
    """Float64, as a stage gives them: after a ReLU, with channels of different brightness."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 32, 5, 6, generator=generator, dtype=torch.float64)
    return torch.relu(3 * x + torch.arange(32).view(1, -1, 1, 1) / 8)


def layer(gate: float | None = None) -> StyleRestitution:
    """With other parameters than at the start; with the gate held at 0 or 1 if given."""
    torch.manual_seed(1)
    result = StyleRestitution(32).double()
    with torch.no_grad():
        for parameter in result.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
        if gate is not None:
            result.gate.fc2.bias.fill_(1e3 if gate else -1e3)
    return result


def test_equals_the_formula():
    module, x = layer(), features()
    restituted, contaminated, normalised = module(x)
    fc1, fc2 = module.gate.fc1, module.gate.fc2
    expected = F.instance_norm(x, weight=module.norm.weight, bias=module.norm.bias, eps=1e-5)
    residual = x - expected
    squeezed = F.relu(residual.mean((2, 3)) @ fc1.weight.flatten(1).t() + fc1.bias)
    gate = torch.sigmoid(squeezed @ fc2.weight.flatten(1).t() + fc2.bias)[:, :, None, None]
    assert fc1.out_channels == 2
    assert 0 < gate.min() < gate.max() < 1
    torch.testing.assert_close(module.gate(residual), gate)
    torch.testing.assert_close(normalised, expected)
    torch.testing.assert_close(restituted, expected + gate * residual)
    torch.testing.assert_close(contaminated, expected + (1 - gate) * residual)


def test_useful_and_useless_part_make_up_the_residual():
    x = features()
    restituted, contaminated, normalised = layer()(x)
    torch.testing.assert_close(restituted + contaminated, 2 * normalised + (x - normalised))


def test_an_open_gate_is_the_identity_and_a_shut_one_instance_normalisation():
    x = features()
    opened, shut = layer(gate=1)(x), layer(gate=0)(x)
    torch.testing.assert_close(opened.restituted, x)
    torch.testing.assert_close(opened.contaminated, opened.normalised)
    torch.testing.assert_close(shut.restituted, shut.normalised)
    torch.testing.assert_close(shut.contaminated, x)


@pytest.mark.parametrize("channels", [256, 512, 1024])
def test_starts_near_the_middle_of_identity_and_normalisation(channels: int):
    torch.manual_seed(0)
    module = StyleRestitution(channels)
    assert {name for name, _ in module.named_parameters()} == PARAMETERS == set(module.state_dict())
    assert torch.equal(module.norm.weight, torch.ones(channels))
    assert torch.equal(module.norm.bias, torch.zeros(channels))
    for convolution in (module.gate.fc1, module.gate.fc2):
        assert convolution.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert abs(convolution.weight.mean().item()) < 0.001
        assert convolution.bias.abs().max() > 0
    gate = module.gate(torch.randn(2, channels, 4, 4))
    assert gate.mean().item() == pytest.approx(0.5, abs=0.05)


def test_three_stages_of_a_resnet_have_the_published_number_of_parameters():
    modules = [StyleRestitution(channels) for channels in (256, 512, 1024)]
    assert sum(parameter.numel() for module in modules for parameter in module.parameters()) == 177_520


def test_a_narrow_stage_keeps_one_hidden_channel():
    module = StyleRestitution(12)
    assert module.gate.fc1.out_channels == 1
    assert module(torch.randn(2, 12, 4, 4)).restituted.shape == (2, 12, 4, 4)


def test_pictures_of_a_batch_do_not_see_one_another_in_training_or_evaluation():
    module, x = layer(), features()
    together = module.train()(x)
    for index, picture in enumerate(x):
        for part, alone in zip(together, module.train()(picture[None]), strict=True):
            torch.testing.assert_close(part[index], alone[0])
        evaluated = module.eval()(picture[None])
        torch.testing.assert_close(evaluated.restituted[0], together.restituted[index])
        torch.testing.assert_close(evaluated.normalised[0], together.normalised[index])
        assert evaluated.contaminated is None


@pytest.mark.parametrize("part", ["restituted", "contaminated"])
def test_every_parameter_is_trained(part: str):
    module = layer()
    getattr(module(features()), part).square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in module.parameters())


def test_gradient_against_finite_differences():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(2, 4, 2, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(2)
    assert torch.autograd.gradcheck(StyleRestitution(4).double(), (x,))


def test_runs_in_half_precision_under_autocast():
    module, x = layer().float(), features().float()
    expected = module(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        parts = module(x.bfloat16())
    for part, exact in zip(parts, expected, strict=True):
        torch.testing.assert_close(part.float(), exact, rtol=0.05, atol=0.1)
