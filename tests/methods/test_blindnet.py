"""BlindNet's terms, switches and what it trains."""

from __future__ import annotations

import argparse

import pytest
import torch
from examples import batch
from programs import TINY_METHODS, arguments
from torch import Tensor
from torch.nn import functional as F

from loss.contrast import class_contrast, disentanglement, sample_class_pixels, sample_confusions, take_pixels
from loss.segmentation import nearest_label
from loss.whitening import covariance_matching, cross_covariance
from methods import Progress
from methods.blindnet import WEIGHTS, BlindNet
from network import SegmentationNet, SegmentationOutput, create_network
from utils.errors import UserError
from utils.seeding import seed_step, step_generator

TERMS = {"covariance", "cross_covariance", "class_contrast", "disentanglement"}
START = Progress(0, 10, 0)
CLASSES = 19
# Flags under which every setting of the contrasts counts on a scene's maps, the smallest of 8 x 8.
CONTRASTS = "--use_cwcl --use_sdcl --contrast_max_classes 5 --contrast_max_views 6 --num_patch 4".split()
Views = tuple[dict[str, Tensor], dict[str, Tensor]]


def blindnet(*flags: str, **architecture: object) -> BlindNet:
    torch.manual_seed(0)
    settings = {"backbone": "mobilenet_v2", **BlindNet.architecture, **architecture}
    words = ["--method", "blindnet", *TINY_METHODS["blindnet"], *flags]
    return BlindNet(create_network(**settings), arguments(*words)).train()


@pytest.fixture(scope="module")
def network() -> SegmentationNet:
    """For methods whose network is not run."""
    return create_network("mobilenet_v2", **BlindNet.architecture)


def contrasting(network: SegmentationNet, *flags: str) -> BlindNet:
    """Always with the same projections, and with the same seed of the step."""
    torch.manual_seed(0)
    return BlindNet(network, arguments("--method", "blindnet", *CONTRASTS, *flags)).train()


@pytest.fixture
def scene(network: SegmentationNet) -> tuple[Views, Tensor]:
    """Features of both views, and a label of four classes and some void.

    Three tenths of the pixels are wrong in the original view, of which the jittered one changes half again.
    """
    rng = torch.Generator().manual_seed(4)
    names = torch.tensor([0, 3, 8, 13])

    def disturbed(classes: Tensor, share: float) -> Tensor:
        noise = names[torch.randint(0, len(names), classes.shape, generator=rng)]
        return torch.where(torch.rand(classes.shape, generator=rng) < share, noise, classes)

    quarters = names.view(2, 2).repeat_interleave(16, 0).repeat_interleave(16, 1)
    label = torch.stack([quarters, quarters.flip(0)])
    original = disturbed(nearest_label(label, (8, 8)), 0.3)
    label[1, :4] = 255
    views = []
    for prediction in (original, disturbed(original, 0.5)):
        logits = F.one_hot(prediction, CLASSES).permute(0, 3, 1, 2).float()
        features = {"decoder_logits": logits, "layer4": torch.randn(2, 1280, 8, 8, generator=rng)}
        for name, channels in network.head.embedding_channels.items():
            features[name] = torch.randn(2, channels, 16, 16, generator=rng)
        views.append(features)
    return tuple(views), label


def contrasts_by_definition(
    method: BlindNet, settings: argparse.Namespace, views: Views, label: Tensor
) -> dict[str, Tensor]:
    """Both contrasts, mean over the maps, of pixels drawn by this step's generator; all are projected."""
    generator = step_generator(label.device)
    key, query = views
    predictions = [view["decoder_logits"].argmax(1) for view in views]
    losses: dict[str, list[Tensor]] = {"class_contrast": [], "disentanglement": []}
    for name, projection in zip(method.embedded, method.projections, strict=True):
        size = (key[name].shape[2], key[name].shape[3])
        truth, original, jittered = (nearest_label(classes, size) for classes in (label, *predictions))
        everywhere = torch.arange(truth.numel())
        k, q = (projection(take_pixels(view[name], everywhere)) for view in views)
        sizes = (CLASSES, settings.contrast_max_classes, settings.contrast_max_views)
        blocks = sample_class_pixels(truth, original, *sizes, generator, settings.cwcl_fill)
        pair, active = (q[blocks.pixels], k[blocks.pixels]), blocks.is_active
        loss = class_contrast(*pair, active, settings.nce_T, settings.cwcl_negatives)
        losses["class_contrast"].append(loss)
        drawn = sample_confusions(truth, original, jittered, CLASSES, settings.num_patch, generator)
        rows = (q[drawn.anchors], k[drawn.anchors], q[drawn.negatives.flatten()])
        losses["disentanglement"].append(disentanglement(*rows, drawn, settings.nce_T))
    return {name: sum(of_maps) / len(of_maps) for name, of_maps in losses.items()}


def contrasts_of(method: BlindNet, views: Views, label: Tensor) -> dict[str, Tensor]:
    return {WEIGHTS[flag][1]: loss for flag, loss in method.contrast(*views, label).items()}


