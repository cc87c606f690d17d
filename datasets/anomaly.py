"""Scoring networks on pictures with anomalies: those of SegmentMeIfYouCan (SMIYC) and Fishyscapes.

The benchmarks: Chan et al., "SegmentMeIfYouCan: A Benchmark for Anomaly Segmentation", NeurIPS 2021; Blum et
al., "The Fishyscapes Benchmark: Measuring Blind Spots in Semantic Segmentation", IJCV 2021. Only the pictures
with public masks can be scored here; the tracks' own tables are made from others.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.utils.data import Dataset

from datasets.definitions.codings import LabelCoding
from datasets.domains import Domains
from datasets.files.folders import files_below
from datasets.files.pairing import Pair, check_sizes
from datasets.files.reading import read_label
from datasets.sampling.loaders import evaluation_loader
from transforms.pipeline import EvaluationTransform
from utils import distributed
from utils.declare import Flag
from utils.errors import UserError
from utils.images import read_image
from utils.memory import enough_memory
from utils.scoring.anomaly import ANOMALY, KNOWN, AnomalyCounts, AnomalyScore
from utils.scoring.evaluation import evaluate
from utils.scoring.sliding_window import averaged

CODING = LabelCoding("anomaly mask", {KNOWN: (0,), ANOMALY: (1,)}, (255,))


@dataclass(frozen=True)
class Kind:
    """How a benchmark names its files.

    ``mask`` and ``picture`` are regular expressions for paths below the folder that the user names. In both,
    ``id`` is what a mask and its picture share, and ``track``, if it is there, the folder of a track.
    ``track`` is the name of the only track otherwise. Errors call a mask ``mask_name``, and the picture of an
    id ``picture_name``.
    """

    mask: re.Pattern[str]
    picture: re.Pattern[str]
    mask_name: str
    picture_name: str
    track: str = ""


KINDS = {
    # All recordings of Lost and Found start with two digits; other parts of Fishyscapes have other pictures.
    "fishyscapes": Kind(
        re.compile(r"(?:.*/)?\d{4}_(?P<id>\d\d_[^/]+)_labels\.png"),
        re.compile(r"(?:.*/)?(?P<id>[^/]+)_leftImg8bit\.png"),
        "NNNN_*_labels.png with the name of a picture of Lost and Found",
        "{}_leftImg8bit.png of Lost and Found",
        "Fishyscapes",
    ),
    "smiyc": Kind(
        re.compile(r"(?:(?P<track>.*)/)?labels_masks/(?P<id>[^/]+)_labels_semantic\.png"),
        re.compile(r"(?:(?P<track>.*)/)?images/(?P<id>[^/]+)\.(?:jpg|webp|png)"),
        "labels_masks/*_labels_semantic.png",
        "images/{}.jpg or .webp",
    ),
}


@dataclass(frozen=True)
class Track:
    """The pictures of one track with their masks; ``left_out`` is how many more have no mask.

    ``sizes`` are the (width, height) of the pictures.
    """

    name: str
    folder: Path
    pairs: Sequence[Pair]
    sizes: Sequence[tuple[int, int]]
    left_out: int

    @property
    def line(self) -> str:
        """What was found, in words."""
        others = f"; {self.left_out} without a mask are left out" if self.left_out else ""
        return f"{self.name}: {len(self.pairs)} pictures with masks, read from {self.folder}{others}"


def add_anomaly_argument(parser: argparse.ArgumentParser) -> None:
    """Add the flag whose words :func:`find_tracks` takes."""
    Flag(parser, "--anomaly", str, nargs="+", metavar="KIND DIR", everyday=True).means(
        f"Score how well anomalies are found in the pictures in DIR of this KIND, {' or '.join(KINDS)}."
    )


def find_tracks(words: Sequence[str] | None) -> list[Track]:
    """The tracks in the folders of ``words``: a kind, its folder, perhaps another kind with its folder.

    Raises a UserError for an unknown kind, a folder that is missing or has no masks, a mask without picture
    or of another size than its picture, and two tracks of one name.
    """
    words = words or []
    kinds, folders = words[::2], words[1::2]
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"--anomaly {kind}: is no kind of pictures; known are {', '.join(KINDS)}")
    if len(kinds) > len(folders):
        raise UserError(f"--anomaly {' '.join(words)}: name the folder of {kinds[-1]} after it")
    found: dict[str, Track] = {}
    for kind, folder in zip(kinds, folders, strict=True):
        for track in _tracks_in(kind, Path(folder)):
            if track.name in found:
                both = f"{found[track.name].folder} and {track.folder}"
                raise UserError(f"--anomaly {kind} {folder}: {both} are both {track.name}; name one of them")
            found[track.name] = track
    return list(found.values())


def _tracks_in(kind: str, root: Path) -> list[Track]:
    """The tracks of a kind below ``root`` that have masks, by name."""
    if not root.is_dir():
        raise UserError(f"--anomaly {kind} {root}: no such folder; name the one with the pictures and masks")
    naming, paths = KINDS[kind], sorted(files_below(root))
    masks, pictures = _by_track(naming.mask, root, paths), _by_track(naming.picture, root, paths)
    if not masks:
        raise UserError(f"--anomaly {kind} {root}: no masks here; looked for {naming.mask_name}")
    tracks = []
    for folder, of_track in masks.items():
        images = pictures.get(folder, {})
        for name, mask in of_track.items():
            if name not in images:
                wanted = naming.picture_name.format(name)
                raise UserError(f"{mask} has no picture: put {wanted} into {root / folder}")
        pairs = [Pair(name, images[name], mask) for name, mask in of_track.items()]
        title = naming.track or (root / folder).resolve().name.removeprefix("dataset_")
        place, left_out = (root / folder).absolute(), len(images) - len(pairs)
        tracks.append(Track(title, place, pairs, check_sizes(pairs), left_out))
    return sorted(tracks, key=lambda track: track.name)


def _by_track(pattern: re.Pattern[str], root: Path, paths: Iterable[str]) -> dict[str, dict[str, Path]]:
    """Folder of a track below ``root`` -> id -> file, of the ``paths`` that match.

    Raises a UserError for an id that is there twice.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in paths:
        if match := pattern.fullmatch(path):
            of_track = found.setdefault(match.groupdict().get("track") or "", {})
            if first := of_track.get(match["id"]):
                raise UserError(f"{root}: {first} and {root / path} are the same file twice; remove one")
            of_track[match["id"]] = root / path
    return found


