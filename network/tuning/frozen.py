"""Backbones that stay as they were loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from network.backbone.base import Backbone


def tune_frozen(backbone: Backbone, settings: Mapping[str, Any], initialise: bool) -> dict[str, Any]:
    """No layer that was loaded is trained, and all of them stay in evaluation mode: see :func:`fix`."""
    fix(backbone)
    return {}


def tune_head(backbone: Backbone, settings: Mapping[str, Any], initialise: bool) -> dict[str, Any]:
    """No parameter is trained, but running statistics, dropout and stochastic depth go on, as ever.

    This is the family's ``--freeze_trunk``, which did nothing there.
    """
    backbone.requires_grad_(False)
    return {}


def fix(backbone: Backbone) -> None:
    """Freeze all layers that weights are loaded for, and keep them in evaluation mode from now on.

    So they have no dropout and no stochastic depth, and the statistics of BatchNorm stay as they are. SNR
    modules and the layers of sites, which are added to a loaded backbone, are trained; a site in the place of
    a loaded layer is not.
    """
    for name, parameter in backbone.named_parameters():
        if not backbone.is_site_key(name):
            parameter.requires_grad_(False)
    follow_training(backbone, "site_norms", "restitutions")


def follow_training(backbone: Backbone, *names: str) -> None:
    """Let the modules called ``names`` follow training mode, although ``backbone`` as a whole does not."""
    backbone.following = (*(backbone.following or ()), *names)
    backbone.train(backbone.training)
