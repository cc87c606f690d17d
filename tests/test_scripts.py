"""Every script of a published experiment says what was published, and runs: its own command line, tiny."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from shell_scripts import SCRIPTS, by_flag, command_line, snapshot_of, started, write_camvid

import infer
import train
import valid
from datasets.toycity import ALL_DOMAINS, generate

NTHU_CITIES = ("rome", "rio", "tokyo", "taipei")
TINY = """
    --max_iter 2 --bs_mult 2 --crop_size 32 --class_uniform_tile 32 --no_pretrained --num_workers 0
    --evaluation_height 32 --trials 1 --covstat_images 2 --cov_stat_epoch 0
""".split()
# What a method needs beside it: two epochs, the second one with masks; a layer4 of 2 x 2 to sample from.
TINY_OF_METHOD = {
    "isw": "--max_iter 4",
    "diia": "--max_iter 4",
    "blindnet": "--crop_size 64 --contrast_max_classes 2 --contrast_max_views 2 --num_patch 1",
}

# The published experiments: exp (cty is spelled city there), GPUs, pictures per GPU, codes, wt_reg_weight,
# relax_denom, clusters, cov_stat_epoch, trials, date. "-" is a flag that the published script does not give.
PUBLISHED = """
    r50os16_gtav_base        4 4 0000000 0.0 0.0  - 0 -  0101
    r50os16_gtav_ibn         4 4 0044400 0.0 0.0  - 0 -  0101
    r50os16_gtav_iw          4 4 0011100 0.8 0.0  0 0 0  0101
    r50os16_gtav_irw         4 4 0011100 0.6 64.0 0 0 0  0101
    r50os16_gtav_isw         4 4 0022200 0.6 0.0  3 5 10 0101
    r50os16_gtav_switchable  4 4 0055500 -   -    - - -  0101
    r50os16_cty_base         2 4 0000000 0.0 0.0  - 0 -  0101
    r50os16_cty_ibn          2 4 0044400 0.0 0.0  - 0 -  0101
    r50os16_cty_iw           2 4 0011100 0.6 0.0  0 0 0  0101
    r50os16_cty_irw          2 4 0011100 0.6 32.0 0 0 0  0101
    r50os16_cty_isw          2 4 0022200 0.6 0.0  2 5 10 0101
    r50os16_cty_switchable   2 4 0055500 -   -    - - -  0101
    r101os8_gtav_base        4 4 0000000 0.0 0.0  - 0 -  0101
    r101os8_gtav_ibn         4 4 4404400 0.0 0.0  - 0 -  0101
    r101os8_gtav_isw         4 4 2202200 0.6 0.0  3 5 10 0101
    r101os8_cty_base         2 4 0000000 0.0 0.0  - 0 -  0101
    r101os8_cty_isw          2 4 0022200 0.6 0.0  2 5 10 0101
    mobile_gtav_base         2 8 0000000 0.0 0.0  0 0 0  0201
    mobile_gtav_ibn          2 8 0044400 0.0 0.0  0 0 0  0201
    mobile_gtav_isw          4 4 0022200 1.0 0.0 20 5 10 0101
    shuffle_gtav_base        2 8 0000000 0.0 0.0  0 0 0  0101
    shuffle_gtav_ibn         2 8 0044400 0.0 0.0  0 0 0  0101
    shuffle_gtav_isw         2 8 0022200 0.8 0.0  2 5 10 0101
