"""How the learning rate falls."""

from __future__ import annotations


def learning_rate_factor(
    iteration: int,
    max_iteration: int,
    exponent: float,
    restart: int | None = None,
    rescale: float = 1.0,
    restart_exponent: float = 1.5,
) -> float:
    """What the initial learning rate is multiplied by in the step after ``iteration`` finished ones.

    ``poly``: (1 - iteration / max_iteration) ^ exponent. With ``restart``, ``scl-poly``: from that step on
    the rate starts again at ``rescale`` and falls as
    (1 - (iteration - restart) / (max_iteration - restart)) ^ restart_exponent (Zhu et al., CVPR 2019, which
    restarts it where boundary label relaxation ends).
    """
    if restart is None or iteration < restart:
        return (1 - iteration / max_iteration) ** exponent
    return rescale * (1 - (iteration - restart) / (max_iteration - restart)) ** restart_exponent
