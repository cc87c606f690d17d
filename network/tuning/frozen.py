"""Backbones that stay as they were loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from network.backbone.base import Backbone


def tune_frozen(backbone: Backbone, settings: Mapping[str, Any], initialise: bool) -> dict[str, Any]:
    """No layer that was loaded is trained, and all of them stay in evaluation mode."""
    freeze(backbone)
    keep_in_evaluation(backbone)
    return {}


def tune_head(backbone: Backbone, settings: Mapping[str, Any], initialise: bool) -> dict[str, Any]:
    """No parameter is trained, but running statistics, dropout and stochastic depth go on, as ever.

    This is the family's ``--freeze_trunk``, which did nothing there.
    """
    backbone.requires_grad_(False)
    return {}


def freeze(backbone: Backbone) -> None:
    """Freeze all parameters that weights are loaded for.

    SNR modules and the layers of sites, which are added to a loaded backbone, stay as they are; a site in the
    place of a loaded layer does not.
    """
    for name, parameter in backbone.named_parameters():
        if not backbone.is_site_key(name):
            parameter.requires_grad_(False)


def keep_in_evaluation(backbone: Backbone, *adapters: str) -> None:
    """Keep all layers in evaluation mode from now on, but for what was added to the loaded backbone.

    So they have no dropout and no stochastic depth, and the statistics of BatchNorm stay as they are. Added
    are SNR modules, the layers of sites, and the modules called ``adapters``.
    """
    backbone.following = ("site_norms", "restitutions", *adapters)
    backbone.train(backbone.training)
