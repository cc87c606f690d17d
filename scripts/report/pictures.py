"""Pictures of a report: the same scenes, their truth, and what each row of the table says of them."""

from __future__ import annotations

import argparse
import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import config
from datasets.definitions.catalog import spec
from datasets.domains import Domains
from datasets.files.roots import resolve_root
from network import SegmentationNet
from network.restore import load_network
from scripts.report.runs import Group, Run
from utils.errors import UserError
from utils.ignore_label import IGNORE_LABEL
from utils.progress import progress_bar
from utils.scoring.classes import ClassList
from utils.scoring.sliding_window import averaged

WIDEST = 512
"""Pixels to which pictures are shrunk."""
QUALITY = 82
"""Of JPEG."""


@dataclass(frozen=True)
class Embedded:
    """A picture as it stands in the page: ``kind`` is its media type."""

    kind: str
    data: str
    width: int
    height: int


@dataclass(frozen=True)
class Prediction:
    """What a row's network says of a scene; ``miou`` in percent over the classes of its truth."""

    row: str
    picture: Embedded
    miou: float


@dataclass
class Scene:
    """A picture of a domain, its truth, and the predictions of all rows."""

    domain: str
    name: str
    picture: Embedded
    truth: Embedded
    predictions: list[Prediction] = field(default_factory=list)

    @property
    def miou(self) -> float:
        """The mean over the rows."""
        return float(np.mean([prediction.miou for prediction in self.predictions]))


@dataclass
class Album:
    """The pictures of one domain. ``looked_at`` of its ``total`` pictures were searched for the hardest."""

    domain: str
    scenes: list[Scene]
    hardest: list[Scene]
    looked_at: int
    total: int


def embed(picture: Image.Image, lossy: bool) -> Embedded:
    """A picture of at most :data:`WIDEST` pixels: JPEG, or PNG with a palette if each colour is a class."""
    width = min(WIDEST, picture.width)
    size = (width, max(1, round(picture.height * width / picture.width)))
    buffer = io.BytesIO()
    if lossy:
        resized = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        resized.save(buffer, "JPEG", quality=QUALITY)
    else:
        picture.resize(size, Image.Resampling.NEAREST).save(buffer, "PNG", optimize=True)
    kind = "image/jpeg" if lossy else "image/png"
    return Embedded(kind, base64.b64encode(buffer.getvalue()).decode(), *size)


def class_picture(train_ids: np.ndarray, classes: ClassList) -> Image.Image:
    """Train ids, uint8 H x W, as a picture with a palette; pixels without a class are black."""
    picture = Image.fromarray(train_ids)
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(classes)] = classes.palette
    picture.putpalette(table.tobytes())
    return picture