""".strip().splitlines()
COLUMNS = ("wt_layer", "wt_reg_weight", "relax_denom", "clusters", "cov_stat_epoch", "trials", "date")
ARCHITECTURES = {
    "r50os16": "DeepR50V3PlusD",
    "r101os8": "DeepR101V3PlusD_OS8",
    "mobile": "DeepMobileNetV3PlusD",
    "shuffle": "DeepShuffleNetV3PlusD",
}
# What all of them give, and the experiments of later methods: GPUs, pictures per GPU, the further flags. Not
# published are names of runs, --method, --absent_classes zero (how scores were counted), and for BlindNet
# --evaluation_height and --cwcl_* (how its released code is).
SAME_IN_ALL = """
    --absent_classes zero --city_mode train --lr_schedule poly --lr 0.01 --poly_exp 0.9 --max_cu_epoch 10000
    --class_uniform_pct 0.5 --class_uniform_tile 1024 --crop_size 768 --scale_min 0.5 --scale_max 2.0
    --rrotate 0 --max_iter 40000 --gblur --color_aug 0.5 --ckpt ./logs/ --tb_path ./logs/
"""
DIIA = """
    --method diia --arch network.deepv3.DeepR50V3PlusD --bs_mult 8 --wt_layer 0 0 2 2 2 0 0
    --wt_reg_weight 0.6 --relax_denom 0.0 --cov_stat_epoch 5 --trials 10 --date 0101
