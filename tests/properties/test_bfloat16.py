"""What bfloat16 changes: of losses nothing but their inputs' rounding, of networks and training steps little.

A number in bfloat16 is wrong by up to 0.4 %. Networks have the statistics they are made with: BatchNorm that
normalises a few pictures by themselves amplifies any rounding, of whichever precision, in a random network.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from loss_table import CASES
from PIL import Image
from programs import TINY_METHODS, arguments
from torch import Tensor, nn
from torch.nn import functional as F

from methods import METHODS, Method, Progress
from network import create_network, stated_architecture
from network.backbone import BACKBONES
from network.head import HEADS
from network.sites import NO_SITES
from tests.reliability_tables import DRIFT
from transforms.multi_crop import MultiCropTransform
from utils.seeding import generator, seed_step

pytestmark = pytest.mark.reliability

# Relative differences of a loss, of its gradient's norm, and of the gradient as a vector.
LOSS, NORM, GRADIENT = 0.005, 0.01, 0.03
# The same of a training step, and how far a term may be that counts pixels by a hard decision of the network.
STEP_LOSS, STEP_DECISION, STEP_NORM, STEP_COSINE = 0.01, 0.1, 0.05, 0.95
DECIDED = {"layout", "disentanglement"}
# Logits of a whole network: correlation, relative difference, share of pixels with another class.
CORRELATION, LOGITS, OTHER_CLASS = 0.999, 0.02, 0.03

Record = Callable[[str, object], None]

IN_16_BITS = [name for name, case in CASES.items() if case.in_16_bits]
WHITENED = (0, 0, 2, 2, 2, 0, 0)
NETWORKS: dict[str, dict[str, object]] = {
    "resnet": {"backbone": "resnet18"},
    "resnet, stem of three": {"backbone": "resnet101_3x3stem"},
    "resnet of caffe": {"backbone": "resnet50_caffe", "head": "deeplabv2", "output_stride": 8},
    "resnet of caffe, RGB": {"backbone": "resnet50_caffe_rgb", "head": "deeplabv2", "output_stride": 8},
    "mobilenet": {"backbone": "mobilenet_v2"},
    "mnasnet": {"backbone": "mnasnet0_5"},
    "shufflenet": {"backbone": "shufflenet_v2_x1_0"},
    "vgg, fcn": {"backbone": "vgg16_bn", "head": "fcn8s", "output_stride": 32},
    "vgg, deeplab": {"backbone": "vgg16_bn", "head": "deeplabv2_fc", "output_stride": 8},
    "diia": {"backbone": "resnet18", "head": "aggregation", "wt_layer": WHITENED},
    "snr": {"backbone": "resnet18", "snr_stages": (1, 2, 3)},
    **{f"{head} head": {"backbone": "resnet18", "head": head} for head in ("linear", "deconv", "upernet")},
    "pictures normalised one by one": {"backbone": "resnet18", "per_image_input": True},
    **{
        f"code {code}": {"backbone": "resnet18", "wt_layer": (0, 0, code, code, code, 0, 0)}
        for code in range(1, 6)
    },
}


def relative(difference: Tensor, reference: Tensor) -> float:
    """``difference`` in units of ``reference``; 0 where there is none, even of 0."""
    return float(abs(difference / reference)) if difference else 0.0


def at_most(record: Record, what: str, bound: float, value: float) -> None:
    record(DRIFT, [what, f"<= {100 * bound:g} %", 100 * value])
    assert value <= bound, what


def at_least(record: Record, what: str, bound: float, value: float) -> None:
    record(DRIFT, [what, f">= {bound:g}", value])
    assert value >= bound, what


def total_and_gradient(name: str, given: list[Tensor], autocast: bool) -> tuple[Tensor, Tensor]:
    """A loss and its gradient as one vector; a map of costs is summed with fixed weights."""
    case = CASES[name]
    given = [tensor.clone() for tensor in given]
    variables = [tensor.requires_grad_() for tensor in given[: len(case.variables)]]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        value = case.call(*variables, *given[len(variables) :])
    assert value.dtype == torch.float32
    total = (value * torch.linspace(1, 2, value.numel()).view_as(value)).sum()
    gradients = torch.autograd.grad(total, variables)
    return total.detach(), torch.cat([gradient.float().flatten() for gradient in gradients])


def inputs(name: str) -> list[Tensor]:
    case = CASES[name]
    return [tensor.float() for tensor in (*case.variables, *case.constants)]


@pytest.mark.parametrize("name", IN_16_BITS)
def test_losses_compute_in_32_bits_whatever_they_are_given(name: str) -> None:
    """The bits of a loss under autocast are those without, of inputs in 16 bits those of the same numbers."""
    single = inputs(name)
    rounded = [tensor.bfloat16() for tensor in single]
    for given, same in ((single, single), (rounded, [tensor.float() for tensor in rounded])):
        (value, gradient), expected = (
            total_and_gradient(name, given, True),
            total_and_gradient(name, same, False),
        )
        assert torch.equal(value, expected[0])
        # Of an input in 16 bits the gradient is handed back in 16 bits.
        torch.testing.assert_close(gradient, expected[1], rtol=2**-8, atol=1e-30)


@pytest.mark.parametrize("name", IN_16_BITS)
def test_drift_of_losses(name: str, record_property: Record) -> None:
    single = inputs(name)
    value, gradient = total_and_gradient(name, single, False)
    other, drifted = total_and_gradient(name, [tensor.bfloat16() for tensor in single], True)
    norm = gradient.norm()
    at_most(record_property, "loss of rounded inputs: value", LOSS, relative(other - value, value))
    at_most(
        record_property,
        "loss of rounded inputs: norm of its gradient",
        NORM,
        relative(drifted.norm() - norm, norm),
    )
    at_most(
        record_property,
        "loss of rounded inputs: its gradient",
        GRADIENT,
        relative((drifted - gradient).norm(), norm),
    )


def pictures(number: int, size: int = 64) -> Tensor:
    """Pictures of coloured areas, uint8 B x 3 x H x W."""
    coarse = torch.rand(number, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return (255 * F.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1)).byte()


def batch_of(method: Method, domain: str) -> dict[str, Tensor]:
    image = pictures(2)
    if domain == "target" and method.target_transform == "multi_crop":
        crops = MultiCropTransform(64, group_size=2)
        opened = [Image.fromarray(each.permute(1, 2, 0).numpy()) for each in image]
        groups = [crops(each, None, None, generator(seed)) for seed, each in enumerate(opened)]
        return {name: torch.stack([group[name] for group in groups]) for name in groups[0]}
    areas = torch.randint(0, 19, (2, 1, 8, 8), generator=torch.Generator().manual_seed(1))
    label = F.interpolate(areas.float(), image.shape[2:]).squeeze(1).long()
    batch = {"image": image, "image_jittered": 255 - image, "image_plain": image}
    return batch if domain == "target" else {**batch, "label": label}


def built(name: str) -> Method:
    """A method on a small network, all of its losses at work."""
    sites = ["--wt_layer", *map(str, WHITENED)] if name == "isw" else []
    settings = arguments("--method", name, *sites, *TINY_METHODS[name])
    torch.manual_seed(0)
    network = create_network(
        **{**METHODS[name].architecture, **stated_architecture(vars(settings)), "backbone": "resnet18"}
    )
    settings.wt_layer = network.config["wt_layer"]
    method = METHODS[name](network, settings).train()
    for key, mask in method.named_buffers():
        if key.startswith("mask_site"):
            mask.copy_(torch.ones_like(mask).triu(diagonal=1))
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    return method


def step(method: Method, autocast: bool) -> tuple[dict[str, float], Tensor]:
    """The loss terms of a training step and the gradient of all parameters."""
    method, terms = copy.deepcopy(method), {}
    for domain in method.domains:
        seed_step(0, 0, 0)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            losses = method(batch_of(method, domain), domain, Progress(100, 200, 100))
        if losses:
            sum(losses.values()).backward()
        terms |= {f"{domain} {term}": loss.item() for term, loss in losses.items()}
    gradients = [parameter.grad.flatten() for parameter in method.parameters() if parameter.grad is not None]
    return terms, torch.cat(gradients)


@pytest.mark.parametrize("name", METHODS)
def test_drift_of_a_training_step(name: str, record_property: Record) -> None:
    method = built(name)
    (terms, gradient), (drifted_terms, drifted) = (step(method, autocast) for autocast in (False, True))
    assert terms.keys() == drifted_terms.keys()
    for term, value in terms.items():
        assert value != 0
        decides = term.split()[1] in DECIDED
        what = (
            "training step: a term that counts pixels by a decision" if decides else "training step: a term"
        )
        drift = abs(drifted_terms[term] / value - 1)
        at_most(record_property, what, STEP_DECISION if decides else STEP_LOSS, drift)
    drift = relative(drifted.norm() - gradient.norm(), gradient.norm())
    cosine = F.cosine_similarity(drifted, gradient, dim=0).item()
    at_most(record_property, "training step: norm of the gradient", STEP_NORM, drift)
    at_least(record_property, "training step: cosine of both gradients", STEP_COSINE, cosine)


def test_the_networks_are_of_every_family() -> None:
    defaults = {"head": "deeplabv3plus", "wt_layer": NO_SITES}
    networks = [{**defaults, **each} for each in NETWORKS.values()]
    assert {BACKBONES[each["backbone"]] for each in networks} == set(BACKBONES.values())
    assert {each["head"] for each in networks} == set(HEADS)
    assert {code for each in networks for code in each["wt_layer"]} == set(range(6))


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_drift_of_logits(name: str, record_property: Record) -> None:
    torch.manual_seed(0)
    network = create_network(**NETWORKS[name]).eval()
    logits = network.predict(pictures(2))
    with torch.autocast("cpu", torch.bfloat16):
        drifted = network.predict(pictures(2)).float()
    correlation = torch.corrcoef(torch.stack([logits.flatten(), drifted.flatten()]))[0, 1].item()
    difference = relative((drifted - logits).norm(), (logits - logits.mean()).norm())
    others = (drifted.argmax(1) != logits.argmax(1)).float().mean().item()
    at_least(record_property, "network: correlation of the logits", CORRELATION, correlation)
    at_most(record_property, "network: relative difference of the logits", LOGITS, difference)
    at_most(record_property, "network: pixels of another class", OTHER_CLASS, others)
