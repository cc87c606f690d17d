"""Rows: files that are no checkpoint, a stranger's, a damaged one, or one of another run."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.faults.table import Place, Row, as_it_is
from utils.run.sealed import seal

NOT_ONE, CODE, DAMAGED, OTHER = (
    "no checkpoint",
    "pickles with code in them",
    "damaged checkpoints",
    "checkpoints of something else",
)
MARKER = "executed"
Make = Callable[[Path, Place], None]


class Executes:
    """An object whose unpickling would make a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def _bytes(content: bytes) -> Make:
    return lambda path, place: path.write_bytes(content) and None


def _zip(path: Path, place: Place) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no tensors")


def _npz(path: Path, place: Place) -> None:
    with path.open("wb") as file:
        np.savez(file, weight=np.zeros(3))


def _saved(content: Any) -> Make:
    def make(path: Path, place: Place) -> None:
        torch.save(content, path)
        # Whole, so that it is what is inside that has to be refused.
        seal(path)

    return make


def _share(share: float) -> Make:
    def make(path: Path, place: Place) -> None:
        content = (place.checkpoints / "tiny.pth").read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

    return make


def _changed(change: Callable[[dict[str, Any]], Any], name: str = "tiny.pth") -> Make:
    def make(path: Path, place: Place) -> None:
        content = torch.load(place.checkpoints / name, weights_only=True)
        change(content)
        torch.save(content, path)
        seal(path)

    return make


def _with_code(path: Path, place: Place) -> None:
    torch.save({"format": "urbandg-1", "model": Executes(place.root / MARKER)}, path)


def _with_code_old(path: Path, place: Place) -> None:
    torch.save({"state_dict": Executes(place.root / MARKER)}, path, _use_new_zipfile_serialization=False)


def _pickled(path: Path, place: Place) -> None:
    path.write_bytes(pickle.dumps(Executes(place.root / MARKER)))


def _folder(path: Path, place: Place) -> None:
    path.mkdir()


def _without(*names: str) -> Make:
    def change(content: dict[str, Any]) -> None:
        for name in names:
            del content[name]

    return _changed(change)


def _last_entry(change: Callable[[dict[str, Any], str], None]) -> Make:
    return _changed(lambda content: change(content["model"], [*content["model"]][-1]))


def _placed(make: Make, name: str = "stranger.pth") -> Callable[[Place], None]:
    def place_it(place: Place) -> None:
        as_it_is(place)
        make(place.root / name, place)

    return place_it


_FILES: dict[str, dict[str, Make]] = {
    NOT_ONE: {
        "missing": lambda path, place: None,
        "empty": _bytes(b""),
        "a web page": _bytes(b"<!DOCTYPE html><html><body>Google Drive - quota exceeded</body></html>"),
        "a text": _bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "a safetensors file": _bytes(b"\2" + bytes(7) + b"{}"),
        "a compressed file": _bytes(gzip.compress(b"weights")),
        "a folder": _folder,
        "another archive": _zip,
        "numpy's arrays": _npz,
        "a tensor": _saved(torch.zeros(3)),
        "a list": _saved([1, 2, 3]),
        "a dictionary of numbers": _saved({"loss": 1.0}),
        "weights of some other network": _saved({"conv.weight": torch.zeros(3, 3)}),
    },
    CODE: {
        "code in place of the weights": _with_code,
        "code in torch's old format": _with_code_old,
        "a bare pickle": _pickled,
    },
    DAMAGED: {
        "its first half": _share(0.5),
        "all but its last byte": _share(0.999999),
        "its first 100 bytes": _share(0.00001),
        "without weights": _without("model"),
        "without a network": _without("network"),
        "an entry is missing": _last_entry(lambda model, name: model.pop(name)),
        "an entry of another shape": _last_entry(lambda model, name: model.update({name: torch.zeros(2)})),
        "an entry is a word": _last_entry(lambda model, name: model.update({name: "word"})),
        "entries of nowhere": _changed(lambda c: c["model"].update({"network.nowhere": torch.zeros(1)})),
        "a network that does not exist": _changed(lambda c: c["network"].update(backbone="alexnet")),
        "an argument that no network has": _changed(lambda c: c["network"].update(depth=3)),
        "an argument of another type": _changed(lambda c: c["network"].update(wt_layer="none")),
        "the network is a word": _changed(lambda c: c.update(network="resnet50")),
        "7 classes": _changed(lambda c: c["network"].update(num_classes=7)),
        "a billion classes": _changed(lambda c: c["network"].update(num_classes=10**12)),
        "a format of the future": _changed(lambda c: c.update(format="urbandg-99")),
    },
}

