"""Pictures under corruptions: each is read once, and shares and processes change nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from programs import train_arguments

import config
import train
from datasets.domains import Domains
from datasets.files import segmentation
from datasets.files.segmentation import SegmentationSet
from datasets.sampling.corrupted import corrupted_loader, variants_of
from datasets.sampling.loaders import Loader
from transforms.corruptions import corrupted
from utils.scoring.evaluation import evaluate
from utils.scoring.metrics import ConfusionMatrix
from utils.scoring.scores import DomainScore

NAMES = ("fog", "impulse_noise")
VARIANTS = 1 + 5 * len(NAMES)


@pytest.fixture
def domains(toycity: Path, tmp_path: Path) -> Domains:
    args = train.parse_arguments(train_arguments(toycity, tmp_path))
    return Domains(args, config.DATASET_ROOTS, config.TOYCITY_ROOT)


@pytest.fixture
def pictures(domains: Domains) -> SegmentationSet:
    return domains.evaluation_loader("gtav").dataset


def bits(loader: Loader) -> dict[tuple[str, str], tuple[bytes, bytes]]:
    """(Name, group) -> picture and label, of every picture that a loader yields."""
    every: dict[tuple[str, str], tuple[bytes, bytes]] = {}
    for batch in loader:
        parts = [batch[key] for key in ("name", "group", "image", "label")]
        for name, group, image, label in zip(*parts, strict=True):
            assert (name, group) not in every
            every[name, group] = image.numpy().tobytes(), label.numpy().tobytes()
    return every


def test_each_picture_is_read_once(pictures: SegmentationSet, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: Counter[Path] = Counter()
    read_image = segmentation.read_image

    def counted(path: Path, *more: Any) -> Any:
        reads[path] += 1
        return read_image(path, *more)

    monkeypatch.setattr(segmentation, "read_image", counted)
    loader = corrupted_loader(pictures, NAMES, batch_size=2, workers=0)
    assert len(list(loader)) == len(loader) == 2 * VARIANTS
    assert reads == Counter({pair.image: 1 for pair in pictures.pairs})


def test_a_batch_has_one_variant_of_its_pictures(pictures: SegmentationSet) -> None:
    loader = corrupted_loader(pictures, NAMES, batch_size=2, workers=0)
    batches = list(loader)[:VARIANTS]
    clean = [pictures[number] for number in range(2)]
    assert [batch["group"] for batch in batches] == [["", ""], *([g, g] for g in variants_of(loader.dataset))]
    for batch, variant in zip(batches[1:], variants_of(loader.dataset).values(), strict=True):
        for sample, image, label in zip(clean, batch["image"], batch["label"], strict=True):
            pixels = sample["image"].permute(1, 2, 0).numpy().copy()
            expected = torch.from_numpy(corrupted(pixels, *variant, sample["name"]))
            assert torch.equal(image, expected.permute(2, 0, 1))
            assert torch.equal(label, sample["label"])
    assert torch.equal(batches[0]["image"], torch.stack([sample["image"] for sample in clean]))


@pytest.mark.parametrize("workers", [0, 2])
def test_pixels_depend_on_neither_shares_nor_workers_nor_batches(
    pictures: SegmentationSet, workers: int
) -> None:
    whole = bits(corrupted_loader(pictures, NAMES, workers=0))
    assert len(whole) == 3 * VARIANTS
    shares = [corrupted_loader(pictures, NAMES, 2, workers, rank, 2) for rank in (0, 1)]
    first, second = map(bits, shares)
    assert not first.keys() & second.keys()
    assert {**first, **second} == whole


def test_a_corruption_is_the_same_beside_others(pictures: SegmentationSet) -> None:
    alone, both = (bits(corrupted_loader(pictures, names, workers=0)) for names in (("fog",), NAMES))
    assert alone.items() < both.items()


def by_light(images: torch.Tensor) -> torch.Tensor:
    """Scores of 19 classes; the class is the light of a pixel."""
    light = images.float().mean(1).div(256 / 19).long()
    return torch.nn.functional.one_hot(light, 19).permute(0, 3, 1, 2).float()


def test_two_shares_count_like_one(pictures: SegmentationSet) -> None:
    def counts(rank: int, shares: int) -> dict[str, torch.Tensor]:
        loader = corrupted_loader(pictures, NAMES, 1, 0, rank, shares)
        matrices = {group: ConfusionMatrix(19) for group in ("", *variants_of(loader.dataset))}
        measures = {group: [matrix] for group, matrix in matrices.items()}
        evaluate(by_light, loader, measures, torch.device("cpu"))
        return {group: matrix.counts for group, matrix in matrices.items()}

    whole, first, second = counts(0, 1), counts(0, 2), counts(1, 2)
    for group, count in whole.items():
        assert torch.equal(first[group] + second[group], count)
    assert not torch.equal(whole[""], whole["corruption fog 5"])


def score(domains: Domains, *corruptions: str) -> DomainScore:
    loader = domains.evaluation_loader("gtav", corruptions=corruptions)
    return domains.score("gtav", by_light, loader, torch.device("cpu"))


def test_the_score_of_clean_pictures_stays(domains: Domains) -> None:
    clean, under = score(domains), score(domains, *NAMES)
    assert under.miou == clean.miou
    assert under.pictures == clean.pictures == 3
    assert under.groups == clean.groups == {}
    assert clean.corruptions == {}
    assert list(under.corruptions) == list(NAMES)
    for mious in under.corruptions.values():
        assert list(mious) == [1, 2, 3, 4, 5]
        assert all(miou != clean.miou for miou in mious.values())


def test_groups_of_a_data_set_stay_beside_corruptions(domains: Domains) -> None:
    loader = domains.evaluation_loader("gtav", corruptions=("fog",))
    loader.dataset.pictures.pairs = loader.dataset.pairs = [
        pair._replace(group="fog" if number else "night") for number, pair in enumerate(loader.dataset.pairs)
    ]
    scored = domains.score("gtav", by_light, loader, torch.device("cpu"))
    assert {name: group.pictures for name, group in scored.groups.items()} == {"fog": 2, "night": 1}
    assert scored.pictures == 3
    assert scored.miou == score(domains).miou
    assert scored.corruptions == score(domains, "fog").corruptions
