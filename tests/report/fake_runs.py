"""Run folders as train.py leaves them, with scores that a test chooses, and albums of drawn pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scripts.report.pictures import Album, Prediction, Scene, class_picture, embed
from utils.scoring.classes import CITYSCAPES

DOMAINS = ("gtav", "cityscapes", "bdd100k")


def domain_results(miou: float, **more: Any) -> dict[str, Any]:
    """What results.json has of a domain, ``miou`` in [0, 1]."""
    iou = {name: max(0.0, miou - 0.02 * place) for place, name in enumerate(CITYSCAPES.names)}
    return {"miou": miou, "iou": {**iou, "train": None}, "images": 12, "pixel_accuracy": 0.8, **more}


def reliability(ece: float) -> dict[str, Any]:
    """What results.json has of reliability."""
    bins = [
        {
            "above": n / 5,
            "up_to": (n + 1) / 5,
            "pixels": 100 * n,
            "accuracy": 0.15 * n,
            "confidence": 0.2 * n + 0.1,
        }
        for n in range(5)
    ]
    return {"ece": ece, "bins": bins}


def write_run(
    folder: Path,
    seed: int,
    mious: Mapping[str, float],
    of_domain: Mapping[str, Mapping[str, Any]] | None = None,
    **settings: Any,
) -> Path:
    """A finished run called as its folder; ``mious`` is domain -> mIoU in percent."""
    folder.mkdir(parents=True)
    arguments = {"exp": folder.name, "seed": seed, "dataset": ["gtav"], "method": "baseline", "lr": 0.01}
    (folder / "args.json").write_text(json.dumps({**arguments, "max_iter": 40, **settings}))
    more = of_domain or {}
    content = {
        "protocol": "robustnet",
        "checkpoint": "elsewhere/best.pth",
        "commit": "0123456789ab",
        "selection": "best source val",
        "iteration": 40,
        "precision": "float32",
        "folders": {},
        "domains": {name: domain_results(miou / 100, **more.get(name, {})) for name, miou in mious.items()},
    }
    (folder / "results.json").write_text(json.dumps(content))
    session = {"began": "2026-01-01T00:00:00+00:00", "seconds": 1800.0, "device": "GPU X", "processes": 4}
    session |= {"accelerated": True, "processor": "CPU Y", "torch": "2.9"}
    (folder / "sessions.json").write_text(json.dumps([session]))
    lines = []
    for step in (10, 20, 30, 40):
        loss = 2 / step + seed % 3 / 50
        lines.append(f"[epoch 0] [iter {step} / 40] main {loss:.4f}, images/s 8.{seed % 10}, data wait 0")
        lines.append(f"iteration {step}: gtav val mIoU {mious.get('gtav', 50) * step / 40:.2f}")
    (folder / "log.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_experiment(root: Path, rows: Mapping[str, float], seeds: Sequence[int] = (1, 2, 3)) -> Path:
    """Runs of each row and seed: a row is better than the first by so many points on every domain."""
    rng = np.random.default_rng(0)
    level = dict(zip(DOMAINS, (60.0, 30.0, 25.0), strict=True))
    for seed in seeds:
        of_seed = rng.normal(0, 1, len(DOMAINS))
        for row, gain in rows.items():
            mious = {
                name: level[name] + gain + noise + rng.normal(0, 0.3)
                for name, noise in zip(DOMAINS, of_seed, strict=True)
            }
            conditions = {
                name: {"miou": mious["bdd100k"] / 100 - drop} for name, drop in (("day", 0), ("night", 0.1))
            }
            corrupted = {
                "fog": {"1": 0.3, "mean": 0.2 + gain / 100},
                "snow": {"1": 0.2, "mean": 0.15},
                "mean": 0.18,
            }
            of_domain = {
                "cityscapes": {"reliability": reliability(0.05 + gain / 1000), "corruptions": corrupted},
                "bdd100k": {"conditions": conditions, "mean_of_conditions": mious["bdd100k"] / 100 - 0.05},
            }
            write_run(root / f"{row}-seed{seed}", seed, mious, of_domain)
    return root


def drawn_scene(domain: str, number: int, rows: Sequence[str], size: tuple[int, int] = (128, 256)) -> Scene:
    """A scene of a street with as many predictions as there are rows, each wrong in another place."""
    height, width = size
    rng = np.random.default_rng(number)
    truth = np.full(size, 10, dtype=np.uint8)
    truth[height // 2 :] = 0
    left = int(rng.integers(0, width // 2))
    truth[height // 3 : height // 2 + 10, left : left + width // 4] = 13
    photo = CITYSCAPES.palette[truth] // 2 + rng.integers(0, 90, (*size, 3), dtype=np.uint8)
    scene = Scene(
        domain,
        f"street_{number:04d}",
        embed(Image.fromarray(photo.astype(np.uint8)), lossy=True),
        embed(class_picture(truth, CITYSCAPES), lossy=False),
    )
    for place, row in enumerate(rows):
        said = truth.copy()
        said[:, 20 * place : 20 * place + number % 17 + 3] = 2
        scene.predictions.append(
            Prediction(row, embed(class_picture(said, CITYSCAPES), lossy=False), 90.0 - number % 60)
        )
    return scene


def drawn_album(domain: str, rows: Sequence[str], scenes: int, hardest: int = 1, first: int = 0) -> Album:
    """Scenes that no album with another ``first`` has."""
    numbers = range(1000 * first, 1000 * first + scenes + hardest)
    every = [drawn_scene(domain, number, rows) for number in numbers]
    return Album(domain, every[:scenes], every[scenes:], 60, 500)
