"""The scores of a run, during training and at its end, and what it shows in TensorBoard."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from PIL import Image

from datasets.domains import Domains
from loss.whitening import covariance
from methods.common.base import Method
from network.base_weights import whole_model
from transforms.device_photometric import changed_views
from utils import distributed
from utils.device import many_sizes, to_device
from utils.errors import UserError
from utils.precision import autocast
from utils.run.checkpoint import load_checkpoint, load_state
from utils.run.run_folder import RunFolder
from utils.scoring.scores import DomainScore, domain_table
from utils.scoring.selection import LAST, Selection
from utils.scoring.visualize import covariance_picture


class Evaluation:
    """Scores the weights of ``method`` on the val splits of all domains of a run, and keeps the best.

    Attributes:
        selection: which weights are the best so far, by the run's rule.

    Raises:
        UserError: a data set, or its labels, cannot be scored on.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        method: Method,
        domains: Domains,
        folder: RunFolder,
        device: torch.device,
    ) -> None:
        self.args, self.method, self.domains, self.folder, self.device = args, method, domains, folder, device
        self.selection = Selection(args.selection, args.dataset, args.val_dataset)
        names = dict.fromkeys([*args.dataset, *args.val_dataset])
        self.validation = {name: domains.evaluation_loader(name) for name in names}
        domains.check_labels(self.validation.values())

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """A block in evaluation mode, in which no network is compiled: its pictures have many sizes."""
        eager = torch.compiler.set_stance("force_eager") if self.args.compile else nullcontext()
        self.method.eval()
        with many_sizes(), eager:
            yield
        self.method.train()

    def score(self, name: str) -> DomainScore:
        """Score the current weights on the val split of one domain."""
        predict, loader = self.method.network.predict, self.validation[name]
        with self.scoring():
            return self.domains.score(name, predict, loader, self.device, self.args.amp, self.args.dataset)

    def show(self, last_batch: dict[str, Any] | None, iteration: int) -> None:
        """Show the method's scalars and pictures in TensorBoard; only the main process does.

        The pictures are made of ``last_batch``, a batch as the loader gave it. ``None`` means no pictures.
        """
        if not distributed.is_main():
            return
        self.folder.scalars({name: value.item() for name, value in self.method.scalars().items()}, iteration)
        if last_batch is not None:
            with self.scoring(), autocast(self.args.amp, self.device):
                views = changed_views(to_device(last_batch, self.device))
                pictures = self.method.pictures(views, self.domains.classes.palette)
            self.folder.board_pictures(pictures, iteration)

    def select(self, iteration: int) -> list[str]:
        """Score the current weights; returns the names to save them under, if they are the best so far."""
        if self.args.visualize_feature:
            self.folder.pictures(f"covariance/{iteration}_site", self.covariance_pictures())
        scores = {name: self.score(name) for name in self.selection.evaluated}
        for name, score in scores.items():
            self.folder.log(self.selection.line(name, score, iteration))
            self.folder.scalars({f"{name}/mean_iu": score.miou}, iteration)
        return self.selection.consider(scores, iteration)

    @torch.no_grad()
    def covariance_pictures(self) -> dict[int, Image.Image]:
        """Whitened site -> its covariance for the first val picture of the first data set, as a picture."""
        image = self.validation[self.args.dataset[0]].dataset[0]["image"].to(self.device)
        network = self.method.network
        with self.scoring():
            features = network.whitening_features(network.input_spec.prepare(image[None]))
        covariances = {site: covariance(feature)[0].cpu().numpy() for site, feature in features.items()}
        return {site: covariance_picture(matrix) for site, matrix in covariances.items()}

    def report(self, iteration: int, commit: str) -> None:
        """Score the selected weights on all domains: a table and ``results.json``.

        ``iteration`` is that of the current weights, ``commit`` is the project's at the start of the run.

        Raises:
            UserError: a file of selected weights is missing.
        """
        scores, how, selection, loaded = {}, {}, self.selection, LAST
        for name in self.validation:
            score, weights = selection.known(name), selection.weights_of(name)
            if score is None and weights != loaded:
                path, loaded = self.folder.weights(weights), weights
                if not selection.has_chosen(weights):
                    raise UserError(
                        f"{path}: is missing, and the run is over; score it with the --selection and "
                        "--val_dataset that it was trained with"
                    )
                model = whole_model(load_checkpoint(path), path, self.args.backbone_weights)
                load_state(self.method, model, path)
            scores[name] = score or self.score(name)
            how[name] = {
                "selection": selection.rule_of(weights),
                "iteration": selection.iteration(name, iteration),
                "checkpoint": self.folder.weights(weights).as_posix(),
            }
        self.folder.log(f"{self.domains.protocol_words}, commit {commit}")
        words = {name: f"{of['selection']}, iteration {of['iteration']}" for name, of in how.items()}
        self.folder.log(domain_table(scores, words))
        if distributed.is_main():
            content = self.domains.results(scores, split="val", **how[self.args.dataset[0]])
            for name, domain in content["domains"].items():
                domain |= how[name]
            self.folder.results(content)
