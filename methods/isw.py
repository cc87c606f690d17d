"""Instance whitening losses: IW, IRW and ISW (Choi et al., RobustNet, CVPR 2021, sections 3.2-3.4).

The network normalises the features of each picture at some sites (``--wt_layer``). These methods also push
the covariance of the normalised features towards zero there:

* code 1, IW (eq. 7): all off-diagonal entries; IRW (eq. 11, ``--relax_denom`` > 0): the same, but only as far
  as their sum exceeds a margin;
* code 2, ISW (eq. 14): only the entries that change when the colours of a picture are jittered. They are
  chosen once, after epoch ``--cov_stat_epoch``: the variances of all entries over pairs (picture, jittered
  picture) are clustered.

Two points differ from the published code. Here the masks of the chosen entries are buffers; there they were
kept outside the model, so that a resumed run crashed. Here the processes share the pictures for the
statistics; there every process computed the same statistics.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from loss.whitening import (
    covariance,
    irw_margin,
    pair_variance,
    sensitive_mask,
    upper_triangle,
    whitening_loss,
)
from methods.common.base import Loaders, Method, Progress
from network import SegmentationNet
from utils.declare import Flag
from utils.device import float64_device, many_sizes, moved
from utils.distributed import all_reduce_sum, broadcast, is_main
from utils.errors import UserError

IW, ISW = 1, 2


class InstanceSelectiveWhitening(Method):
    """Segmentation loss + ``--wt_reg_weight`` x mean whitening loss of the sites with code 1 or 2."""

    name = "isw"
    codes = frozenset({IW, ISW})
    needs_sites = True

    @classmethod
    def is_meant_by(cls, arguments: argparse.Namespace) -> bool:
        return bool(cls.codes & set(arguments.wt_layer or ()))

    def __init__(self, network: SegmentationNet, arguments: argparse.Namespace) -> None:
        super().__init__(network, arguments)
        self.sites = {site: code for site, code in network.sites.items() if code in self.codes}
        if self.needs_sites and not self.sites:
            raise UserError(
                f"--method {self.name}: needs a site with code 1 (IW, IRW) or 2 (ISW); "
                "use e.g. --wt_layer 0 0 2 2 2 0 0"
            )
        # With ISW, the masks have to be built during training.
        self.selective = ISW in self.sites.values()
        if self.selective and arguments.relax_denom == 0 and arguments.clusters < 2:
            raise UserError(
                f"--clusters {arguments.clusters}: too few for ISW; give 2 or more (published: 3 for GTAV, "
                "2 for Cityscapes)"
            )
        if self.selective and arguments.trials < 1:
            raise UserError(
                f"--trials {arguments.trials}: ISW needs a round of statistics; give 1 or more "
                "(published: 10)"
            )
        for site, code in self.sites.items():
            mask = upper_triangle(network.site_channels[site])
            self.register_buffer(f"mask_site{site}", mask if code == IW else torch.zeros_like(mask))

    @staticmethod
    def add_arguments(parser: argparse._ArgumentGroup) -> None:
        add = partial(Flag, parser)
        add("--wt_reg_weight", 0.6, at_least=0).means("Weight the whitening loss by this.")
        add("--relax_denom", 0.0).means(
            "Code 1: the margin is the number of entries / this (IRW); 0 is no margin (IW). Code 2: penalise "
            "all entries but the share 1 / this that varies least; 0 clusters the entries."
        )
        add("--clusters", 3).means("ISW: cluster the variances of the entries into this many.")
        add("--cov_stat_epoch", 5, at_least=0).means("ISW: build the masks after this epoch (from 0).")
        add("--trials", 10).means("ISW: intersect the masks of this many rounds of statistics.")
        add("--dynamic", False).means("ISW: build the masks again every cov_stat_epoch + 1 epochs.")

    def mask(self, site: int) -> Tensor:
        """Float C x C: 1 for the entries that are penalised at ``site``, all above the diagonal, else 0."""
        return getattr(self, f"mask_site{site}")

    def forward(self, batch: dict[str, Tensor], domain: str, progress: Progress) -> dict[str, Tensor]:
        losses, features = self.supervised(batch, progress)
        losses["whitening"] = self.arguments.wt_reg_weight * self.whitening(features, progress)
        return losses

    def whitening(self, features: dict[str, Tensor], progress: Progress) -> Tensor:
        """Mean of the whitening losses of all sites; the loss of an ISW site is 0 until its mask is built."""
        total = torch.zeros((), device=next(iter(features.values())).device)
        for site, code in self.sites.items():
            if code == IW or progress.epoch > self.arguments.cov_stat_epoch:
                mask = self.mask(site)
                margin = irw_margin(mask.shape[0], self.arguments.relax_denom) if code == IW else 0
                total = total + whitening_loss(covariance(features[f"site{site}"]), mask, margin)
        return total / len(self.sites)

    def before_training(self, epochs: float) -> None:
        """Warn if the run ends before its masks are used, since it then trains without ISW's loss."""
        mask_epoch = self.arguments.cov_stat_epoch
        if self.selective and epochs <= mask_epoch + 1 and is_main():
            print(
                f"warning: this run has {epochs:.1f} epochs and ISW starts after epoch {mask_epoch} "
                "(from 0): it will train without ISW; lower --cov_stat_epoch or raise --max_iter",
                flush=True,
            )

    def after_epoch(self, progress: Progress, loaders: Loaders) -> None:
        """Build the masks after epoch ``--cov_stat_epoch`` or, with ``--dynamic``, once per period."""
        mask_epoch = self.arguments.cov_stat_epoch
        epoch = progress.epoch % (mask_epoch + 1) if self.arguments.dynamic else progress.epoch
        if self.selective and epoch == mask_epoch:
            self.build_masks(loaders)

    @torch.no_grad()
    @many_sizes()
    def build_masks(self, loaders: Loaders) -> None:
        """Build the ISW masks: an entry is kept if it is outside the lowest cluster in all trials.

        Each process takes its share of the pictures. One process clusters for all, so that all have equal
        masks. The network runs in evaluation mode, up to the last site.
        """
        sites = [site for site, code in self.sites.items() if code == ISW]
        chosen = {site: upper_triangle(self.mask(site).shape[0]).to(self.mask(site)) for site in sites}
        was_training = self.training
        self.eval()
        for trial in range(self.arguments.trials):
            for pairs in loaders.covariance_pairs(trial):
                variances = self.mean_pair_variance(pairs, sites)
                for site in sites:
                    chosen[site] *= self._select(variances[site]).to(chosen[site])
        self.train(was_training)
        for site in sites:
            self.mask(site).copy_(broadcast(chosen[site]))
            if is_main():
                print(f"ISW: site {site} penalises {int(chosen[site].sum())} covariance entries", flush=True)

    @torch.no_grad()
    def mean_pair_variance(
        self, pairs: Iterable[dict[str, Tensor]], sites: Sequence[int]
    ) -> dict[int, Tensor]:
        """Site -> variance of every covariance entry over two views of a picture, float64 C x C.

        ``pairs`` are this process's batches of the views ``image`` and ``image_jittered``, uint8. The result
        is the mean over the pairs of all processes. The caller sets evaluation mode.
        """
        device = self.mask(sites[0]).device
        precise = {"dtype": torch.float64, "device": float64_device(device)}
        sums = {site: torch.zeros_like(self.mask(site), **precise) for site in sites}
        count = torch.zeros((), **precise)
        for batch in pairs:
            views = (moved(batch[name], device) for name in ("image_jittered", "image"))
            for pair in zip(*views, strict=True):
                pictures = self.network.input_spec.prepare(torch.stack(pair))
                features = self.network.whitening_features(pictures, codes=(ISW,))
                for site in sites:
                    sums[site] += pair_variance(covariance(features[site])).to(count.device)
                count += 1
        all_reduce_sum(count)
        return {site: all_reduce_sum(total) / count.clamp(min=1) for site, total in sums.items()}

    def _select(self, variance: Tensor) -> Tensor:
        if not is_main():
            return torch.zeros_like(variance)
        relax_denom = self.arguments.relax_denom
        if relax_denom == 0:
            return sensitive_mask(variance, self.arguments.clusters)
        entries = variance.shape[0] * (variance.shape[0] - 1) // 2
        largest = variance.flatten().topk(entries - int(entries // relax_denom)).indices
        return torch.zeros_like(variance).flatten().index_fill_(0, largest, 1).view_as(variance)