"""
LATER = {
    "blindnet_train_r50os16_gtav.sh": (
        2,
        4,
        """--dataset gtav_jitter --val_dataset cityscapes bdd100k mapillary --evaluation_height 1024
        --arch network.deepv3.DeepR50V3PlusD --bs_mult 4 --wt_layer 0 0 1 1 1 0 0 --jit_only --use_ca
        --use_cwcl --use_sdcl --nce_T 0.07 --contrast_max_classes 15 --contrast_max_view 50 --num_patch 20
        --w1 0.2 --w2 0.2 --w3 0.3 --w4 0.3 --cwcl_negatives all --cwcl_fill any --date 0101
        --exp r50os16_gtav_blindnet""",
    ),
    "train_r50os16_gtav_diia.sh": (
        4,
        8,
        f"""{DIIA} --dataset gtav --covstat_val_dataset gtav --val_dataset cityscapes --clusters 3
        --exp r50os16_gtav_diia""",
    ),
    "train_r50os16_cty_diia.sh": (
        4,
        8,
        f"""{DIIA} --dataset cityscapes --covstat_val_dataset cityscapes --val_dataset bdd100k --clusters 2
        --class_uniform_tile 512 --exp r50os16_city_diia""",
    ),
}
# Training scripts of experiments that nobody published.
OWN = {f"train_r18_camvid_{method}.sh" for method in ("base", "ibn", "isw", "blindnet", "diia")}
OWN |= {"train_r50os16_cty_blindnet.sh"}
# What trains a DeepLabV2 at the sizes of MaxSquare and SNR: method, classes, stages of SNR.
SOURCE_ONLY = {
    "train_source_r101_gtav.sh": ("baseline", 19, []),
    "train_source_r101_synthia.sh": ("baseline", 16, []),
    "train_source_r101_cty.sh": ("baseline", 13, []),
    "train_snr_r101_gtav.sh": ("snr", 19, [1, 2, 3]),
    "train_snr_r101_synthia.sh": ("snr", 16, [1, 2, 3]),
}
# What starts from such a network and adapts: its snapshot's script, target domain, classes.
ADAPTATION = {
    "adapt_ms_r101_gtav2cty.sh": ("baseline", "cityscapes", 19),
    "adapt_ms_r101_synthia2cty.sh": ("baseline", "cityscapes", 16),
    "adapt_iwms_multi_r101_gtav2cty.sh": ("baseline", "cityscapes", 19),
    "adapt_snr_ms_r101_gtav2cty.sh": ("snr", "cityscapes", 19),
    "adapt_snr_ms_r101_synthia2cty.sh": ("snr", "cityscapes", 16),
    **{f"adapt_ms_cty2{city}.sh": ("baseline", f"nthu_{city}", 13) for city in NTHU_CITIES},
}
# Those of DA-SAC run in test_adaptation_scripts.py.
DASAC = {"adapt_sac.sh", *(f"adapt_r18_camvid_{method}.sh" for method in ("ms", "abn", "sac"))}

MOBILE = {"backbone": "mobilenet_v2", "partial_dilation": True}
NETWORKS: dict[str, dict[str, Any]] = {
    "mobile_base": MOBILE,
    "mobile_ibn": {**MOBILE, "wt_layer": (0, 0, 4, 4, 4, 0, 0)},
    "mobile_isw": {**MOBILE, "wt_layer": (0, 0, 2, 2, 2, 0, 0)},
    "isw": {"wt_layer": (0, 0, 2, 2, 2, 0, 0)},
    "blindnet": {"wt_layer": (0, 0, 1, 1, 1, 0, 0)},
    "diia": {"wt_layer": (0, 0, 2, 2, 2, 0, 0), "head": "aggregation"},
    **{
        f"{method}{classes}": {
            "backbone": "resnet101_caffe",
            "head": "deeplabv2",
            "output_stride": 8,
            "atrous_branches": 2,
            "snr_stages": (1, 2, 3) if method == "snr" else (),
            "num_classes": classes,
        }
        for method in ("baseline", "snr")
        for classes in (19, 16, 13)
    },
}
# Validation scripts: the network they are for, the domains they score.
VALIDATED = {
    "valid_mobile_gtav_base.sh": ("mobile_base", "bdd100k cityscapes synthia mapillary"),
    "valid_mobile_gtav_ibn.sh": ("mobile_ibn", "bdd100k cityscapes synthia mapillary"),
    "valid_mobile_gtav_isw.sh": ("mobile_isw", "bdd100k cityscapes synthia mapillary"),
    "valid_r50os16_gtav_isw.sh": ("isw", "bdd100k cityscapes synthia mapillary"),
    "valid_r50os16_gtav_diia.sh": ("diia", "cityscapes synthia bdd100k mapillary"),
    "blindnet_valid_r50os16_gtav.sh": ("blindnet", "cityscapes bdd100k mapillary gtav"),
    "valid_ms_r101_cty.sh": ("baseline16", "cityscapes"),
    "valid_snr_r101_cty.sh": ("snr19", "cityscapes"),
    **{f"valid_ms_{city}.sh": ("baseline13", f"nthu_{city}") for city in NTHU_CITIES},
}
CITYSCAPES_VAL = "cityscapes/leftImg8bit_trainvaltest/leftImg8bit/val"
POOLING = "infer_r50os16_cty_isw_pooling.sh"
# The other inference scripts: the network they are for, further flags ({data}: the root of the data), and the
# folders of their coloured pictures.
INFERRED = {
    "infer_r50os16_cty_isw.sh": (
        "isw",
        f"--input {{data}}/{CITYSCAPES_VAL} --crop_size 64 --scales 1.0",
        "color",
    ),
    "infer_r50os16_gtav_diia.sh": (
        "diia",
        "--data_root {data}",
        "bdd100k/color cityscapes/color mapillary/color synthia/color",
    ),
    "blindnet_infer_r50os16_gtav.sh": (
        "blindnet",
        "--data_root {data}",
        "blindnet/bdd100k/color blindnet/cityscapes/color blindnet/mapillary/color",
    ),
}


def published_of_robustnet(row: str) -> tuple[str, tuple[int, int, dict[str, list[str]]]]:
    """A row of ``PUBLISHED`` as script -> GPUs, pictures per GPU, flags."""
    name, gpus, pictures, codes, *values = row.split()
    network, source, _ = name.split("_")
    source = {"gtav": "gtav", "cty": "cityscapes"}[source]
    expected = {"dataset": [source], "covstat_val_dataset": [source], "bs_mult": [pictures]}
    expected["val_dataset"] = [
        "bdd100k",
        "cityscapes" if source == "gtav" else "gtav",
        "synthia",
        "mapillary",
    ]
    expected |= {"arch": [f"network.deepv3.{ARCHITECTURES[network]}"], "exp": [name.replace("cty", "city")]}
    expected |= {flag: [v] for flag, v in zip(COLUMNS, [codes, *values], strict=True) if v != "-"}
    expected["wt_layer"] = list(codes)
    return f"train_{name}.sh", (int(gpus), int(pictures), expected)


SPECIFIED = dict(published_of_robustnet(row) for row in PUBLISHED)
SPECIFIED |= {
    name: (gpus, pictures, by_flag(flags.split())) for name, (gpus, pictures, flags) in LATER.items()
}


@pytest.mark.parametrize("name", SPECIFIED)
def test_a_training_script_is_the_published_one(name: str) -> None:
    gpus, pictures, flags = SPECIFIED[name]
    script = SCRIPTS / name
    assert by_flag(command_line(script)[1]) == {**by_flag(SAME_IN_ALL.split()), **flags}
    assert re.search(rf"Published with {gpus} GPUs x {pictures} pictures[.,]", script.read_text())


def test_every_script_is_there() -> None:
    assert len(SPECIFIED) == 26
    assert {path.name for path in SCRIPTS.glob("*train_*.sh")} == {*SPECIFIED, *OWN, *SOURCE_ONLY}
    assert {path.name for path in SCRIPTS.glob("adapt_*.sh")} == {*ADAPTATION, *DASAC}
    assert {path.name for path in SCRIPTS.glob("*valid_*.sh")} == {*VALIDATED}
    assert {path.name for path in SCRIPTS.glob("*infer_*.sh")} == {*INFERRED, POOLING}
    assert all(os.access(path, os.X_OK) for path in SCRIPTS.glob("*_*.sh"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all data sets: a toy city's, and a CamVid of random pictures in every sequence."""
    root = tmp_path_factory.mktemp("data")
    generate(root, ALL_DOMAINS, train=4, val=1, size=(32, 64), seed=0, processes=1)
    write_camvid(root / "camvid")
    return root


