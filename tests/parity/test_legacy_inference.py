"""Files as the family's public programs write them, through infer.py: their own label maps come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from families import write_family_file
from PIL import Image
from published import LEAST_AGREEMENT, family_weights, picture_files, read_arrays, read_numbers

import infer
from network.restore import load_network

# What the entries of a file do not tell, and is stated therefore, if no training command line is stored.
UNTOLD = {
    ("robustnet", "r50os16_isw"): ["--wt_layer", *"0 0 2 2 2 0 0".split()],
    ("robustnet", "r50os16_ibn"): [],
    ("robustnet", "r101os16_base"): [],
    ("robustnet", "mobile_isw"): ["--wt_layer", *"0 0 2 2 2 0 0".split()],
    ("robustnet", "shuffle_base"): ["--wt_layer", *"0 0 0 0 0 0 0".split()],
    ("robustnet", "r50os16_sw"): [],
    ("blindnet", "r50os16"): ["--wt_layer", *"0 0 1 1 1 0 0".split()],
    ("diia", "r50os16"): ["--wt_layer", *"0 0 2 2 2 0 0".split()],
    ("snr", "deeplabv2_multi_snr"): [],
}


@pytest.mark.parametrize(("system", "case"), UNTOLD)
def test_label_maps_agree_with_the_published_ones(
    system: str, case: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    snapshot = write_family_file(tmp_path / "theirs.pth", family_weights(shared, system, case))
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    files = picture_files(shared)
    for file in files:
        (pictures / file.name).symlink_to(file)
    arguments = ["--snapshot", snapshot, "--input", pictures, "--output", tmp_path / "out"]
    assert infer.main([*map(str, arguments), "--save", "trainids", *UNTOLD[system, case]]) == 0
    ours = [np.asarray(Image.open(tmp_path / "out" / "trainids" / f"{file.stem}.png")) for file in files]
    assert (np.stack(ours) == read_arrays(shared, system, case)["argmax"]).mean() > LEAST_AGREEMENT


@pytest.mark.parametrize("case", ["r50os16_isw", "mobile_isw", "shuffle_base"])
def test_the_stored_command_line_tells_everything(case: str, shared: Path, tmp_path: Path) -> None:
    published = read_numbers(shared, "robustnet", case)
    state = family_weights(shared, "robustnet", case)
    arch, wt_layer = published["arch"], published["wt_layer"]
    network, _ = load_network(write_family_file(tmp_path / "theirs.pth", state, arch, wt_layer))
    assert network.config["wt_layer"] == wt_layer
    assert network.config["output_stride"] == 16
    assert sum(parameter.numel() for parameter in network.parameters()) == published["params"]
