"""Where data sets are looked for, in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.definitions.catalog import spec
from datasets.files.roots import resolve_root
from utils.errors import UserError


def folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def test_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_root = folder(tmp_path / "all" / "GTAV")
    in_variable, in_config = folder(tmp_path / "variable"), folder(tmp_path / "config")
    configured = {"gtav": str(in_config)}
    monkeypatch.setenv("GTAV_DIR", str(in_variable))
    assert resolve_root(spec("gtav"), str(tmp_path / "all"), configured) == in_root
    assert resolve_root(spec("gtav"), None, configured) == in_variable
    monkeypatch.delenv("GTAV_DIR")
    assert resolve_root(spec("gtav"), None, configured) == in_config


def test_exact_case_wins_and_sub_domains_share_a_folder(tmp_path: Path) -> None:
    folder(tmp_path / "CamVid")
    assert resolve_root(spec("camvid_dusk"), str(tmp_path), {}).name == "CamVid"
    folder(tmp_path / "camvid")
    assert resolve_root(spec("camvid_dusk"), str(tmp_path), {}).name == "camvid"


def test_errors_name_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GTAV_DIR", raising=False)
    with pytest.raises(UserError, match=r"--data_root DIR.*GTAV_DIR.*config\.py"):
        resolve_root(spec("gtav"), None, {"gtav": ""})
    with pytest.raises(UserError, match="--data_root /nowhere: no such folder"):
        resolve_root(spec("gtav"), "/nowhere", {})
    with pytest.raises(UserError, match=r'DATASET_ROOTS\["gtav"\] of config\.py is /nowhere'):
        resolve_root(spec("gtav"), None, {"gtav": "/nowhere"})
    monkeypatch.setenv("GTAV_DIR", "/nowhere")
    with pytest.raises(UserError, match="environment variable GTAV_DIR is /nowhere: no such folder"):
        resolve_root(spec("gtav"), None, {})


def test_nothing_is_read_from_elsewhere_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere, new = folder(tmp_path / "old"), folder(tmp_path / "new")
    monkeypatch.delenv("GTAV_DIR", raising=False)
    error = rf"^gtav: --data_root {new} has no folder gtav or gta or gta5; put the data or a link .* GTAV_DIR"
    with pytest.raises(UserError, match=error):
        resolve_root(spec("gtav"), str(new), {})
    unused = f"is {elsewhere}, which is not used because --data_root is given"
    with pytest.raises(UserError, match=rf'DATASET_ROOTS\["gtav"\] of config.py {unused}'):
        resolve_root(spec("gtav"), str(new), {"gtav": str(elsewhere)})
    monkeypatch.setenv("GTAV_DIR", str(elsewhere))
    with pytest.raises(UserError, match=f"environment variable GTAV_DIR {unused}"):
        resolve_root(spec("gtav"), str(new), {})
    (new / "gtav").symlink_to(elsewhere)
    assert resolve_root(spec("gtav"), str(new), {}) == new / "gtav"


def test_the_own_folder_of_a_data_set_is_recognised(tmp_path: Path) -> None:
    folder(tmp_path / "gtav" / "images" / "train")
    with pytest.raises(UserError, match="itself; give the folder that it is in"):
        resolve_root(spec("gtav"), str(tmp_path / "gtav"), {})


def test_the_four_cities_share_a_folder_of_either_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_variable, vendors = folder(tmp_path / "variable"), folder(tmp_path / "all" / "NTHU_Datasets")
    monkeypatch.setenv("NTHU_DIR", str(in_variable))
    cities = [spec(f"nthu_{city}") for city in ("rome", "rio", "tokyo", "taipei")]
    assert {resolve_root(city, str(tmp_path / "all"), {}) for city in cities} == {vendors}
    ours = folder(tmp_path / "all" / "nthu")
    assert {resolve_root(city, str(tmp_path / "all"), {}) for city in cities} == {ours}
    assert {resolve_root(city, None, {}) for city in cities} == {in_variable}
