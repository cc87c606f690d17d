"""Which codes the seven sites of a network in a file of the RobustNet family have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from network.backbone.base import Backbone
from network.backbone.resnet import ResNetBackbone
from network.legacy.foreign import BACKBONE_PREFIX
from network.sites import NUM_SITES
from utils.errors import UserError

# Codes whose layers have no entries in a file. All three layers compute the same.
PLAIN_CODES = frozenset({1, 2, 3})


def resolve_codes(
    trunk: Backbone,
    state: Mapping[str, Tensor],
    path: Path | str,
    stated: Sequence[int] | None,
    command: Sequence[int] | None,
) -> tuple[list[int], str]:
    """The seven codes of the network in the file at ``path``, and words for where they come from.

    ``trunk`` is its backbone without sites, ``state`` holds its entries under our names, ``stated`` are the
    codes that a user states, and ``command`` those in the training command line in the file. A UserError is
    raised if they contradict the entries, or nothing tells what the sites hold.
    """
    possible = _possible_codes(trunk, state)
    if stated is not None:
        return _checked(stated, possible, path, "the flags say"), "as stated"
    if command is not None:
        built = _built_codes(trunk, possible, command, path)
        return _checked(built, possible, path, "the training command line in it says"), "trained so"
    # A published recipe uses one code at all its sites. One site of a ResNet is in the stem, where entries
    # show whether BatchNorm was replaced. So if no stem site is ambiguous and some code shows, the hidden
    # sites hold 0.
    seen = {code for codes in possible.values() if len(codes) == 1 for code in codes}
    hidden = [site for site, codes in possible.items() if len(codes) > 1]
    stem_is_ambiguous = any(possible[site] == PLAIN_CODES for site in hidden)
    if hidden and (stem_is_ambiguous or not seen):
        tell = ", ".join(f"{site}: {_words(codes)}" for site, codes in possible.items())
        raise UserError(
            f"{path}: a RobustNet checkpoint of {trunk.name} whose entries do not tell what all sites hold "
            f"({tell}); state --wt_layer as it was trained, e.g. 0 0 2 2 2 0 0"
        )
    codes = [min(possible.get(site, {0})) for site in range(NUM_SITES)]
    places = ", ".join(map(str, hidden))
    condition = f", if sites {places} have none of 1, 2, 3; otherwise state --wt_layer" if hidden else ""
    return codes, f"by its entries{condition}"


def _possible_codes(trunk: Backbone, state: Mapping[str, Tensor]) -> dict[int, frozenset[int]]:
    """Site -> codes that its entries allow."""
    possible = {}
    for site in trunk.all_site_channels:
        in_stem = isinstance(trunk, ResNetBackbone) and site < 3
        layer = BACKBONE_PREFIX + (trunk.stem_norm(site) if in_stem else f"site_norms.{site}")
        if f"{layer}.sw_mean_weight" in state:
            codes = frozenset({5})
        elif f"{layer}.running_var" in state:
            codes = frozenset({0})
        elif f"{layer}.weight" in state:
            codes = frozenset({4})
        else:
            codes = PLAIN_CODES if in_stem else PLAIN_CODES | {0}
        possible[site] = codes
    return possible


def _words(codes: frozenset[int]) -> str:
    return " or ".join(map(str, sorted(codes)))


def _checked(
    codes: Sequence[int], possible: Mapping[int, frozenset[int]], path: Path | str, origin: str
) -> list[int]:
    """``codes``; a UserError if the entries do not allow them."""
    for site, allowed in possible.items():
        if codes[site] not in allowed:
            raise UserError(
                f"{path}: its entries allow code {_words(allowed)} at site {site}, {origin} {codes[site]}; "
                "state --wt_layer as it was trained"
            )
    return list(codes)


def _built_codes(
    trunk: Backbone, possible: Mapping[int, frozenset[int]], codes: Sequence[int], path: Path | str
) -> list[int]:
    """The codes that the family's network had when it was trained with ``--wt_layer`` ``codes``.

    The family ignores sites that a backbone does not have, and codes that :func:`family_lacks`.
    """
    built = [code if site in possible else 0 for site, code in enumerate(codes)]
    for site, code in enumerate(built):
        if family_lacks(trunk.name, site, code) and 5 not in possible[site]:
            if trunk.name.startswith("shufflenet") and site in (2, 6):
                raise UserError(
                    f"{path}: was trained with code 5 at site {site}, where the family's ShuffleNetV2 then "
                    "normalises nothing; that network is not supported"
                )
            built[site] = 0
    return built


def family_lacks(backbone: str, site: int, code: int) -> bool:
    """Whether the family's backbone has no layer for ``code`` at ``site``."""
    if backbone.startswith("mobilenet") and site == 6:
        return code != 0
    return code == 5 and backbone.startswith(("mobilenet", "shufflenet"))