# What the line says of a file, beside its name.
_WORDS = {
    "empty": ("is empty",),
    "a web page": ("a web page", "download it again"),
    "a text": ("git lfs pull",),
    "a compressed file": ("unpack it",),
    "another archive": ("unpack it",),
    "a folder": ("is a folder",),
}


def _any_file() -> Iterator[Row]:
    for category, files in _FILES.items():
        for what, make in files.items():
            for program in ("valid.py", "infer.py", "scripts.importance"):
                flags = "--snapshot {root}/stranger.pth"
                yield Row(
                    category,
                    f"the checkpoint: {what}",
                    program,
                    flags,
                    ("stranger.pth", *_WORDS.get(what, ())),
                    _placed(make),
                    slow=program != "valid.py",
                )
    starts = ("--snapshot", "--resume", "--resume_from", "--backbone_weights")
    every = {what: (category, make) for category, files in _FILES.items() for what, make in files.items()}
    for flag in starts:
        for what in ("missing", "empty", "a web page", "its first half", "code in place of the weights"):
            category, make = every[what]
            yield Row(
                category,
                f"{flag}: {what}",
                "train.py",
                f"--pretrained {flag} {{root}}/stranger.pth",
                ("stranger.pth",),
                _placed(make),
            )
    for what in (
        "empty",
        "a web page",
        "code in place of the weights",
        "its first half",
        "without a network",
    ):
        category, make = every[what]
        for direction in ("import", "export"):
            flags = f"{direction} {{root}}/stranger.pth {{out}}/made.pth"
            words = ("stranger.pth",)
            yield Row(category, f"{direction} of {what}", "network.legacy", flags, words, _placed(make))


def _run_changed(change: Callable[[dict[str, Any]], Any]) -> Callable[[Place], None]:
    return _placed(_changed(change, "run/last.pth"))


def _state_of_another(content: dict[str, Any]) -> None:
    state = content["optimizer"]["state"]
    for entry in state.values():
        entry["momentum_buffer"] = torch.zeros(2)


def _other_runs() -> Iterator[Row]:
    isw = "--wt_layer 0 0 2 2 2 0 0 --cov_stat_epoch 0 --trials 2 --covstat_images 3 --clusters 3"
    run = "--resume {checkpoints}/run/last.pth"
    for what, flags, words in (
        ("a run of another method", run, ("wt_layer was",)),
        ("a run with another learning rate", f"{isw} {run} --lr 0.5", ("lr was 0.01, is 0.5", "--snapshot")),
        ("a run with other pictures", f"{isw} {run} --dataset synthia", ("dataset was",)),
        ("weights without a run", "--resume {checkpoints}/tiny.pth", ("tiny.pth", "use --snapshot")),
        ("weights without a run", "--resume_from {checkpoints}/tiny.pth", ("tiny.pth", "use --snapshot")),
        (
            "a network with other sites",
            "--snapshot {checkpoints}/run/last.pth",
            ("wt_layer", "--partial_load"),
        ),
        ("fewer classes", "--snapshot {checkpoints}/sixteen.pth", ("num_classes 16", "has --num_classes 19")),
        (
            "more classes",
            "--num_classes 16 --snapshot {checkpoints}/tiny.pth",
            ("num_classes 19", "has --num_classes 16"),
        ),
    ):
        yield Row(OTHER, f"{what} ({flags.split()[-2]})", "train.py", flags, words)
    words = ("num_classes 16", "drop or correct")
    flags = "--num_classes 19 --snapshot {checkpoints}/sixteen.pth"
    yield Row(OTHER, "fewer classes than the flags say", "valid.py", flags, words)
    flags = "--teacher --snapshot {checkpoints}/run/last.pth"
    yield Row(OTHER, "no teacher in it", "infer.py", flags, ("drop --teacher",))
    for what, change in {
        "without its optimiser": lambda content: content.pop("optimizer"),
        "without its settings": lambda content: content.pop("arguments"),
        "without its sizes": lambda content: content.pop("sizes_of_step"),
        "the optimiser of another network": _state_of_another,
        "an optimiser without parameters": lambda content: content["optimizer"].update(param_groups=[]),
        "an iteration that is a word": lambda content: content.update(iteration="word"),
        "a negative iteration": lambda content: content.update(iteration=-3),
        "a format of the future": lambda content: content.update(format="urbandg-99"),
    }.items():
        flags, make = f"{isw} --resume {{root}}/stranger.pth", _run_changed(change)
        yield Row(DAMAGED, f"a run {what}", "train.py", flags, ("stranger.pth",), make)
    words = ("UrbanDG checkpoint already",)
    flags = "import {checkpoints}/tiny.pth {out}/made.pth"
    yield Row(OTHER, "import of our own", "network.legacy", flags, words)
    flags = "export {root}/nowhere.pth {out}/made.pth"
    yield Row(NOT_ONE, "export of nothing", "network.legacy", flags, ("nowhere.pth", "no such checkpoint"))


