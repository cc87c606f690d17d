"""Train a segmentation network on one domain, then score it on domains it never saw.

    python train.py                                                  # the embedded toy city, on a laptop
    torchrun --nproc_per_node=4 train.py --dataset gtav --val_dataset cityscapes bdd100k --exp my_run

Reads top to bottom: arguments, model, one step, checkpoint, scores, the run. Knows nothing of any single
method.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import config
from datasets.domains import Domains
from datasets.training import TrainingLoaders
from methods import METHODS, Progress, method_named
from methods.build import build_method, build_optimizer, placed, take_over, wrap
from methods.inspection import covariance_pictures
from network import SegmentationNet, create_network, stated_architecture
from network.cost import describe
from transforms.geometric import as_size
from utils import distributed
from utils.checkpoint import load_checkpoint, load_state, save_checkpoint
from utils.errors import UserError, run_program
from utils.evaluation import autocast, to_device
from utils.family_flags import family_notices
from utils.meter import Meter
from utils.progress import progress_bar
from utils.run_folder import RunFolder
from utils.schedule import learning_rate_factor
from utils.scores import DomainScore, commit, domain_table, write_json
from utils.seeding import seed_step
from utils.selection import LAST, Selection
from utils.visualize import crop_pictures


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; without ``--dataset`` the toy city and the settings that suit it."""
    parser = config.training_parser(__doc__)
    return config.parse_training_arguments(parser, arguments)


