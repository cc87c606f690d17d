"""Run many trainings from one file: methods, networks, data and seeds, each combination once.

    python -m scripts.experiments experiments/toycity.toml
    python -m scripts.experiments experiments/gtav_r50.toml --data_root /data --seeds 1 2 3 --dry_run

Further flags are train.py's, for every run. Started again, it goes on: finished runs are not repeated, cut
ones are resumed. Then python -m scripts.report makes the table. docs/experiments.md has all of it.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from scripts.experiments.matrix import Plan, read_experiment
from scripts.experiments.places import places, processes_of, visible_gpus
from scripts.experiments.runner import FAILED, STOPPED, Runner, shell_command
from scripts.experiments.slurm import submit
from scripts.experiments.state import claim, is_finished, refuse_other_settings
from scripts.experiments.watching import Screen
from utils.declare import SEEDS, Flag, check_ranges
from utils.errors import Parser, UserError, run_program
from utils.files import check_inside, check_writable


def make_parser() -> Parser:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        prog="python -m scripts.experiments",
        description=__doc__,
        formatter_class=formatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, metavar="FILE.toml", help="which runs, see experiments/")
    add = partial(Flag, parser)
    add("--only", str, nargs="+", metavar="ROW").means("Run these rows, and those that they start from.")
    add("--seeds", int, nargs="+").means("Run with these seeds, not those of the file.")
    add("--ckpt", "./logs/", metavar="DIR").means("Keep the runs in DIR/DATE.")
    add("--date", str).means("The folder of all runs in --ckpt; the default is the name of the file.")
    add("--gpus_per_run", int, above=0).means(
        "Give each run so many GPUs, not what the file says. With fewer, gradients are accumulated."
    )
    add("--side_by_side", 1, above=0).means("On a CPU, run so many at the same time; they share its cores.")
    add("--overwrite", False).means("Repeat runs that are finished.")
    add("--dry_run", False).means("Print the commands and start nothing.")
    add("--slurm", False).means("Submit the runs as array jobs of a SLURM cluster.")
    add("--sbatch", "", metavar="FLAGS").means('Flags for sbatch, in one word: --sbatch="--partition=a".')
    add("--at_once", int, above=0).means("With --slurm, let so many jobs of an array run at the same time.")
    add("--debug", False).means("Show the traceback of an error.")
    return parser


def print_commands(plans: Sequence[Plan], processes: int | None, has_gpus: bool) -> None:
    """One command per run; those of finished runs behind a #."""
    for plan in plans:
        number = processes_of(plan, processes, has_gpus)
        command = f"PROCESSES={number} {shlex.join(shell_command(plan, number))}"
        print(f"# finished: {command}" if is_finished(plan) else command)


def forget_results(plans: Sequence[Plan]) -> None:
    """Let finished runs be made again from their start; those that go on at the moment are left alone."""
    for plan in plans:
        if is_finished(plan) and (lock := claim(plan)):
            for old in (*plan.folder.glob("*.pth"), plan.folder / "results.json"):
                old.unlink(missing_ok=True)
            lock.close()


def run_here(args: argparse.Namespace, plans: Sequence[Plan]) -> int:
    """Run the plans on this machine; returns the exit code."""
    gpus = visible_gpus()
    most = max(processes_of(plan, args.gpus_per_run, bool(gpus)) for plan in plans)
    where = places(gpus, most, args.side_by_side)
    screen = Screen()
    processes = partial(processes_of, gpus_per_run=args.gpus_per_run, has_gpus=bool(gpus))
    for plan in plans:
        plan.command(processes(plan))  # An impossible number is said before anything starts.
    runner = Runner(plans, where, processes, screen.show, screen.say)
    complete = runner.run()
    folder = plans[0].notes.parents[1]
    for state in (FAILED, STOPPED):
        for run in (run for run in runner.runs.values() if run.state == state):
            print(f"{state}: {run.plan.name}{': ' if run.reason else ''}{run.reason}")
    done = sum(map(is_finished, plans))
    print(f"{done} of {len(plans)} runs are finished, in {folder}/", flush=True)
    if done:
        print(f"look at them: python -m scripts.report {folder} --output report", flush=True)
    return 0 if complete else 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = make_parser()
    args, further = parser.parse_known_args(arguments)
    check_ranges(parser, args)
    for seed in args.seeds or ():
        if not 0 <= seed < SEEDS:
            raise UserError(f"--seeds {seed}: must be between 0 and {SEEDS - 1}")
    experiment = read_experiment(args.file)
    experiment.restrict(args.only, args.seeds)
    date = args.date or args.file.stem
    check_inside(date, "--date")
    if Path(date).name != date:
        raise UserError(f"--date {date}: give one name, not a path; --ckpt says where its folder is")
    check_writable(Path(args.ckpt) / date / "run", "--ckpt")
    plans = experiment.plans(Path(args.ckpt), date, further)
    if args.dry_run:
        print_commands(plans, args.gpus_per_run, has_gpus=args.slurm or bool(visible_gpus()))
        return 0
    if args.overwrite:
        forget_results(plans)
    refuse_other_settings(plans)
    if args.slurm:
        return submit(plans, args.gpus_per_run, args.at_once, shlex.split(args.sbatch))
    return run_here(args, plans)


if __name__ == "__main__":
    run_program(main)
