"""Files as the public RobustNet writes them, through infer.py: its own label maps come out."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from families import write_family_file
from PIL import Image

import infer
from network.restore import load_network

PICTURES = ("0016E5_00390", "0016E5_05310")
# What the entries of a file do not tell, and is stated therefore, if no training command line is stored.
UNTOLD = {
    "r50os16_isw": ["--wt_layer", *"0 0 2 2 2 0 0".split()],
    "r50os16_ibn": [],
    "r101os16_base": [],
    "mobile_isw": ["--wt_layer", *"0 0 2 2 2 0 0".split()],
    "shuffle_base": ["--wt_layer", *"0 0 0 0 0 0 0".split()],
    "r50os16_sw": [],
}


def weights(shared: Path, case: str) -> tuple[dict, dict[str, torch.Tensor]]:
    """What was published of a case, and its network's entries by the rule that fills them."""
    published = json.loads((shared / "parity" / "robustnet" / f"{case}.json").read_text(encoding="utf-8"))
    spec = importlib.util.spec_from_file_location("parity_fill", shared / "parity" / "fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    keys = published["keys"]
    return published, {k: torch.from_numpy(np.asarray(fill.fill_value(k, keys[k]))) for k in keys}


@pytest.mark.parametrize("case", UNTOLD)
def test_label_maps_agree_with_the_published_ones(
    case: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    _, state = weights(shared, case)
    snapshot = write_family_file(tmp_path / "theirs.pth", state)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in PICTURES:
        (pictures / f"{name}.jpg").symlink_to(shared / "data" / "CamVid" / "train" / f"{name}.jpg")
    arguments = ["--snapshot", snapshot, "--input", pictures, "--output", tmp_path / "out"]
    assert infer.main([*map(str, arguments), "--save", "trainids", *UNTOLD[case]]) == 0
    ours = [np.asarray(Image.open(tmp_path / "out" / "trainids" / f"{name}.png")) for name in PICTURES]
    with np.load(shared / "parity" / "robustnet" / f"{case}.npz") as arrays:
        assert (np.stack(ours) == arrays["argmax"]).mean() > 0.995


@pytest.mark.parametrize("case", ["r50os16_isw", "mobile_isw", "shuffle_base"])
def test_the_stored_command_line_tells_everything(case: str, shared: Path, tmp_path: Path) -> None:
    published, state = weights(shared, case)
    arch, wt_layer = published["arch"], published["wt_layer"]
    network, _ = load_network(write_family_file(tmp_path / "theirs.pth", state, arch, wt_layer))
    assert network.config["wt_layer"] == wt_layer
    assert network.config["output_stride"] == 16
    assert sum(parameter.numel() for parameter in network.parameters()) == published["params"]