class Run:
    """One training run: what is trained and how far it is; what a step, a checkpoint and a score are."""

    def __init__(
        self, args: argparse.Namespace, device: torch.device, folder: RunFolder, network: SegmentationNet
    ) -> None:
        self.args, self.device, self.folder, self.architecture = args, device, folder, network.config
        resume_file = folder.resume_file(args.resume)
        folder.refuse_another_run(resume_file, args.overwrite)
        checkpoint = self.read_checkpoint(resume_file) if resume_file is not None else None
        self.method = build_method(args, network, fresh=resume_file is None)
        num_classes = self.architecture["num_classes"]
        self.domains = Domains(args, config.DATASET_ROOTS, config.TOYCITY_ROOT, num_classes)
        method = self.method
        self.loaders = TrainingLoaders(
            self.domains, args, method.views, method.color_jitter, method.domains, method.target_transform
        )
        self.validation = {
            name: self.domains.evaluation_loader(name)
            for name in dict.fromkeys([*args.dataset, *args.val_dataset])
        }
        self.domains.check_labels(self.validation.values(), args)
        self.model = wrap(self.method, args, device)
        self.optimizer = build_optimizer(self.method, args, device)
        start = []
        if checkpoint is None and args.resume_from:
            start = [take_over(self.method, self.optimizer, args.resume_from)]
        self.scaler = torch.amp.GradScaler(device.type, enabled=args.amp == "fp16")
        # Nothing is written, and with --overwrite nothing removed, before data and weights have proved good.
        folder.open(vars(args), resume=resume_file is not None)
        for line in [
            *family_notices(args),
            *config.method_notices(args, network.config["snr_stages"]),
            *start,
        ]:
            folder.log(line)
        self.last_batch: dict[str, Any] | None = None
        self.iteration, self.selection = 0, Selection(args.selection, args.dataset, args.val_dataset)
        if checkpoint is not None:
            self.restore(checkpoint)
            folder.log(f"resumed {resume_file} at iteration {self.iteration}")

    @property
    def pictures_per_step(self) -> int:
        """Pictures of all processes and domains that make one iteration."""
        args, sources = self.args, len(self.args.dataset)
        items = args.bs_mult * args.accumulate * distributed.world_size()
        return items * (1 if args.image_uniform_sampling else sources) + self.target_pictures_per_step

    @property
    def target_pictures_per_step(self) -> int:
        """How many of them are of the target domain; all crops of a picture count as one."""
        args = self.args
        if not args.target_dataset:
            return 0
        parts = len(args.dataset) if args.step_per_domain else 1
        shared = args.processes_per_group if METHODS[args.method].target_transform == "multi_crop" else 1
        groups = distributed.world_size() // shared
        return (args.target_bs_mult or args.bs_mult) * groups * args.accumulate * parts

    @property
    def sizes_of_step(self) -> dict[str, int]:
        """What has to stay the same when a run goes on with other processes."""
        return {"pictures per step": self.pictures_per_step, "of the target": self.target_pictures_per_step}

    @property
    def last_iteration(self) -> int:
        """How many iterations the run has."""
        return min(self.args.max_iter, self.args.iter_stop or self.args.max_iter)

    @property
    def progress(self) -> Progress:
        epoch = self.iteration // self.loaders.steps_per_epoch
        return Progress(self.iteration, self.args.max_iter, epoch)

    def read_checkpoint(self, path: Path) -> dict[str, Any]:
        """The checkpoint to go on from; a UserError if it is of another kind of run."""
        checkpoint = load_checkpoint(path)
        if "optimizer" not in checkpoint:
            raise UserError(f"{path}: holds weights alone, no run to go on with; use --snapshot")
        now = {**self.sizes_of_step, **self.folder.plain(vars(self.args))}
        then = {**checkpoint["sizes_of_step"], **checkpoint["arguments"]}
        # A setting that the checkpoint does not know came after it, with a default that changes nothing.
        same = config.FREE_ON_RESUME | (now.keys() - then.keys())
        names = [name for name in now if name not in same and now[name] != then[name]]
        if names:
            changes = ", ".join(f"{name} was {then[name]}, is {now[name]}" for name in names)
            raise UserError(f"{path}: of a run with other settings ({changes}); use its own, or --snapshot")
        return checkpoint

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Go on exactly where the checkpoint was written."""
        load_state(self.method, checkpoint["model"], "--resume")
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        # The file's memory layout may be another: --channels_last may change.
        for parameter, state in self.optimizer.state.items():
            state.update({name: placed(value, parameter) for name, value in state.items()})
        if checkpoint["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(checkpoint["scaler"])
        self.iteration = checkpoint["iteration"]
        # A run that goes on in another folder has no best.pth there to compare with.
        saved = [name for name in self.selection.best if self.folder.weights(name).exists()]
        self.selection.resume(checkpoint["best"], saved)

    def save(self, weights: str) -> None:
        """Write everything a resume or ``infer.py`` needs, called ``weights``; one process does."""
        if distributed.is_main():
            content = {
                "network": self.architecture,
                "method": self.args.method,
                "model": self.method.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "iteration": self.iteration,
                "sizes_of_step": self.sizes_of_step,
                "best": {name: vars(best) for name, best in self.selection.best.items()},
                "arguments": self.folder.plain(vars(self.args)),
                "commit": commit(),
                "selection": self.selection.rule_of(weights),
            }
            save_checkpoint(self.folder.weights(weights), content)
        distributed.barrier()

    def step(self, batches: Iterator[dict[str, dict[str, Any]]], meter: Meter) -> None:
        """One iteration: one optimiser step, or with ``--step_per_domain`` one per source domain."""
        args = self.args
        restart = args.rlx_off_iter if args.lr_schedule == "scl-poly" else None
        learning_rate = learning_rate_factor(
            self.iteration, args.max_iter, args.poly_exp, restart, args.rescale, args.repoly
        )
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * learning_rate
        for part in range(self.loaders.parts):
            self.optimise(batches, meter, self.iteration * self.loaders.parts + part)
        self.method.after_step(self.progress)
        meter.steps += 1

    def optimise(self, batches: Iterator[dict[str, dict[str, Any]]], meter: Meter, number: int) -> None:
        """The run's optimiser step ``number``, backward batch by batch, so that one graph lives at a time."""
        args = self.args
        self.optimizer.zero_grad(set_to_none=True)
        for part in range(args.accumulate):
            waited = time.perf_counter()
            batch_per_domain = next(batches)
            meter.data_seconds += time.perf_counter() - waited
            # After the loader, which draws from torch's generator itself whenever it starts an epoch.
            seed_step(args.seed, distributed.rank(), number * args.accumulate + part)
            for domain in self.method.domains:
                # DDP exchanges gradients during a backward that reaches every parameter; with several
                # domains none does, so they are exchanged afterwards.
                final = part == args.accumulate - 1 and len(self.method.domains) == 1
                batch = self.last_batch = batch_per_domain[domain]
                with self.model.no_sync() if distributed.world_size() > 1 and not final else nullcontext():
                    with autocast(args.amp, self.device):
                        losses = self.model(to_device(batch, self.device), domain, self.progress)
                    if losses:
                        self.scaler.scale(sum(losses.values()) / args.accumulate).backward()
                shares = args.accumulate * self.loaders.parts
                meter.add({name: loss / shares for name, loss in losses.items()})
        if len(self.method.domains) > 1:
            distributed.average_gradients(self.method.parameters())
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def score(self, name: str) -> DomainScore:
        """Score the current weights on the val split of one domain."""
        self.method.eval()
        score = self.domains.score(
            name,
            self.method.predict,
            self.validation[name],
            self.device,
            self.args.amp,
            self.args.dataset,
        )
        self.method.train()
        return score

    def show(self) -> None:
        """Show in TensorBoard what the method is at; one process does."""
        if not distributed.is_main():
            return
        self.folder.scalars(
            {name: value.item() for name, value in self.method.scalars().items()}, self.iteration
        )
        if self.last_batch is not None:
            self.method.eval()
            pictures = self.method.pictures(
                to_device(self.last_batch, self.device), self.domains.classes.palette
            )
            self.method.train()
            self.folder.board_pictures(pictures, self.iteration)

    def select(self) -> None:
        """Evaluate, and keep the weights where they are the best so far by the run's rule."""
        if self.args.visualize_feature:
            image = self.validation[self.args.dataset[0]].dataset[0]["image"].to(self.device)
            pictures = covariance_pictures(self.method.network.eval(), image)
            self.draw(f"covariance/{self.iteration}_site", pictures)
        scores = {name: self.score(name) for name in self.selection.evaluated}
        for name, score in scores.items():
            self.folder.log(self.selection.line(name, score, self.iteration))
            self.folder.scalars({f"{name}/mean_iu": score.miou}, self.iteration)
        for name in self.selection.consider(scores, self.iteration):
            self.save(name)

    def draw(self, name: str, pictures: Mapping[Any, Image.Image]) -> None:
        """Write pictures to ``<name><key>.png`` in the run folder."""
        for key, picture in pictures.items():
            self.folder.picture(f"{name}{key}.png", picture)

    def train(self) -> None:
        """Epoch after epoch to the last iteration, from wherever the run stands."""
        self.folder.log(f"{self.args.method}, {describe(self.architecture, *as_size(self.args.crop_size))}")
        args, steps_per_epoch, end = self.args, self.loaders.steps_per_epoch, self.last_iteration
        if args.dump_augmentation_images:
            for domain, batch in next(iter(self.loaders.batches(0))).items():
                palette = self.domains.classes.palette
                self.draw(f"crops/{domain}", crop_pictures(batch, self.method.views, palette))
        self.model.train()
        self.method.before_training(end / steps_per_epoch)
        meter = Meter()
        bar = progress_bar(total=end, initial=self.iteration, unit="step")
        while self.iteration < end:
            epoch, first_step = divmod(self.iteration, steps_per_epoch)
            batches = self.loaders.batches(epoch, first_batch=first_step * args.accumulate)
            for _ in range(first_step, min(steps_per_epoch, first_step + end - self.iteration)):
                self.step(batches, meter)
                self.iteration += 1
                bar.update()
                if self.iteration % args.log_every == 0:
                    self.log(bar, meter)
                    meter = Meter()
                with meter.paused():
                    self.between_steps(epoch)
        bar.close()

    def between_steps(self, epoch: int) -> None:
        """What is due after a step: the method's epoch end, an evaluation, a checkpoint."""
        args = self.args
        end_of_epoch = self.iteration % self.loaders.steps_per_epoch == 0
        last = self.iteration == self.last_iteration
        evaluation = last or (args.eval_every and self.iteration % args.eval_every == 0)
        saving = last or self.iteration % args.save_every == 0
        if end_of_epoch or evaluation or saving:
            self.share_buffers()
        if end_of_epoch:
            self.method.after_epoch(Progress(self.iteration, args.max_iter, epoch), self.loaders)
        if evaluation:
            self.show()
            self.select()
        if saving:
            self.save(LAST)

    def share_buffers(self) -> None:
        """Give all processes rank 0's BN statistics: without synchronised BN each has its own."""
        for buffer in self.method.buffers():
            distributed.broadcast(buffer)

    def log(self, bar: progress_bar, meter: Meter) -> None:
        """One line in the log, a point in TensorBoard, the end of the progress bar."""
        values = meter.read(self.pictures_per_step)
        total = sum(value for name, value in values.items() if name.startswith("loss/"))
        if not math.isfinite(total):
            raise UserError(
                f"the loss is {total} at iteration {self.iteration}: training diverged; lower --lr"
            )
        values["lr"] = self.optimizer.param_groups[0]["lr"]
        self.folder.scalars(
            {"loss/train_loss": total, **values},
            self.iteration,
        )
        words = ", ".join(f"{name.removeprefix('loss/')} {value:.4g}" for name, value in values.items())
        place = f"[epoch {self.progress.epoch}] [iter {self.iteration} / {self.last_iteration}]"
        self.folder.log(f"{place} {words}", echo=bar.disable)
        bar.set_postfix_str(words, refresh=False)

    def report(self) -> None:
        """Score the selected weights on all domains: a table and ``results.json``."""
        scores, selection, loaded = {}, self.selection, LAST
        for name in self.validation:
            score, weights = selection.known(name), selection.weights_of(name)
            if score is None and weights != loaded:
                path, loaded = self.folder.weights(weights), weights
                if not selection.has_chosen(weights):
                    raise UserError(
                        f"{path}: is missing, and the run is over; score it with the --selection and "
                        "--val_dataset that it was trained with"
                    )
                load_state(self.method, load_checkpoint(path)["model"], path)
            scores[name] = score or self.score(name)
        how = {
            name: {
                "selection": selection.rule_of(selection.weights_of(name)),
                "iteration": selection.iteration(name, self.iteration),
                "checkpoint": str(self.folder.weights(selection.weights_of(name))),
            }
            for name in scores
        }
        self.folder.log(f"{self.domains.protocol_words}, commit {commit()}")
        words = {name: f"{h['selection']}, iteration {h['iteration']}" for name, h in how.items()}
        self.folder.log(domain_table(scores, words))
        if distributed.is_main():
            first = self.args.dataset[0]
            content = self.domains.results(scores, split="val", **how[first])
            for name, domain in content["domains"].items():
                domain |= how[name]
            write_json(self.folder.results_file, content)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_arguments(arguments)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # Asked for by --deterministic on GPUs.
    device = distributed.setup(args.local_rank)
    torch.use_deterministic_algorithms(args.deterministic, warn_only=True)
    torch.backends.cudnn.benchmark = not args.deterministic
    # Random initial weights: the same on every process and in every run with this seed.
    torch.manual_seed(args.seed)
    args.method = method_named(args)
    method = METHODS[args.method]
    config.apply_method_defaults(args, method)
    config.apply_target_arguments(args, method.domains)
    stated = stated_architecture(vars(args))
    network = create_network(**{**method.architecture, **stated})
    args.wt_layer = network.config["wt_layer"]
    exp = args.exp or f"{args.method}-{network.config['backbone']}"
    run = Run(args, device, RunFolder(args.ckpt, args.date, exp, args.tb_path), network)
    run.train()
    run.report()
    run.folder.close()
    distributed.shutdown()
    return 0


if __name__ == "__main__":
    run_program(main)
