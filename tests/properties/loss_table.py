"""Every loss with small inputs to check its gradients on, and what of ``loss`` has none, with the reason."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from programs import arguments
from torch import Tensor
from torch.nn import functional as F

import loss
from loss import (
    adaptation,
    boundary_relaxation,
    contrast,
    criterion,
    edges,
    entropy,
    precision,
    segmentation,
    self_supervision,
    whitening,
)

CLASSES = 4
INTEGERS = "of labels, counts or pixel numbers, which are integers"
RECORD = "a record of integers"

WITHOUT_GRADIENTS: dict[str, str] = {
    "adaptation.image_weights": "weights by the predicted class; detached, as documented",
    "boundary_relaxation.relaxed_planes": INTEGERS,
    "boundary_relaxation.boundary": INTEGERS,
    "segmentation.class_planes": INTEGERS,
    "segmentation.frequency_weights": INTEGERS,
    "contrast.PixelBlocks": RECORD,
    "contrast.sample_class_pixels": INTEGERS,
    "contrast.first_classes": INTEGERS,
    "contrast.random_pixels": INTEGERS,
    "contrast.Confusions": RECORD,
    "contrast.sample_confusions": INTEGERS,
    "precision.without_autocast": "a setting",
    "edges.edge_map": "a target made of 8-bit pictures",
    "contrast.GroupedPixels": RECORD,
    "contrast.group_pixels": INTEGERS,
    "segmentation.nearest_label": INTEGERS,
    "self_supervision.PseudoLabels": "a record of labels and of the teacher's confidence, a constant",
    "self_supervision.updated_prior": "a running statistic, a constant of every step",
    "self_supervision.thresholds": "bounds that decide on labels, which are integers",
    "self_supervision.pseudo_labels": "labels; detached, as documented",
    "whitening.upper_triangle": "a constant mask",
    "whitening.irw_margin": "a whole number",
    "whitening.sensitive_mask": "a choice of entries, zeros and ones",
}


@dataclass(frozen=True)
class Case:
    """One way to call a function of ``loss``: ``call(*variables, *constants)``, tensors in float64.

    ``in_16_bits`` says whether a network under autocast may give it such inputs; ``detaches`` says whether
    the function itself keeps gradients from the constants.
    """

    function: str
    call: Callable[..., Tensor]
    variables: tuple[Tensor, ...]
    constants: tuple[Tensor, ...] = ()
    in_16_bits: bool = True
    detaches: bool = True


def public_names() -> Iterator[str]:
    """``module.name`` of every public function and class of ``loss``."""
    for module in pkgutil.iter_modules(loss.__path__):
        imported = importlib.import_module(f"loss.{module.name}")
        for name, value in vars(imported).items():
            is_own = getattr(value, "__module__", None) == imported.__name__
            if is_own and (inspect.isfunction(value) or inspect.isclass(value)) and not name.startswith("_"):
                yield f"{module.name}.{name}"


def random_numbers(*shape: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, dtype=torch.float64, generator=generator)


def logits(seed: int = 0, scale: float = 2.0, size: tuple[int, int] = (4, 5)) -> Tensor:
    return random_numbers(2, CLASSES, *size, seed=seed, scale=scale)


def labels(size: tuple[int, int] = (4, 5)) -> Tensor:
    """Labels of all classes in areas, and some without."""
    label = torch.randint(0, CLASSES, (2, *size), generator=torch.Generator().manual_seed(1))
    label[:, 1] = label[:, 0]
    label[0, 2, :2] = 255
    return label


def unit_vectors(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(random_numbers(*shape, seed=seed), dim=-1)


def standardised(seed: int, size: tuple[int, int] = (4, 5)) -> Tensor:
    """A map as a whitened site gives it: 2 x 3 x H x W, every channel of mean 0 and deviation 1."""
    return F.instance_norm(random_numbers(2, 3, *size, seed=seed))


def void(label: Tensor) -> Tensor:
    return torch.full_like(label, 255)


def target_cases() -> Iterator[tuple[str, Case]]:
    """Losses of unlabelled pictures."""
    smooth = {
        "max_square": adaptation.max_square,
        "entropy": adaptation.entropy,
        "image_weighted_max_square": partial(adaptation.image_weighted_max_square, ratio=0.2),
        "image_weighted_entropy": partial(adaptation.image_weighted_entropy, ratio=0.2),
        "pixel_squares": adaptation.pixel_squares,
    }
    for name, call in smooth.items():
        for kind, scale in (("", 2.0), (", nearly certain", 20.0)):
            yield f"{name}{kind}", Case(f"adaptation.{name}", call, (logits(scale=scale),))
    for threshold in (0.6, 1.0):
        hard = partial(adaptation.hard_pseudo_label, threshold=threshold)
        yield f"hard_pseudo_label above {threshold}", Case("adaptation.hard_pseudo_label", hard, (logits(),))

    def guidance(auxiliary: Tensor, main: Tensor) -> Tensor:
        return adaptation.guidance(main, auxiliary, 0.6)

    for name, size in (("", (4, 5)), (", smaller", (2, 3))):
        yield f"guidance{name}", Case("adaptation.guidance", guidance, (logits(1, size=size),), (logits(),))
    yield "pixel_entropy", Case("entropy.pixel_entropy", entropy.pixel_entropy, (logits(),))
    three = tuple(logits(seed) for seed in range(3))
    yield (
        "dual_restitution",
        Case("entropy.dual_restitution_loss", entropy.dual_restitution_loss, three),
    )


def labelled_cases() -> Iterator[tuple[str, Case]]:
    """Losses of labelled pixels."""
    label, weights = labels(), torch.tensor([0.5, 1.0, 2.0, 0.0], dtype=torch.float64)

    def cases(
        function: str, call: Callable[..., Tensor], variants: dict[str, dict[str, Any]]
    ) -> Iterator[tuple[str, Case]]:
        name = function.partition(".")[2]
        for kind, options in variants.items():
            for words, target in ((kind, label), (f"{kind}, no label", void(label))):
                arguments = {"label": target, **options}
                yield f"{name} {words}", Case(function, partial(call, **arguments), (logits(),))

    means = {"labelled": {}, "all": {"mean_over": "all"}, "weighted": {"class_weights": weights}}
    yield from cases("segmentation.cross_entropy", segmentation.cross_entropy, means)
    small = partial(segmentation.auxiliary_cross_entropy, label=labels((8, 9)))
    yield "auxiliary_cross_entropy", Case("segmentation.auxiliary_cross_entropy", small, (logits(),))
    bounds = {"": {}, "batch": {"batch_weighting": True, "bound": 2.0}}
    yield from cases(
        "segmentation.image_weighted_cross_entropy",
        segmentation.image_weighted_cross_entropy,
        {**bounds, "sum": {"reduction": "sum"}},
    )
    yield from cases(
        "boundary_relaxation.relaxed_cross_entropy",
        boundary_relaxation.relaxed_cross_entropy,
        {**bounds, "strict": {"strict": (1, 2)}, "not relaxed": {"relax": False}},
    )
    for flags in ("", "--cls_wt_loss", "--img_wt_loss", "--jointwtborder"):
        module = criterion.SegmentationCriterion(arguments(*flags.split()))
        nineteen = random_numbers(1, 19, 3, 3)
        for name, call in (("", partial(module, iteration=0)), ("auxiliary", module.auxiliary)):
            call = partial(call, label=labels((3, 3))[:1])
            words = f"SegmentationCriterion {name} {flags}"
            yield words, Case("criterion.SegmentationCriterion", call, (nineteen,))


def contrast_cases() -> Iterator[tuple[str, Case]]:
    """Contrastive losses of sampled pixels."""
    embeddings = tuple(unit_vectors(2, 3, 2, 5, seed=seed) for seed in (0, 1))
    for negatives in contrast.NEGATIVES:
        for is_active in (True, False):
            call = partial(
                contrast.class_contrast,
                is_active=torch.tensor(is_active),
                temperature=0.1,
                negatives=negatives,
            )
            words = f"class_contrast {negatives}, {'active' if is_active else 'nothing to sample'}"
            yield words, Case("contrast.class_contrast", call, embeddings[:1], embeddings[1:])
    similarities = (random_numbers(6), random_numbers(6, 4, seed=1))
    # Its callers give it float32.
    yield (
        "contrast",
        Case("contrast.contrast", contrast.contrast, similarities, in_16_bits=False),
    )

    label, prediction = labels(), labels() % CLASSES
    jittered = (prediction + (torch.arange(5) > 2)) % CLASSES
    for name, wrong in (("", jittered), (" without anchors", prediction)):
        generator = torch.Generator().manual_seed(0)
        confusions = contrast.sample_confusions(label, prediction, wrong, CLASSES, 2, generator)

        def call(query, negatives, key, confusions=confusions) -> Tensor:
            return contrast.disentanglement(query, key, negatives, confusions, 0.1)

        anchors, others = len(confusions.anchors), confusions.negatives.numel()
        query, negatives, key = (
            unit_vectors(number, 3, seed=seed) for seed, number in enumerate((anchors, others, anchors))
        )
        yield (
            f"disentanglement{name}",
            Case("contrast.disentanglement", call, (query, negatives), (key,)),
        )


def covariance_cases() -> Iterator[tuple[str, Case]]:
    """Whitening and covariance alignment."""
    yield "covariance", Case("whitening.covariance", whitening.covariance, (standardised(0),))
    covariances, mask = whitening.covariance(standardised(0)), whitening.upper_triangle(3).double()
    for name, chosen, margin in (
        ("", mask, 0.0),
        (" with a margin", mask, 0.1),
        (" of nothing", 0 * mask, 0.0),
    ):

        def call(matrices: Tensor, chosen=chosen, margin=margin) -> Tensor:
            return whitening.whitening_loss(matrices, chosen.to(matrices.dtype), margin)

        # Covariances are computed in float32 whatever the autocast state.
        yield (
            f"whitening_loss{name}",
            Case("whitening.whitening_loss", call, (covariances,), in_16_bits=False),
        )
    yield (
        "pair_variance",
        Case("whitening.pair_variance", whitening.pair_variance, (covariances,), in_16_bits=False),
    )
    for name in ("covariance_matching", "cross_covariance"):
        function = getattr(whitening, name)

        def call(query: Tensor, key: Tensor, function=function) -> Tensor:
            return function(key, query)

        yield name, Case(f"whitening.{name}", call, (standardised(0),), (standardised(1),))


def crop_cases() -> Iterator[tuple[str, Case]]:
    """Self-supervision by several crops."""
    label = labels()
    prior = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    certain = random_numbers(2, 4, 5, seed=3).sigmoid()
    for confidence in self_supervision.CONFIDENCES:

        def call(x: Tensor, prior: Tensor, certain: Tensor, confidence=confidence) -> Tensor:
            pseudo = self_supervision.PseudoLabels(label, certain)
            return self_supervision.focal_confidence_loss(x, pseudo, prior, 3.0, confidence)

        words = f"focal_confidence_loss {confidence}"
        yield (
            words,
            Case(
                "self_supervision.focal_confidence_loss", call, (logits(),), (prior, certain), detaches=False
            ),
        )
    probability = random_numbers(1, 2, 3, 4, 4).softmax(2)
    # A quarter of the canvas, enlarged, and the canvas mirrored.
    forth = torch.tensor([[[[2.0, 0, 1], [0, 2.0, 1]], [[-1.0, 0, 0], [0, 1.0, 0]]]])
    back = torch.tensor([[[[0.5, 0, -0.5], [0, 0.5, -0.5]], [[-1.0, 0, 0], [0, 1.0, 0]]]])
    for fusion in self_supervision.FUSIONS:
        refine = partial(self_supervision.refine, affine=forth, affine_inverse=back, fusion=fusion)
        yield f"refine {fusion}", Case("self_supervision.refine", refine, (probability,), in_16_bits=False)
        fuse = partial(self_supervision.fuse, affine=forth, fusion=fusion)
        yield f"fuse {fusion}", Case("self_supervision.fuse", fuse, (probability,), in_16_bits=False)
    yield (
        "most_certain",
        Case(
            "self_supervision.most_certain", self_supervision.most_certain, (probability,), in_16_bits=False
        ),
    )
    from_canvas = partial(self_supervision.from_canvas, affine_inverse=back)
    yield (
        "from_canvas",
        Case("self_supervision.from_canvas", from_canvas, (probability[:, 0],), in_16_bits=False),
    )


def helper_cases() -> Iterator[tuple[str, Case]]:
    """What losses are made of; none does arithmetic on logits in 16 bits."""
    pixels = torch.tensor([[0, 3], [19, 39]])
    take = partial(contrast.take_pixels, pixels=pixels)
    yield "take_pixels", Case("contrast.take_pixels", take, (logits(),), in_16_bits=False)
    yield "at_least_float32", Case("precision.at_least_float32", precision.at_least_float32, (logits(),))
    for axis in (2, 3):
        call = partial(edges.derivative, axis=axis)
        yield f"derivative {axis}", Case("edges.derivative", call, (logits()[:, :1],), in_16_bits=False)


GROUPS = (target_cases, labelled_cases, contrast_cases, covariance_cases, crop_cases, helper_cases)
CASES: dict[str, Case] = {name: case for group in GROUPS for name, case in group()}
