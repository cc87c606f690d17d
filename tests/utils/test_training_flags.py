from __future__ import annotations

import pytest
from programs import arguments

from utils.errors import UserError


@pytest.mark.parametrize("flag", ["crop_size", "target_crop_size"])
@pytest.mark.parametrize(
    ("words", "size"),
    [("512", 512), ("1280,720", [720, 1280]), ("1280 720", [720, 1280]), ("512,512", [512, 512])],
)
def test_sizes_are_a_side_or_width_and_height(flag: str, words: str, size: int | list[int]) -> None:
    assert vars(arguments(f"--{flag}", *words.split()))[flag] == size


def test_sizes_left_out() -> None:
    args = arguments()
    assert (args.crop_size, args.target_crop_size) == (768, None)


@pytest.mark.parametrize("words", ["0", "12.5", "-3", "wide", "10,20,30", "10,", "1280 720 3", "720x1280"])
def test_other_sizes_are_refused(words: str) -> None:
    with pytest.raises(UserError, match=f"--crop_size {words}: give a side, or width and height"):
        arguments("--crop_size", *words.split())
