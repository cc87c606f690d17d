"""Declared facts of flags, help that starts with what people use, and flags from files."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from programs import ISW, TINY_METHODS, train_arguments

import config
import infer
import train
import valid
from methods import METHODS, method_named
from network import create_network, stated_architecture
from utils.declare import check_ranges, facts
from utils.errors import UserError
from utils.flags.parser import FlagParser
from utils.run.run_folder import RunFolder

PARSER = config.training_parser(train.__doc__)
NUMBERS = [
    action
    for action in PARSER._actions
    if facts(action).at_least is not None or facts(action).above is not None
]


def write(folder: Path, text: str, name: str = "flags.toml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def settings(words: list[str]) -> dict[str, Any]:
    """Everything that a command line of train.py sets, but for --config."""
    return {name: value for name, value in vars(train.parse_arguments(words)).items() if name != "config"}


def printed_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        train.parse_arguments(words)
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("action", NUMBERS, ids=lambda action: action.dest)
def test_numbers_outside_the_declared_range_are_refused(action: argparse.Action) -> None:
    known = facts(action)
    wrong = [known.above, known.at_most and known.at_most + 1, known.below, float("nan")]
    wrong += [] if known.at_least is None else [known.at_least - 1]
    for value in filter(lambda value: value is not None, wrong):
        with pytest.raises(UserError, match=f"^--{action.dest} {value}: must be "):
            check_ranges(PARSER, argparse.Namespace(**{action.dest: value}))
    for value in (known.at_least, known.at_most, action.default, known.toy):
        check_ranges(PARSER, argparse.Namespace(**{action.dest: value}))


def test_every_flag_has_a_sentence() -> None:
    for action in PARSER._actions:
        assert action.help and action.help[0].isalnum() and action.help.endswith("."), action.option_strings


def test_help_starts_with_a_screen_of_what_people_use(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = printed_help(["--help"], capsys)
    assert text == printed_help(["--help", "all"], capsys)
    assert argparse.SUPPRESS not in text and "help" not in vars(train.parse_arguments([]))
    first, _, rest = text.partition("\ntraining data:\n")
    assert len(first.splitlines()) <= 44
    for name in "dataset val_dataset data_root method wt_layer exp max_iter bs_mult lr amp resume".split():
        assert f"\n  --{name} " in first and f"\n  --{name} " not in rest
    assert rest.index("that change nothing:") > max(rest.index(f"method {name}:") for name in ("isw", "sac"))
    assert all(action.option_strings[0] in text for action in PARSER._actions)
    assert "(default 0.01, toy city 0.03)" in " ".join(first.split())


def test_help_of_a_method_shows_its_flags_alone(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed_help(["--help", "diia"], capsys)
    for word in ("--diia_main_weight", "--clusters", "(default 3)", "--wt_layer 0 0 2 2 2 0 0", "--gblur on"):
        assert word in text
    assert not {"--lr", "--w1"} & {*text.split()}
    for name in METHODS:
        words = printed_help(["--help", name], capsys).partition("defaults of other flags:")[2].split()
        assert {word for word in words if word.startswith("--")} <= PARSER._option_string_actions.keys()
    assert "--snr_dual_weight" in printed_help(["-h", "snr"], capsys)
    with pytest.raises(UserError, match=f"--help nothing: unknown; known are all, {', '.join(METHODS)}$"):
        train.parse_arguments(["--help", "nothing"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("lr = 0.2\nmax_iter = 7\nscale_min = 1e-5", "--lr 0.2 --max_iter 7 --scale_min 1e-5"),
        ("dataset = ['gtav', 'synthia']\nval_dataset = []", "--dataset gtav synthia --val_dataset"),
        ("dataset = 'gtav'\nwt_layer = [0, 0, 2, 2, 2, 0, 0]", "--dataset gtav --wt_layer 0 0 2 2 2 0 0"),
        ("dataset = ['gtav_jitter']", "--dataset gtav_jitter"),
        ("crop_size = [1280, 720]\ntarget_crop_size = 64", "--crop_size 1280,720 --target_crop_size 64"),
        ("crop_size = '1280,720'\nlambda_seg = 0.3", "--crop_size 1280 720 --aux_weight 0.3"),
        ("no_pretrained = true\nadam = true\nsgd = false", "--no_pretrained --adam"),
        ("pretrained = true\ngblur = false", "--pretrained --no_gblur"),
        ("no_pretrained = false\nno_gblur = false", "--pretrained --gblur"),
        ("channels_last = false\nno_auxiliary = false", "--no-channels_last"),
        ("no-channels_last = true\nno_train_snr = true", "--no-channels_last --no_train_snr"),
        (
            "scf = true\nhardnm = 0\nrlx_off_iter = -1\ndate = 2026-01-02",
            "--scf --hardnm 0 --date 2026-01-02",
        ),
        (
            "[network]\nbackbone = 'resnet50'\n[network.head]\noutput_stride = 8",
            "--backbone resnet50 --output_stride 8",
        ),
        (
            "coarse_boost_classes = [14, 15]\ncolor_jitter = [1, 1, 1, 0.5]",
            "--coarse_boost_classes 14,15 --color_jitter 1 1 1 0.5",
        ),
    ],
)
def test_a_file_means_what_its_flags_mean(text: str, words: str, tmp_path: Path) -> None:
    assert settings(["--config", write(tmp_path, text)]) == settings(words.split())


@pytest.mark.parametrize(
    ("text", "words", "meant"),
    [
        ("lr = 0.2\nexp = 'a'", "--lr 0.3", "--lr 0.3 --exp a"),
        ("dataset = ['gtav', 'synthia']", "--dataset kitti", "--dataset kitti"),
        ("pretrained = true", "--no_pretrained", "--no_pretrained"),
        ("backbone = 'resnet50'\noutput_stride = 8", "--arch deeplabv2_multi", "--arch deeplabv2_multi"),
        ("arch = 'deeplabv2_multi'", "--backbone=resnet50", "--backbone resnet50"),
        ("snapshot = 'a.pth'", "--resume_from b.pth", "--resume_from b.pth"),
    ],
)
def test_the_command_line_wins(text: str, words: str, meant: str, tmp_path: Path) -> None:
    file = write(tmp_path, text)
    for line in (["--config", file, *words.split()], [*words.split(), f"--config={file}"]):
        assert settings(line) == settings(meant.split())


def test_of_several_files_the_last_wins(tmp_path: Path) -> None:
    files = [write(tmp_path, f"lr = {lr}\n{more}", f"{lr}.toml") for lr, more in ((1, "seed = 5"), (2, ""))]
    args = settings(["--config", files[0], "--config", files[1]])
    assert (args["lr"], args["seed"]) == (2, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate = 1", "flags.toml: learning_rate: is no flag that a file can set; see .* --help"),
        ("debug = true", "flags.toml: debug: is no flag"),
        ("config = 'b.toml'", "flags.toml: config: is no flag"),
        ("train_snr = false", "flags.toml: train_snr: is no flag"),
        ("lr = 'fast'", "flags.toml: argument --lr: invalid float value: 'fast'"),
        ("lr = true", "flags.toml: lr: takes numbers or words, not true"),
        ("lr = [0.1]", "flags.toml: lr: takes one value, not a list"),
        ("lr = -1e-5", "flags.toml: --lr -1e-05: must be 0 or a positive number"),
        ("lr = nan", "flags.toml: --lr nan: must be a number"),
        ("max_iter = 1.5", "flags.toml: argument --max_iter: invalid int value: '1.5'"),
        ("max_iter = 0", "flags.toml: --max_iter 0: must be greater than 0"),
        ("seed = 9223372036854775808", "flags.toml: --seed 9223372036854775808: must be below"),
        ("adam = 'yes'", "flags.toml: adam: is a switch; give true or false"),
        ("amp = 'half'", "flags.toml: argument --amp: invalid choice: 'half'"),
        ("wt_layer = [0, 0]", "flags.toml: argument --wt_layer: expected 7 arguments"),
        ("dataset = []", "flags.toml: argument --dataset: expected at least one argument"),
        ("dataset = [['gtav']]", "flags.toml: dataset: takes numbers or words"),
        ("crop_size = [0]", "flags.toml: --crop_size 0: give a side"),
        ("lr = 1\n[step]\nlr = 2", "flags.toml: cannot be read .lr is there twice"),
        ("lr = ", "--config .*flags.toml: cannot be read .*; name a TOML file"),
    ],
)
def test_errors_name_file_and_key(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as error:
        train.parse_arguments(["--config", write(tmp_path, text)])
    assert "\n" not in str(error.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"exp = '\xe9'")
    for name in ("missing.toml", "", "latin.toml"):
        with pytest.raises(UserError, match=rf"--config .*{name}: cannot be read"):
            train.parse_arguments(["--config", str(tmp_path / name)])
    for text in ("[1, 2]", "{"):
        with pytest.raises(UserError, match=r"--config .*args.json: (holds no flags|cannot be read)"):
            train.parse_arguments(["--config", write(tmp_path, text, "args.json")])
    with pytest.raises(UserError, match="--config"):
        train.parse_arguments(["--config"])


def test_a_stray_word_is_no_value_of_a_flag_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unrecognized arguments: stray"):
        train.parse_arguments(["stray", "--config", write(tmp_path, "dataset = ['gtav']")])


def resolved(words: list[str]) -> dict[str, Any]:
    """What train.py writes to args.json."""
    args = train.parse_arguments(words)
    args.method = method_named(args)
    method = METHODS[args.method]
    config.apply_method_defaults(args, method)
    config.apply_target_arguments(args, method.domains)
    args.wt_layer = create_network(**{**method.architecture, **stated_architecture(vars(args))}).config[
        "wt_layer"
    ]
    return RunFolder.plain(vars(args))


@pytest.mark.parametrize(
    "words",
    [
        *[["--dataset", "gtav", "--method", name, *flags] for name, flags in TINY_METHODS.items()],
        [],
        ["--method", "sac"],
        "--dataset gtav --crop_size 96,64 --snapshot a.pth --strict_bdr_cls 5,6 --no_train_snr".split(),
        "--dataset gtav_jitter --fp16 --test_mode --gblur --color_jitter 1 1 1 0.5 --hardnm 0 --scf".split(),
        "--dataset gtav --snapshot a.pth --restore_optimizer --rlx_off_iter -1 --jointwtborder".split(),
        "--dataset gtav --resume auto --overwrite --backbone resnet18 --output_stride 8".split(),
        "--dataset gtav --no_auxiliary --color_jitter 1 1 1 0.5 --coarse_boost_classes 14 15".split(),
    ],
    ids=" ".join,
)
def test_the_args_json_of_a_run_means_the_same_run(words: list[str], tmp_path: Path) -> None:
    small = [] if {"--backbone", "--arch"} & {*words} else ["--arch", "network.deepv3.DeepMobileNetV3PlusD"]
    run = resolved([*words, *small])
    again = resolved(["--config", write(tmp_path, json.dumps(run), "args.json")])
    once = {action.dest for action in PARSER._actions if facts(action).once}
    assert {k: v for k, v in again.items() if k not in once} == {
        k: v for k, v in run.items() if k not in once
    }
    assert not any(again[name] for name in once - {"config", "jit_only"})


def test_notes_on_the_data_of_a_run_are_no_flags(tmp_path: Path) -> None:
    noted = {"dataset": ["gtav"], "prepared_content": {"size": 3}, "importance_weights_content": "digest"}
    assert settings(["--config", write(tmp_path, json.dumps(noted), "args.json")]) == settings(
        ["--dataset", "gtav"]
    )
    with pytest.raises(UserError, match="args.json: trunc: is no flag"):
        train.parse_arguments(["--config", write(tmp_path, '{"trunc": 1}', "args.json")])


def test_valid_reads_the_same_files(tmp_path: Path) -> None:
    text = "data_root = '/d'\nval_dataset = ['kitti']\namp = 'bf16'\nlr = 0.1\ndataset = ['gtav', 'synthia']"
    words = ["--config", write(tmp_path, text), "--snapshot", "a.pth"]
    args = valid.parse_arguments(words)
    assert (args.data_root, args.val_dataset, args.amp) == ("/d", ["kitti"], "bf16")
    assert args.without_effect == ["--lr", "--dataset"]
    assert valid.parse_arguments([*words, "--val_dataset", "gtav"]).val_dataset == ["gtav"]
    for wrong, message in (
        ("lr = 'fast'", "flags.toml: argument --lr"),
        ("rate = 1", "flags.toml: rate: is no flag"),
    ):
        with pytest.raises(UserError, match=message):
            valid.parse_arguments(["--config", write(tmp_path, wrong), "--snapshot", "a.pth"])


def test_snapshots_of_a_file(tmp_path: Path) -> None:
    file = write(tmp_path, "snapshot = ['a.pth', 'b.pth']\nscales = [0.5, 1]\nflip = true")
    args = valid.parse_arguments(["--config", file])
    assert (args.snapshot, args.scales, args.flip) == (["a.pth", "b.pth"], [0.5, 1.0], True)
    file = write(
        tmp_path, "snapshot = 'a.pth'\ninput = 'in'\noutput = 'out'\nsingle_scale = true\ncrop_size = 64"
    )
    args = infer.parse_arguments(["--config", file])
    assert (args.input, args.output, args.scales, args.crop_size) == (Path("in"), Path("out"), [1.0], 64)


def test_valid_and_infer_take_from_a_run_what_means_the_same_there(tmp_path: Path) -> None:
    words = (
        "--dataset gtav --val_dataset kitti --data_root /d --crop_size 64 --lr 0.3 --no_pretrained".split()
    )
    run = resolved([*words, "--snapshot", "start.pth", *ISW])
    file = write(tmp_path, json.dumps(run), "args.json")
    args = valid.parse_arguments(["--config", file, "--snapshot", "last.pth"])
    assert (args.snapshot, args.val_dataset, args.data_root) == (["last.pth"], ["kitti"], "/d")
    assert args.wt_layer == [0, 0, 2, 2, 2, 0, 0]
    assert {"--lr", "--no_pretrained", "--dataset", "--crop_size", "--cov_stat_epoch"} <= {
        *args.without_effect
    }
    assert not {"--seed", "--momentum", "--resume", "--snapshot"} & {*args.without_effect}
    with pytest.raises(UserError, match="--snapshot"):
        valid.parse_arguments(["--config", file])
    output = ["--snapshot", "last.pth", "--output", "out"]
    args = infer.parse_arguments(["--config", file, *output, "--input", "in"])
    assert (args.input, args.val_dataset, args.crop_size, args.resume) == (Path("in"), None, 1024, False)
    assert infer.parse_arguments(["--config", file, *output]).val_dataset == ["kitti"]


def test_a_run_goes_on_with_its_args_json(toycity: Path, tmp_path: Path) -> None:
    words = train_arguments(toycity, tmp_path, "--crop_size", "64,32", "--max_iter", "3", "--iter_stop", "1")
    assert train.main([*words, "--overwrite"]) == 0
    folder = tmp_path / "default" / "tiny"
    file = write(tmp_path, (folder / "args.json").read_text(), "args.json")
    assert train.main(["--config", file, "--resume", "auto", "--iter_stop", "3"]) == 0
    assert "last.pth at iteration 1" in (folder / "log.txt").read_text()
    with pytest.raises(UserError, match=r"lr was 0.01, is 0.5"):
        train.main(["--config", file, "--resume", "auto", "--lr", "0.5"])
    with pytest.raises(UserError, match="holds a run already"):
        train.main(["--config", file])


def test_flags_of_a_plain_parser_need_no_facts() -> None:
    parser = FlagParser()
    parser.add_argument("--device", default="auto")
    args = parser.parse_args([])
    check_ranges(parser, args)
    assert args.device == "auto"