@pytest.mark.parametrize(
    ("flag", "changed"),
    [
        ("--nce_T 0.5", {"class_contrast", "disentanglement"}),
        ("--cwcl_negatives all", {"class_contrast"}),
        ("--cwcl_fill any", {"class_contrast"}),
        ("--contrast_max_classes 3", {"class_contrast"}),
        ("--contrast_max_views 8", {"class_contrast"}),
        ("--num_patch 2", {"disentanglement"}),
    ],
)
def test_every_flag_changes_the_contrasts_it_is_about(
    network: SegmentationNet, scene: tuple[Views, Tensor], flag: str, changed: set[str]
) -> None:
    before = contrasts_of(contrasting(network), *scene)
    method = contrasting(network, *flag.split())
    after = contrasts_of(method, *scene)
    assert {name for name, loss in after.items() if not torch.isclose(loss, before[name])} == changed
    expected = contrasts_by_definition(method, arguments(*CONTRASTS, *flag.split()), *scene)
    assert expected["disentanglement"] > 0
    for name, loss in expected.items():
        torch.testing.assert_close(after[name], loss, rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", ["class_contrast", "disentanglement"])
def test_contrasts_have_the_gradients_of_their_definition(
    network: SegmentationNet, scene: tuple[Views, Tensor], name: str
) -> None:
    """Which are the query's and the projections', and none of the key's."""
    (key, query), label = scene
    method = contrasting(network)
    keys, queries = ([view[tap].requires_grad_() for tap in method.embedded] for view in (key, query))
    taught = [*queries, *method.projections.parameters()]
    fixed = {tap: value.detach() for tap, value in key.items()}
    expected = contrasts_by_definition(method, arguments(*CONTRASTS), (fixed, query), label)[name]
    ours = contrasts_of(method, (key, query), label)[name]
    gradients = torch.autograd.grad(ours, [*taught, *keys], allow_unused=True)
    assert all(gradient is None for gradient in gradients[len(taught) :])
    for gradient, theirs in zip(gradients, torch.autograd.grad(expected, taught), strict=False):
        torch.testing.assert_close(gradient, theirs, rtol=1e-3, atol=1e-6)


def test_disentanglement_pushes_its_negatives_too(
    network: SegmentationNet, scene: tuple[Views, Tensor]
) -> None:
    """All anchors are in the left half, taken for the class of the right half, whose pixels are right."""
    label = torch.zeros(2, 16, 16, dtype=torch.int64)
    label[..., 8:] = 8
    views = scene[0]
    for view, left in zip(views, (0, 8), strict=True):
        prediction = torch.where(label == 0, left, label)
        view["decoder_logits"] = F.one_hot(prediction, CLASSES).permute(0, 3, 1, 2).float()
    method = contrasting(network)
    queries = [views[1][tap].requires_grad_() for tap in method.embedded]
    contrasts_of(method, views, label)["disentanglement"].backward()
    for query in queries:
        anchors, negatives = query.grad.abs().sum(1).chunk(2, dim=-1)
        assert (anchors > 0).all()
        # 4 of every picture's.
        assert ((negatives > 0).sum((1, 2)) == 4).all()


def confusing_batch(method: BlindNet) -> dict[str, Tensor]:
    """Labels are what the network makes of the original view, so that the jittered one confuses some; in the
    last quarter both are wrong.
    """
    pictures = batch(64)
    logits = method.network(method.network.input_spec.prepare(pictures["image"])).features["decoder_logits"]
    label = nearest_label(logits.argmax(1), (64, 64))
    label[..., 48:] = (label[..., 48:] + 1) % CLASSES
    return {**pictures, "label": label}


def unweighted_terms(
    method: BlindNet, settings: argparse.Namespace, outputs: list[SegmentationOutput], label: Tensor
) -> dict[str, Tensor]:
    """All six, of what the network said of the original and of the jittered view."""
    original, jittered = outputs
    main = [F.cross_entropy(output.logits, label) for output in outputs]
    small = nearest_label(label, (original.aux_logits.shape[2], original.aux_logits.shape[3]))
    key, query = original.features, jittered.features
    pairs = [(key[site], query[site]) for site in ("site2", "site3", "site4")]
    return {
        "main": (main[0] + main[1]) / 2,
        "aux": F.cross_entropy(original.aux_logits, small),
        "covariance": sum(covariance_matching(*pair) for pair in pairs) / 3,
        "cross_covariance": sum(cross_covariance(*pair) for pair in pairs) / 3,
        **contrasts_by_definition(method, settings, (key, query), label),
    }


@pytest.mark.parametrize("weights", [(), (0.5, 0.6, 0.7, 0.8)])
def test_a_step_costs_its_weighted_terms(weights: tuple[float, ...]) -> None:
    flags = [word for number, weight in enumerate(weights, 1) for word in (f"--w{number}", str(weight))]
    method = blindnet(*flags)
    pictures = confusing_batch(method)
    inputs, outputs = [], []
    method.network.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    method.network.register_forward_hook(lambda _, given, output: outputs.append(output))
    seed_step(0, 0, 0)
    with torch.no_grad():
        losses = method(pictures, "source", START)
        settings = arguments(*TINY_METHODS["blindnet"])
        terms = unweighted_terms(method, settings, outputs, pictures["label"])
    for view, given in zip(("image", "image_jittered"), inputs, strict=True):
        assert torch.equal(given, method.network.input_spec.prepare(pictures[view]))
    assert all(term > 0 for term in terms.values())
    factors = (1.0, 0.4, *(weights or (0.2, 0.2, 0.3, 0.3)))
    assert losses.keys() == terms.keys()
    for (name, term), factor in zip(terms.items(), factors, strict=True):
        torch.testing.assert_close(losses[name], factor * term, rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("flags", "terms"),
    [
        ([], TERMS),
        (["--use_ca"], {"covariance", "cross_covariance"}),
        (["--use_cwcl"], {"class_contrast"}),
        (["--use_sdcl"], {"disentanglement"}),
        (["--use_ca", "--use_sdcl"], TERMS - {"class_contrast"}),
        (["--w1", "0", "--w3", "0"], {"cross_covariance", "disentanglement"}),
    ],
)
def test_each_loss_can_be_switched(flags: list[str], terms: set[str]) -> None:
    method = blindnet(*flags)
    losses = method(batch(), "source", START)
    assert losses.keys() == {"main", "aux", *terms}
    contrasts = {"class_contrast", "disentanglement"} & terms
    assert len(method.projections) == (3 if contrasts else 0)


def test_auxiliary_statistics_come_from_the_original_view_alone() -> None:
    methods = [blindnet(), blindnet()]
    views = [batch(), {**batch(), "image_jittered": batch()["image"]}]
    for method, view in zip(methods, views, strict=True):
        method(view, "source", START)
    for name, value in methods[0].network.auxiliary.state_dict().items():
        assert torch.equal(value, methods[1].network.auxiliary.state_dict()[name])
    counts = {
        int(value)
        for name, value in methods[0].network.state_dict().items()
        if name.endswith("num_batches_tracked")
    }
    assert counts == {1, 2}  # The rest of the network saw both views, one after the other.


def test_extra_terms_pull_only_the_jittered_view() -> None:
    method = blindnet()
    prepare, pictures = method.network.input_spec.prepare, confusing_batch(method)
    original, jittered = (prepare(pictures[v]).requires_grad_() for v in ("image", "image_jittered"))
    key = method.network(original).features
    query = method.network(jittered, auxiliary=False).features
    terms = {**method.alignment(key, query), **method.contrast(key, query, pictures["label"])}
    for term in terms.values():
        ours, keys = torch.autograd.grad(term, [jittered, original], retain_graph=True, allow_unused=True)
        assert keys is None
        assert ours.abs().sum() > 0


def test_a_step_draws_the_same_pixels_again() -> None:
    method = blindnet("--use_cwcl")
    losses = []
    for number in (0, 1, 0):
        seed_step(304, 0, number)
        losses.append(float(method(batch(), "source", START)["class_contrast"].detach()))
    assert losses[0] == losses[2] != losses[1]


def test_too_small_a_crop_names_the_flags() -> None:
    with pytest.raises(UserError, match="--contrast_max_classes 15 x --contrast_max_views 50.*--crop_size"):
        blindnet("--contrast_max_classes", "15", "--contrast_max_views", "50")(batch(), "source", START)


def test_alignment_without_a_site_is_refused_and_contrast_goes_on() -> None:
    with pytest.raises(UserError, match="--method blindnet: .*--wt_layer"):
        blindnet(wt_layer=(0,) * 7)
    losses = blindnet("--use_cwcl", "--use_sdcl", wt_layer=(0,) * 7)(batch(), "source", START)
    assert losses.keys() == {"main", "aux", "class_contrast", "disentanglement"}


@pytest.mark.parametrize("backbone", ["resnet18", "shufflenet_v2_x1_0", "mnasnet1_0"])
def test_it_trains_other_backbones(backbone: str) -> None:
    losses = blindnet(backbone=backbone)(batch(64), "source", START)
    total = sum(losses.values())
    total.backward()
    assert torch.isfinite(total)


def test_a_batch_without_labels_costs_nothing() -> None:
    unlabelled = {**batch(), "label": torch.full((2, 32, 32), 255)}
    losses = blindnet("--use_cwcl", "--use_sdcl")(unlabelled, "source", START)
    assert all(float(loss.detach()) == 0 for loss in losses.values())
    sum(losses.values()).backward()


def test_terms_are_computed_in_full_precision_under_autocast() -> None:
    method = blindnet()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = method(batch(), "source", START)
    assert all(losses[name].dtype == torch.float32 for name in TERMS)
