"""Several source domains: what an epoch is made of, and runs that train on two."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from interruption import dying_at
from programs import ISW, train_arguments

import config
import train
from datasets.domains import Domains
from datasets.sampling.class_uniform import epoch_draws
from datasets.sampling.loaders import TrainingSampler, domain_uniform, image_uniform
from datasets.training import TrainingLoaders
from utils.errors import UserError
from utils.run.checkpoint import load_checkpoint

SEVEN_AND_FOUR = [partial(epoch_draws, 7), partial(epoch_draws, 4)]
TWO = ["--dataset", "gtav", "synthia"]


def test_an_item_holds_one_picture_of_every_domain() -> None:
    items = domain_uniform(SEVEN_AND_FOUR, seed=0, epoch=3)
    assert len(items) == 4
    assert [[draw.source for draw in item] for item in items] == [[0, 1]] * 4
    assert sorted(item[1].index for item in items) == [0, 1, 2, 3]
    assert len({item[0].index for item in items}) == 4
    assert items == domain_uniform(SEVEN_AND_FOUR, seed=0, epoch=3)
    assert items != domain_uniform(SEVEN_AND_FOUR, seed=0, epoch=4)


def test_every_picture_of_the_larger_domain_comes_over_the_epochs() -> None:
    seen = {item[0].index for epoch in range(20) for item in domain_uniform(SEVEN_AND_FOUR, 0, epoch)}
    assert seen == set(range(7))


def test_image_uniform_takes_every_picture_once() -> None:
    items = image_uniform(SEVEN_AND_FOUR, seed=0, epoch=0)
    assert sorted((item[0].source, item[0].index) for item in items) == [
        *((0, index) for index in range(7)),
        *((1, index) for index in range(4)),
    ]


def test_batches_are_ordered_by_domain_and_dealt_to_ranks() -> None:
    items = partial(domain_uniform, [partial(epoch_draws, 8), partial(epoch_draws, 8)], 0)
    drawn = []
    for rank in (0, 1):
        for batch in TrainingSampler(items, 2, rank, 2):
            assert [draw.source for draw in batch] == [0, 0, 1, 1]
            drawn += batch
    assert len(drawn) == len(set(drawn)) == 16


@pytest.mark.parametrize(
    ("flags", "sizes"),
    [([], [4] * 3), (["--step_per_domain"], [2] * 6), (["--image_uniform_sampling"], [2] * 6)],
)
def test_batches_of_two_domains(toycity: Path, tmp_path: Path, flags: list[str], sizes: list[int]) -> None:
    args = train.parse_arguments(train_arguments(toycity, tmp_path, *TWO, *flags))
    loaders = TrainingLoaders(Domains(args, config.DATASET_ROOTS, config.TOYCITY_ROOT), args, ("image",))
    batches = [batch["source"] for batch in loaders.batches(0)]
    assert [len(batch["image"]) for batch in batches] == sizes
    assert [len(batch["name"]) for batch in batches] == sizes
    assert torch.stack([batch["label"].ne(255).any() for batch in batches]).all()


@pytest.mark.parametrize("flags", [[], ["--step_per_domain"], ["--image_uniform_sampling"]])
def test_two_sources_train_with_isw_and_resume_to_the_same_bits(
    toycity: Path, tmp_path: Path, flags: list[str]
) -> None:
    def arguments(name: str) -> list[str]:
        return train_arguments(toycity, tmp_path / name, *TWO, *ISW, *flags, "--max_iter", "7")

    assert train.main(arguments("whole")) == 0
    with dying_at(4):
        train.main(arguments("killed"))
    assert train.main([*arguments("killed"), "--resume", "auto"]) == 0
    folders = [tmp_path / name / "default" / "tiny" for name in ("whole", "killed")]
    whole, resumed = (load_checkpoint(folder / "last.pth")["model"] for folder in folders)
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []
    assert whole["mask_site3"].sum() > 0
    log = (folders[0] / "log.txt").read_text()
    assert "gtav val mIoU" in log
    assert "synthia val mIoU" in log


def test_the_logged_loss_does_not_depend_on_how_domains_step(toycity: Path, tmp_path: Path) -> None:
    losses = []
    for flags in ([], ["--step_per_domain"]):
        ckpt = tmp_path / str(len(losses))
        still = ["--lr", "0", "--max_iter", "1", "--log_every", "1"]
        assert train.main(train_arguments(toycity, ckpt, *TWO, *flags, *still)) == 0
        (line,) = (
            line
            for line in (ckpt / "default" / "tiny" / "log.txt").read_text().splitlines()
            if "[iter 1 / 1]" in line
        )
        losses.append(float(line.partition("main ")[2].partition(",")[0]))
    assert losses[1] == pytest.approx(losses[0], rel=0.3)


def test_a_step_per_domain_is_two_steps(toycity: Path, tmp_path: Path) -> None:
    weights = []
    for flags in ([], ["--step_per_domain"]):
        ckpt = tmp_path / str(len(weights))
        assert train.main(train_arguments(toycity, ckpt, *TWO, *flags, "--max_iter", "1")) == 0
        state = load_checkpoint(ckpt / "default" / "tiny" / "last.pth")["model"]
        weights.append(state)
    batches = "network.backbone.stem.0.1.num_batches_tracked"
    assert [int(state[batches]) for state in weights] == [1, 2]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dataset", "gtav", "gtav"], "names gtav more than once"),
        ([*TWO, "--step_per_domain", "--accumulate", "2"], "--step_per_domain"),
        ([*TWO, "--step_per_domain", "--image_uniform_sampling"], "--step_per_domain"),
    ],
)
def test_flags_that_do_not_go_together(toycity: Path, tmp_path: Path, flags: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        train.main(train_arguments(toycity, tmp_path, *flags))