@pytest.mark.parametrize("name", [*SPECIFIED, *sorted(OWN)])
def test_training_script(name: str, data: Path, tmp_path: Path, kept: dict[Path, dict[str, Any]]) -> None:
    program, words = command_line(SCRIPTS / name)
    assert program == "train.py"
    extra = ["--data_root", str(data), "--ckpt", str(tmp_path), "--tb_path", str(tmp_path)]
    named = next((method for method in TINY_OF_METHOD if method in name), "")
    tiny = [*TINY, *TINY_OF_METHOD.get(named, "").split()]
    assert train.main([*words, *tiny, *extra]) == 0
    (results,) = tmp_path.glob("*/*/results.json")
    exp = words[words.index("--exp") + 1]
    assert results.parent.name == exp
    checkpoint = kept[results.with_name("last.pth")]
    codes = [int(code) for code in words[words.index("--wt_layer") + 1 :][:7]]
    assert checkpoint["network"]["wt_layer"] == codes
    by_codes = "isw" if {1, 2} & set(codes) else "baseline"
    assert checkpoint["method"] == (named or by_codes)
    if named in ("isw", "diia"):
        assert checkpoint["model"]["mask_site3"].sum() > 0


TINY_ADAPTATION = "--max_iter 2 --bs_mult 1 --crop_size 48,32 --num_workers 0 --evaluation_height 32".split()