def picture_miou(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Mean IoU in percent over the classes of ``truth``, both uint8 H x W; NaN if it has none."""
    known = truth != IGNORE_LABEL
    ious = []
    for number in np.unique(truth[known]):
        there, said = truth == number, (prediction == number) & known
        ious.append(float((there & said).sum() / (there | said).sum()))
    return 100 * float(np.mean(ious)) if ious else float("nan")


class Networks:
    """One network per row, that of its first run with weights, on ``device``."""

    def __init__(self, groups: Sequence[Group], device: torch.device) -> None:
        self.device = device
        self.of: dict[str, SegmentationNet] = {}
        self.without: list[str] = []
        for group in groups:
            run = next((run for run in group.runs if run.weights.is_file()), None)
            if run is None:
                self.without.append(group.name)
            else:
                self.of[group.name] = load_network(run.weights)[0].to(device)

    @property
    def classes(self) -> ClassList | None:
        """The classes of the first network."""
        return next((network.classes.of for network in self.of.values()), None)

    @torch.inference_mode()
    def predict(self, row: str, image: Tensor, domains: Domains, size: torch.Size) -> np.ndarray:
        """Train ids, uint8 at ``size``, of ``image``, uint8 3 x H x W."""
        network = self.of[row]
        logits = averaged(network.predict, domains.inference)(image[None].to(self.device))
        if logits.shape[-2:] != size:
            logits = F.interpolate(logits.float(), tuple(size), mode="bilinear", align_corners=False)
        ids = np.array(network.classes.train_ids, dtype=np.uint8)
        return ids[logits.argmax(1)[0].cpu().numpy()]


def roots_of(args: argparse.Namespace, results: Mapping[str, Any]) -> Mapping[str, str]:
    """The data sets' roots for :class:`Domains`, as they were when the run was scored.

    Sets, in place, the flags for data and height that are not given.
    """
    if args.evaluation_height is None:
        args.evaluation_height = results.get("evaluation_height")
    folders = {} if args.data_root else results.get("folders", {})
    parents = {str(Path(folder).parent) for folder in folders.values()}
    if len(parents) == 1:
        args.data_root = parents.pop()
    return config.DATASET_ROOTS | {spec(name).root_name: folder for name, folder in folders.items()}


def make_albums(
    args: argparse.Namespace, groups: Sequence[Group], device: torch.device
) -> tuple[list[Album], list[str]]:
    """The pictures of all domains of the first run, and lines about what could not be shown.

    ``args`` has the flags of the program. Raises a UserError for a picture or a checkpoint that is broken.
    """
    networks = Networks(groups, device)
    notices = [f"{name}: no pictures, the weights are missing" for name in networks.without]
    if networks.classes is None:
        return [], notices
    first: Run = groups[0].runs[0]
    domains = Domains(args, roots_of(args, first.results), config.TOYCITY_ROOT, networks.classes.whole)
    albums = []
    for domain in first.domains:
        of = domains.spec(domain)
        try:
            # The runs may have been copied from a machine that has the data.
            resolve_root(of, args.data_root, domains.configured)
        except UserError as error:
            notices.append(f"{domain}: no pictures ({error})")
            continue
        dataset = domains.evaluation_loader(domain).dataset
        albums.append(make_album(domain, dataset, domains, networks, args))
    return albums, notices


def make_album(
    domain: str, dataset: Any, domains: Domains, networks: Networks, args: argparse.Namespace
) -> Album:
    """Some scenes at equal distances, and the hardest of those that ``--search`` lets it look at."""
    total = len(dataset)
    shown = spread(total, args.pictures)
    searched = spread(total, max(args.search, args.hardest)) if args.hardest else []
    scenes: dict[int, Scene] = {}
    for index in progress_bar(sorted({*shown, *searched}), desc=domain, unit="picture", leave=False):
        scenes[index] = make_scene(domain, dataset[index], domains, networks)
    with_truth = [index for index in searched if not np.isnan(scenes[index].miou)]
    hardest = sorted(with_truth, key=lambda index: scenes[index].miou)[: args.hardest]
    return Album(
        domain, [scenes[index] for index in shown], [scenes[index] for index in hardest], len(searched), total
    )


def spread(total: int, count: int) -> list[int]:
    """At most ``count`` numbers below ``total``, at equal distances."""
    return [number * total // count for number in range(count)] if count < total else list(range(total))


def make_scene(domain: str, sample: Mapping[str, Any], domains: Domains, networks: Networks) -> Scene:
    """One picture with everything that is said of it."""
    image, truth = sample["image"], sample["label"].numpy().astype(np.uint8)
    classes = domains.classes.of
    scene = Scene(
        domain,
        str(sample["name"]),
        embed(Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()), lossy=True),
        embed(class_picture(truth, classes), lossy=False),
    )
    for row in networks.of:
        said = networks.predict(row, image, domains, sample["label"].shape)
        picture = embed(class_picture(said, classes), lossy=False)
        scene.predictions.append(Prediction(row, picture, picture_miou(said, truth)))
    return scene


def embedded(albums: Sequence[Album]) -> Iterator[Embedded]:
    """Every picture of the albums."""
    for album in albums:
        for scene in (*album.scenes, *album.hardest):
            yield from (scene.picture, scene.truth, *(each.picture for each in scene.predictions))
