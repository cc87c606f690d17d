"""Train a segmentation network on one domain, then score it on domains it never saw.

    python train.py                                                  # the embedded toy city, on a laptop
    torchrun --nproc_per_node=4 train.py --dataset gtav --val_dataset cityscapes bdd100k --exp my_run

--help METHOD shows the flags of one method, --config FILE reads flags from a file.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

import config
from datasets.definitions.catalog import network_classes
from datasets.domains import Domains
from datasets.training import TrainingLoaders, sizes_of_step
from methods import METHODS, Progress, method_named
from methods.engine.build import build_method, take_over
from methods.engine.evaluations import Evaluation
from methods.engine.step import TrainingStep
from network import SegmentationNet, create_network, stated_architecture
from network.base_weights import ENTRY, as_saved, saves_all, whole_model
from network.cost import describe
from network.tuning import trained_words
from transforms.device_photometric import changed_views
from transforms.geometric import as_size
from utils import distributed
from utils.declare import free_on_resume
from utils.device import device_name
from utils.errors import UserError, run_program
from utils.flags.family import family_notices
from utils.hardware import hardware
from utils.memory import enough_memory
from utils.precision import choose_precision, faster_flags
from utils.progress import print_notices, progress_bar
from utils.run.checkpoint import DamagedCheckpoint, load_checkpoint, load_state, save_checkpoint
from utils.run.meter import Meter
from utils.run.preemption import Stopped, StopRequest, mark_stopped, stop_request, stopping_at_once
from utils.run.resume import agree_on_resume, first_whole, refuse_other_settings
from utils.run.run_folder import RunFolder
from utils.scoring.published import kind_of, lines_beside, read_published
from utils.scoring.scores import git_commit
from utils.scoring.selection import LAST
from utils.scoring.visualize import crop_pictures

MOST_WAITING = 0.1
"""If the steps wait for data for a larger share of the training time than this, a line says so."""
LESS_MEMORY = (
    "lower --bs_mult and raise --accumulate as much, or use --amp bf16, and go on with --resume auto; or "
    "start again with a smaller --crop_size"
)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; without ``--dataset`` the toy city and the settings that suit it."""
    return config.parse_training_arguments(config.training_parser(__doc__), arguments)


