"""Files of experiments: which runs they mean, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell_scripts import SCRIPTS

import config
from scripts.experiments.matrix import Plan, read_experiment
from utils.errors import UserError

SHIPPED = sorted((SCRIPTS.parent / "experiments").glob("*.toml"))


def plans(tmp_path: Path, text: str, *further: str) -> list[Plan]:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    return read_experiment(file).plans(tmp_path / "logs", "mine", further)


def test_every_combination_is_a_run_with_a_name_and_its_flags(tmp_path: Path) -> None:
    text = """
        [flags]
        lr = 0.02
        no_pretrained = true
        [matrix]
        backbone = ["resnet50", "mobilenet_v2"]
        dataset = [["gtav"], ["gtav", "synthia"]]
        seed = [1, 2]
        [runs.base]
        [runs.isw]
        wt_layer = [0, 0, 2, 2, 2, 0, 0]
    """
    made = plans(tmp_path, text, "--data_root", "/data")
    assert len(made) == 2 * 2 * 2 * 2
    names = [plan.name for plan in made]
    assert len(set(names)) == len(names)
    assert names[0] == "base-mobilenet_v2-gtav+synthia-seed1"
    plan = next(plan for plan in made if plan.name == "isw-resnet50-gtav+synthia-seed2")
    words = "--lr=0.02 --no_pretrained --wt_layer 0 0 2 2 2 0 0 --backbone=resnet50 --dataset gtav synthia"
    where = ["--ckpt", str(tmp_path / "logs"), "--date", "mine", "--exp", plan.name]
    assert plan.command(1) == [
        "launch.sh",
        "train.py",
        *words.split(),
        "--seed=2",
        "--data_root",
        "/data",
        *where,
    ]
    assert plan.folder == tmp_path / "logs" / "mine" / plan.name


def test_without_rows_the_first_flag_of_the_matrix_makes_them(tmp_path: Path) -> None:
    made = plans(tmp_path, '[matrix]\nmethod = ["baseline", "diia"]\nseed = [7]\n')
    assert [(plan.name, plan.row) for plan in made] == [
        ("baseline-seed7", "baseline"),
        ("diia-seed7", "diia"),
    ]


def test_a_row_may_start_from_another_one_with_the_same_seed(tmp_path: Path) -> None:
    text = """
        [matrix]
        seed = [1, 2]
        [runs.ms]
        script = "adapt_ms_r101_gtav2cty.sh @source/last.pth"
        [runs.sac]
        resume_from = "@source/last.pth"
        [runs.source]
    """
    made = {plan.name: plan for plan in plans(tmp_path, text)}
    assert [*made][:2] == ["source-seed1", "source-seed2"]
    source = str(tmp_path / "logs" / "mine" / "source-seed2" / "last.pth")
    assert made["ms-seed2"].command(1)[:2] == ["adapt_ms_r101_gtav2cty.sh", source]
    assert f"--resume_from={source}" in made["sac-seed2"].words
    assert made["ms-seed2"].needs == made["sac-seed2"].needs == ("source-seed2",)


def test_only_some_rows_come_with_what_they_start_from(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[runs.a]\n[runs.b]\nsnapshot = "@a/last.pth"\n[runs.c]\n[matrix]\nseed = [1]\n')
    experiment = read_experiment(file)
    experiment.restrict(["b"], [5, 6])
    assert [plan.name for plan in experiment.plans(tmp_path, "x")] == [
        "a-seed5",
        "a-seed6",
        "b-seed5",
        "b-seed6",
    ]
    with pytest.raises(UserError, match=r"--only d: .*mine\.toml has no such row"):
        experiment.restrict(["d"], None)


def test_fewer_processes_accumulate_gradients(tmp_path: Path) -> None:
    (plan,) = plans(tmp_path, "processes = 4\n[runs.a]\naccumulate = 2\n")
    assert plan.command(4)[-2] == "--exp"
    assert plan.command(2)[-2:] == ["--accumulate", "4"]
    with pytest.raises(UserError, match="--gpus_per_run 3: does not divide the 4 processes of a"):
        plan.command(3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[run.a]\n", r"run: is unknown here; did you mean runs\?"),
        ("[runs.a]\nwt_layr = [1]\n", r"runs\.a: wt_layr: is no flag .*did you mean wt_layer\?"),
        ("[runs.a]\nlr = 'fast'\n", r"runs\.a: .*--lr: invalid float value: 'fast'"),
        ("[runs.a]\nlr = -1.0\n", r"runs\.a: --lr -1.0: must be"),
        ("[runs.a]\nlr = [0.1, 0.2]\n", r"runs\.a: lr: takes one value, not a list"),
        ("[runs.a]\ndate = 'x'\n", r"runs\.a\.date: is set for each run"),
        (
            "[runs.a]\nscript = 'train_nothing.sh'\n",
            r"runs\.a: script: scripts/train_nothing\.sh does not exist",
        ),
        ("[runs.a]\nscript = 3\n", r"runs\.a\.script: must be a text"),
        ("[runs.a]\nsnapshot = '@b/last.pth'\n", r"runs\.a: @b: the file has no such other row"),
        (
            "[runs.a]\nsnapshot = '@b/x'\n[runs.b]\nsnapshot = '@a/x'\n",
            "the rows a, b start from one another",
        ),
        ("[runs.a]\nseed = 1\n[matrix]\nseed = [1]\n", r"runs\.a\.seed: is in matrix, too"),
        ("[runs.'a/b']\n", r"runs\.a/b: is also the name of a folder"),
        ("[matrix]\nseed = 3\n", r"matrix\.seed: give a list of values"),
        ("[matrix]\nseed = [1, 1]\n", r"matrix\.seed: has 1 twice"),
        ("[runs.a]\n[matrix]\nexclude = [1]\n", "exclude: is no flag"),
        ("processes = 0\n[runs.a]\n", "processes: must be a whole number of at least 1"),
        ("runs = 3\n", "runs: must be a table"),
        ("about = 'nothing'\n", "names no run"),
        ("runs = [\n", "cannot be read"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"mine\.toml: .*{words}"):
        plans(tmp_path, text)


@pytest.mark.parametrize(
    ("further", "words"),
    [(["--seed", "3"], "--seed: .* use --seeds"), (["--exp=a"], "--exp: "), (["--lr", "x"], "--lr")],
)
def test_further_flags_are_checked_before_anything_starts(
    further: list[str], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=words):
        plans(tmp_path, "[matrix]\nseed = [1]\n", *further)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_files_are_sound(file: Path, tmp_path: Path) -> None:
    """Rows without a script also pass all checks that train.py makes before it reads data."""
    experiment = read_experiment(file)
    assert experiment.about
    made = experiment.plans(tmp_path, "x")
    assert len(made) == len(experiment.rows) * 3
    for plan in made:
        for processes in {1, plan.processes}:
            words = plan.command(processes)
            if words[0] == "launch.sh":
                config.parse_training_arguments(config.training_parser(), words[2:])