@pytest.mark.parametrize("name", [*SOURCE_ONLY, *ADAPTATION])
def test_deeplabv2_script(name: str, data: Path, tmp_path: Path, kept: dict[Path, dict[str, Any]]) -> None:
    program, words = command_line(SCRIPTS / name)
    assert program == "train.py"
    extra = ["--data_root", str(data), "--ckpt", str(tmp_path), *TINY_ADAPTATION]
    if name in SOURCE_ONLY:
        method, classes, stages = SOURCE_ONLY[name]
        extra += ["--no_pretrained"]
    else:
        start, target, classes = ADAPTATION[name]
        method, stages = "maxsquare", [1, 2, 3] if start == "snr" else []
        snapshot = snapshot_of(tmp_path, **NETWORKS[f"{start}{classes}"])
        words = [snapshot if word == "$snapshot" else word for word in words]
        extra += ["--target_crop_size", "64,32"]
        assert by_flag(words)["target_dataset"] == [target]
    assert train.main([*words, *extra]) == 0
    (results,) = tmp_path.glob("*/*/results.json")
    checkpoint = kept[results.with_name("last.pth")]
    network = checkpoint["network"]
    assert (network["num_classes"], list(network["snr_stages"])) == (classes, stages)
    assert (network["atrous_branches"], checkpoint["method"]) == (2, method)
    assert checkpoint["iteration"] == 2


@pytest.mark.parametrize("name", VALIDATED)
def test_validation_script(name: str, data: Path, tmp_path: Path) -> None:
    network, scored = VALIDATED[name]
    snapshot = snapshot_of(tmp_path, **NETWORKS[network])
    program, words = command_line(SCRIPTS / name)
    assert program == "valid.py"
    words = [snapshot if word == "$snapshot" else word for word in words]
    output = tmp_path / "results.json"
    words += ["--data_root", str(data), "--evaluation_height", "32", "--num_workers", "0"]
    assert valid.main([*words, "--output", str(output)]) == 0
    assert list(json.loads(output.read_text())["domains"]) == scored.split()


@pytest.mark.parametrize("name", INFERRED)
def test_inference_script(name: str, data: Path, tmp_path: Path) -> None:
    network, flags, folders = INFERRED[name]
    replaced = {"$1": snapshot_of(tmp_path, **NETWORKS[network]), "$2": str(tmp_path)}
    program, words = command_line(SCRIPTS / name)
    assert program == "infer.py"
    words = [replaced.get(word, word) for word in words]
    assert infer.main([*words, *flags.format(data=data).split()]) == 0
    made = [folder for folder in tmp_path.rglob("color") if len(list(folder.rglob("*.png"))) == 1]
    assert sorted(folder.relative_to(tmp_path).as_posix() for folder in made) == folders.split()


def test_pooling_script_for_real(data: Path, tmp_path: Path) -> None:
    flags = ["--input", str(data / CITYSCAPES_VAL), "--scales", "0.5", "1.0"]
    started(POOLING, snapshot_of(tmp_path, **NETWORKS["mobile_base"]), "results", *flags, folder=tmp_path)
    assert len(list((tmp_path / "results" / "color").rglob("*.png"))) == 1


@pytest.mark.parametrize("name", [*VALIDATED, *INFERRED, *ADAPTATION, *sorted(DASAC), POOLING])
def test_script_without_arguments_says_how_to_use_it(name: str) -> None:
    done = subprocess.run([SCRIPTS / name], capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.startswith("usage:")


def test_scripts_for_real(data: Path, tmp_path: Path) -> None:
    """Through the shell, from another folder: train, then score what was trained."""
    tiny = [*TINY, "--data_root", str(data), "--val_dataset", "bdd100k"]
    started("train_mobile_gtav_base.sh", *tiny, folder=tmp_path)
    last = "logs/0201/mobile_gtav_base/last.pth"
    assert (tmp_path / last).exists()
    words = ["--data_root", str(data), "--num_workers", "0", "--evaluation_height", "32"]
    assert "mapillary" in started("valid_mobile_gtav_base.sh", last, *words, folder=tmp_path)


def test_a_python_that_is_too_old_is_one_clear_sentence(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.8.1" || exit 1\n')
    old.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(old)}
    for script in ("demo.sh", "test.sh"):
        done = subprocess.run([SCRIPTS / script], capture_output=True, text=True, env=environment)
        assert done.returncode == 1
        assert done.stderr == (
            "error: Python 3.8.1 is too old: UrbanDG needs Python 3.10 or newer; set PYTHON to one\n"
        )