def _weights_file(content: bytes | dict[str, Any]) -> Callable[[Place], None]:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return _placed(lambda path, place: path.write_bytes(text) and None, "weights.json")


def _other_files() -> Iterator[Row]:
    adapting = "--method maxsquare --target_dataset gtav --importance_weights {root}/weights.json"
    for what, make in {
        "missing": as_it_is,
        "empty": _weights_file(b""),
        "a web page": _weights_file(b"<html></html>"),
        "half a JSON file": _weights_file(b'{"num_classes": 19, "pictures": {"a": '),
        "JSON of something else": _weights_file({"answer": 42}),
        "weights of other pictures": _weights_file(
            {"num_classes": 19, "pictures": {"elsewhere": {"0": 1.0}}}
        ),
        "a share of NaN": _weights_file(b'{"num_classes": 19, "pictures": {"00001": {"0": NaN}}}'),
        "a class beyond the last": _weights_file({"num_classes": 19, "pictures": {"00001": {"19": 1.0}}}),
        "code in place of the weights": _placed(_with_code_old, "weights.json"),
    }.items():
        category = CODE if what.startswith("code") else "broken lists and tables"
        yield Row(category, f"--importance_weights: {what}", "train.py", adapting, ("weights.json",), make)
    for what, content in {
        "no results": None,
        "empty results": b"",
        "results of something else": b'{"answer": 42}',
        "results that are a list": b"[]",
        "results of no domain": b'{"domains": {}, "checkpoint": "last.pth", "protocol": "full"}',
        "results of a domain without a score": b'{"domains": {"mars": 3}, "checkpoint": "last.pth", '
        b'"protocol": "full"}',
    }.items():
        yield Row(
            "broken lists and tables",
            f"a run with {what}",
            "scripts.report",
            "{root}/run --data_root {data} --evaluation_height 32 --output {out}",
            ("run: ",),
            _run_with_results(content),
            alone=True,
        )
    for what, content in {
        "missing": None,
        "empty": b"",
        "no text": b"\xff\xfe\x00",
        "no MATLAB file": b"MATLAB 5.0 no",
    }.items():
        name = "split.mat" if what == "no MATLAB file" else "lists/gtav_val.txt"
        yield Row(
            "broken lists and tables",
            f"--gtav_split: {what}",
            "valid.py",
            f"--gtav_split {{root}}/{name.partition('/')[0]}",
            (name.partition("/")[0],),
            _flat_with_list(name, content),
        )


def _run_with_results(content: bytes | None) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        as_it_is(place)
        (place.root / "run").mkdir()
        shutil.copy(place.checkpoints / "tiny.pth", place.root / "run" / "last.pth")
        if content is not None:
            (place.root / "run" / "results.json").write_bytes(content)

    return make


def _flat_with_list(name: str, content: bytes | None) -> Callable[[Place], None]:
    """All pictures in one folder, and the list that divides them in ``name``."""

    def make(place: Place) -> None:
        data = place.dataset()
        for part in ("images", "labels"):
            for path in (data / part / "valid").iterdir():
                path.rename(data / part / path.name)
            for split in ("train", "valid"):
                shutil.rmtree(data / part / split)
        if content is not None:
            file = place.root / name
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)

    return make


ROWS = [*_any_file(), *_other_runs(), *_other_files()]