class Run:
    """One training run: what it trains, how far it is, and when it logs, scores and saves."""

    def __init__(
        self,
        args: argparse.Namespace,
        device: torch.device,
        precision: str,
        folder: RunFolder,
        network: SegmentationNet,
    ) -> None:
        self.args, self.device, self.folder, self.architecture = args, device, folder, network.config
        # The commit is read now, because the work tree may change during the run.
        self.commit = git_commit()
        # A run is resumed only if nothing of another run would be lost, a checkpoint is whole, all processes
        # found the same one, and its settings and (checked in restore) training pictures are the same.
        resume_files = folder.resume_files(args.resume)
        folder.protect_results(resume_files, args.overwrite)
        self.sizes = sizes_of_step(args, METHODS[args.method].target_transform)
        resume_file, checkpoint, notices = first_whole(resume_files) if resume_files else (None, None, [])
        agree_on_resume(resume_file, checkpoint)
        if checkpoint is not None:
            settings, free = folder.plain(vars(args)), free_on_resume(config.training_parser())
            refuse_other_settings(resume_file, checkpoint, self.sizes, settings, free)
        self.method = method = build_method(args, network, fresh=checkpoint is None)
        roots = config.DATASET_ROOTS, config.TOYCITY_ROOT
        self.domains = Domains(args, *roots, network.classes, precision=precision)
        self.loaders = TrainingLoaders(
            self.domains, args, method.views, method.color_jitter, method.domains, method.target_transform
        )
        self.evaluation = Evaluation(args, method, self.domains, folder, device)
        self.step = TrainingStep(method, args, device, self.loaders.parts)
        if checkpoint is None and args.resume_from:
            notices.append(take_over(method, self.step.optimizer, args.resume_from))
        self.iteration, self.between_steps_due, self.meter = 0, False, Meter()
        if checkpoint is not None:
            notices += self.restore(checkpoint, resume_file)
        self.saves_all = saves_all(network, args.save)
        # Nothing is written, and with --overwrite nothing removed, before data and weights have proved good.
        folder.open(vars(args), resume_file, checkpoint)
        folder.begin_session(hardware(device))
        if checkpoint is None:
            notices += [*self.domains.folder_lines, *family_notices(args)]
            notices += config.method_notices(args, self.architecture["snr_stages"])
            cost = describe(self.architecture, *as_size(args.crop_size))
            notices.append(f"{args.method}, {cost}; {trained_words(method)}")
            notices.append(f"computes on {device_name(device)} in {precision}")
        for line in notices:
            folder.log(line)
        if checkpoint is not None:
            # These lines are only printed: the log of the run has them already.
            print_notices(*self.domains.folder_lines)
            folder.log(f"resumed {resume_file} at iteration {self.iteration}")
            if self.iteration > self.last_iteration:
                folder.log(f"--iter_stop {args.iter_stop}: the run is past it; it is scored where it is")

    @property
    def last_iteration(self) -> int:
        """The number of iterations after which the run ends."""
        return min(self.args.max_iter, self.args.iter_stop or self.args.max_iter)

    @property
    def progress(self) -> Progress:
        """How far the run is, for the method."""
        return Progress(self.iteration, self.args.max_iter, self.iteration // self.loaders.steps_per_epoch)

    def restore(self, checkpoint: dict[str, Any], path: Path) -> list[str]:
        """Restore the run from the checkpoint ``path``; returns a line for each file that is damaged."""
        if checkpoint["training_pictures"] != self.loaders.digest:
            raise UserError(
                f"{path}: of a run with other training pictures; bring back those it had, or use --snapshot"
            )
        load_state(self.method, whole_model(checkpoint, path, self.args.backbone_weights), path)
        self.method.network.base = checkpoint.get(ENTRY)
        self.step.load_state_dict(checkpoint, path)
        self.meter.load_state_dict(checkpoint["meter"], self.device)
        self.loaders.bad_samples.load_state_dict(checkpoint["bad_samples"])
        self.iteration = checkpoint["iteration"]
        self.between_steps_due = checkpoint["between_steps_due"]
        # The files of the best weights may be missing in another folder, or be newer than this checkpoint.
        saved, warnings = [], []
        for name, best in checkpoint["best"].items():
            file = self.folder.weights(name)
            if self.folder.holds(path) and file.exists():
                try:
                    if load_checkpoint(file).get("iteration") == best["iteration"]:
                        saved.append(name)
                except DamagedCheckpoint as damage:
                    warnings.append(f"warning: {damage}; weights of the evaluations to come take its place")
        self.evaluation.selection.resume(checkpoint["best"], saved)
        return warnings

    def save(self, weights: str, between_steps_due: bool = False) -> None:
        """Write the file ``weights`` with all that a resume or ``infer.py`` needs; one process does.

        ``between_steps_due``: the evaluation and the epoch's end after this iteration still have to run.
        """
        self.step.finite.check()
        self.log_bad_samples()
        if distributed.is_main():
            content = {
                "network": self.architecture,
                "method": self.args.method,
                "model": self.method.state_dict(),
                **self.step.state_dict(),
                "iteration": self.iteration,
                "between_steps_due": between_steps_due,
                "sizes_of_step": self.sizes,
                "training_pictures": self.loaders.digest,
                "best": {name: vars(best) for name, best in self.evaluation.selection.best.items()},
                "meter": self.meter.state_dict(),
                "bad_samples": self.loaders.bad_samples.state_dict(),
                "log_bytes": self.folder.log_bytes,
                "arguments": self.folder.plain(vars(self.args)),
                "commit": self.commit,
                "selection": self.evaluation.selection.rule_of(weights),
            }
            content = as_saved(content, self.method.network, self.saves_all, resumable=weights == LAST)
            previous = self.folder.previous if weights == LAST else None
            save_checkpoint(self.folder.weights(weights), content, previous)
            self.folder.note_time()
        distributed.barrier()

    def train(self, stop: StopRequest) -> bool:
        """Train from wherever the run stands to the last iteration; False if it was asked to stop earlier."""
        args, steps_per_epoch, end = self.args, self.loaders.steps_per_epoch, self.last_iteration
        if args.dump_augmentation_images:
            for domain, batch in next(iter(self.loaders.batches(0))).items():
                palette = self.domains.classes.palette
                pictures = crop_pictures(changed_views(batch), self.method.views, palette)
                self.folder.pictures(f"crops/{domain}", pictures)
        self.began, self.reported_waiting = self.iteration, False
        self.method.train()
        self.method.before_training(end / steps_per_epoch)
        self.meter.restart_clock()
        if self.between_steps_due:
            self.between_steps()
        bar = progress_bar(total=end, initial=self.iteration, unit="step")
        while self.iteration < end:
            epoch, first_step = divmod(self.iteration, steps_per_epoch)
            batches = self.loaders.batches(epoch, first_batch=first_step * args.accumulate)
            for _ in range(first_step, min(steps_per_epoch, first_step + end - self.iteration)):
                self.step(batches, self.progress, self.meter)
                self.iteration += 1
                bar.update()
                if self.iteration % args.log_every == 0:
                    self.log(bar)
                    self.meter = Meter()
                # Stop before an evaluation, because there may be no time for it. It runs after the resume.
                if stop.agreed():
                    bar.close()
                    self.share_buffers()
                    self.save(LAST, between_steps_due=True)
                    return False
                with self.meter.paused():
                    self.between_steps()
        bar.close()
        # Everything that the final scores need is saved, so a resumed run can still make them.
        return not stop.agreed_at_once()

    def between_steps(self) -> None:
        """Do what is due after a step: the method's end of an epoch, an evaluation, a checkpoint."""
        args = self.args
        end_of_epoch = self.iteration % self.loaders.steps_per_epoch == 0
        last = self.iteration == self.last_iteration
        evaluation = last or (args.eval_every and self.iteration % args.eval_every == 0)
        saving = last or self.iteration % args.save_every == 0
        if end_of_epoch or evaluation or saving:
            self.share_buffers()
        if evaluation:
            # If the evaluation fails (a broken picture, no time left), no step is lost.
            self.save(LAST, between_steps_due=True)
        if end_of_epoch:
            epoch = self.iteration // self.loaders.steps_per_epoch - 1
            self.method.after_epoch(Progress(self.iteration, args.max_iter, epoch), self.loaders)
        if evaluation:
            self.evaluation.show(self.step.last_batch, self.iteration)
            for name in self.evaluation.select(self.iteration):
                self.save(name)
        if saving:
            self.save(LAST)

    def share_buffers(self) -> None:
        """Give all processes the BatchNorm statistics of rank 0: if not synchronised, each has its own."""
        distributed.share_values(self.method.buffers())

    def log(self, bar: progress_bar) -> None:
        """Write the means since the last call to the log, to TensorBoard and into the progress bar."""
        values = self.meter.read(sum(self.sizes.values()))
        total = sum(value for name, value in values.items() if name.startswith("loss/"))
        if skipped := self.step.finite.check():
            values["skipped"] = skipped
        values |= self.log_bad_samples()
        self.folder.scalars({"loss/train_loss": total, **values}, self.iteration)
        words = ", ".join(f"{name.removeprefix('loss/')} {value:.4g}" for name, value in values.items())
        place = f"[epoch {self.progress.epoch}] [iter {self.iteration} / {self.last_iteration}]"
        self.folder.log(f"{place} {words}", echo=bar.disable)
        bar.set_postfix_str(words, refresh=False)
        # The first line does not count, because it includes the time in which the loader started.
        if not self.reported_waiting and self.iteration >= self.began + 2 * self.args.log_every:
            self.reported_waiting = report_waiting(values["images/s"], values["data wait"])

    def show_published(self) -> None:
        """Log what was published for such a run beside its own scores, unless these are of the toy city."""
        results = self.folder.written_results()
        if results and not config.made_by_toycity(results["folders"].values()):
            own = {name: 100 * (of["miou"] or 0) for name, of in results["domains"].items()}
            for line in lines_beside(kind_of(vars(self.args), self.architecture), own, read_published()):
                self.folder.log(line)

    def log_bad_samples(self) -> dict[str, float]:
        """Log which pictures were replaced since the last call; returns their number so far, if any."""
        for line in self.loaders.bad_samples.news():
            self.folder.log(line)
        return self.loaders.bad_samples.scalars()


def report_waiting(speed: float, wait: float) -> bool:
    """Print what helps if the steps wait too long for the loader; returns whether they do.

    The line is not logged: a run's log is the same on every machine, except for measured numbers.
    """
    if wait > MOST_WAITING:
        print_notices(
            f"the loader feeds {speed:.3g} images/s, the steps could take {speed / (1 - wait):.3g}; use "
            "--prepared or --photometric device, or raise --num_workers"
        )
    return wait > MOST_WAITING


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_arguments(arguments)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # --deterministic needs it on GPUs.
    device = distributed.setup(args.device, args.local_rank)
    print_notices(*faster_flags(args, device))
    precision = choose_precision(args, device)
    torch.use_deterministic_algorithms(args.deterministic)
    torch.backends.cudnn.benchmark = not args.deterministic
    # Random initial weights: the same on every process and in every run with this seed.
    torch.manual_seed(args.seed)
    args.method = method_named(args)
    method = METHODS[args.method]
    config.apply_method_defaults(args, method)
    config.apply_target_arguments(args, method.domains)
    classes = network_classes(args.dataset, args.num_classes).description
    stated = stated_architecture(vars(args), as_size(args.crop_size))
    network = create_network(**{**method.architecture, **stated, "classes": classes})
    args.wt_layer = network.config["wt_layer"]
    # timm:NAME has a colon, which Windows does not allow in the name of a folder.
    exp = args.exp or f"{args.method}-{network.config['backbone']}".replace(":", "-")
    with RunFolder(args.ckpt, args.date, exp, args.tb_path) as folder, enough_memory(exp, LESS_MEMORY):
        try:
            with stop_request() as stop:
                with stopping_at_once("before the first step; start again"):
                    run = Run(args, device, precision, folder, network)
                    # From here on all stop together, or none does.
                    distributed.barrier()
                finished = run.train(stop)
                if not finished:
                    how = f"stopped by {stop.reason} at iteration {run.iteration}"
                    folder.log(f"{how}; go on with --resume auto")
                    mark_stopped()
            if finished:
                with stopping_at_once("while scoring the finished run; --resume auto scores it again"):
                    run.evaluation.report(run.iteration, run.commit)
                    run.show_published()
        except Stopped as stopped:
            # The other processes may be anywhere in the program, so nothing is exchanged with them any more.
            print(stopped, flush=True)
            return 0
    distributed.shutdown()
    return 0


program = partial(run_program, main)
"""The command urbandg-train."""

if __name__ == "__main__":
    program()