class MaskedPictures(Dataset):
    """The pictures of a track at their own size: ``image`` uint8 3 x H x W, ``label`` uint8 H x W, ``name``.

    Raises a UserError for a picture or mask that cannot be read, and for a value that masks do not have.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = pairs
        self.transform = EvaluationTransform()

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor | str]:
        name, image, mask, _ = self.pairs[index]
        return {**self.transform(read_image(image), read_label(mask, CODING)), "name": name}


def anomaly_words(domains: Domains) -> str:
    """A sentence for the reader of anomaly scores: how they were made."""
    inference = domains.inference
    means = f", {inference.description}" if inference.description else ""
    without = " (of probabilities, so without max logit)" if inference.gives_probabilities else ""
    precision = "" if domains.precision == "float32" else f", in {domains.precision}"
    return f"anomalies in whole pictures{means}{without}{precision}"


def score_tracks(
    tracks: Sequence[Track],
    domains: Domains,
    predict: Callable[[torch.Tensor], torch.Tensor],
    device: torch.device,
    amp: str = "off",
) -> Mapping[str, AnomalyScore]:
    """Track name -> score of ``predict`` (see ``utils.scoring.evaluation``); pictures of all processes count.

    Answers are averaged and pictures loaded as for ``domains``. Raises a UserError as
    :class:`MaskedPictures` does, and if an answer is NaN.
    """
    averages = averaged(predict, domains.inference)
    scores = {}
    for track in tracks:
        counts = AnomalyCounts(device, probabilities=domains.inference.gives_probabilities)
        share = distributed.rank(), distributed.world_size()
        how = domains.batch_size, domains.workers, *share, domains.pin
        loader = evaluation_loader(MaskedPictures(track.pairs), *how, kinds=track.sizes)
        with enough_memory(track.name, "to score with less, use --bs_mult_val 1 or --amp bf16"):
            evaluate(averages, loader, {"": [counts]}, device, amp, title=track.name)
        if counts.undefined:
            cause = f"the network's answers make {counts.undefined} scores of pixels that are no numbers"
            raise UserError(f"{track.name}: {cause}; use --amp off, or another checkpoint")
        scores[track.name] = replace(counts.score(), folder=track.folder.as_posix())
    return scores
