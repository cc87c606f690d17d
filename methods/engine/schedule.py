"""The schedule of the learning rate."""

from __future__ import annotations


def learning_rate_factor(
    iteration: int,
    max_iteration: int,
    exponent: float,
    restart: int | None = None,
    rescale: float = 1.0,
    restart_exponent: float = 1.5,
) -> float:
    """The factor of the initial learning rate, after ``iteration`` finished iterations.

    Without ``restart`` (``poly``) it is (1 - iteration / max_iteration) ^ exponent. With ``restart``
    (``scl-poly``) it is, from that iteration on, ``rescale`` x
    (1 - (iteration - restart) / (max_iteration - restart)) ^ restart_exponent. Zhu et al. (CVPR 2019) restart
    where boundary label relaxation ends. As published, labels are still relaxed in the iteration ``restart``
    itself (``loss.criterion``).
    """
    if restart is None or iteration < restart:
        return (1 - iteration / max_iteration) ** exponent
    return rescale * (1 - (iteration - restart) / (max_iteration - restart)) ** restart_exponent
