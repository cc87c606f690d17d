import torch

from utils.seeding import generator, seed_step


def test_a_generator_is_a_function_of_its_keys() -> None:
    assert generator(1, 2, 3).random() == generator(1, 2, 3).random()
    assert generator(1, 2, 3).random() != generator(1, 3, 2).random()


def test_steps_repeat_and_ranks_differ() -> None:
    def draw(*keys: int) -> float:
        seed_step(*keys)
        return torch.rand(()).item()

    assert draw(0, 0, 5) == draw(0, 0, 5)
    assert len({draw(0, 0, 5), draw(0, 1, 5), draw(0, 0, 6), draw(1, 0, 5)}) == 4
