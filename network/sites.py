"""The seven normalisation sites of a backbone, and the layer that each code of ``--wt_layer`` builds there.

Sites 0, 1 and 2 are in the stem; sites 3..6 are at the end of layer1..layer4. The codes are:

==== ======================================================================
0    nothing: the backbone as it is
1    instance whitening, trained with the (relaxed) whitening loss (IW, IRW)
2    instance whitening, trained with the selective whitening loss (ISW)
3    instance normalisation without affine parameters, no loss
4    instance normalisation with affine parameters (as in IBN-Net-b)
5    switchable whitening
==== ======================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import nn

from network.norm.instance_whitening import InstanceNormalisation
from network.norm.switch_whitening import SwitchWhitening
from utils.errors import UserError

NUM_SITES = 7
NO_SITES = (0,) * NUM_SITES
WHITENED_CODES = (1, 2)
STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
STAGE_OF_SITE = ("stem", "stem", "stem", "layer1", "layer2", "layer3", "layer4")
# The last site of each stage: the stem has three, and later ones overwrite earlier ones.
SITE_OF_STAGE = {stage: site for site, stage in enumerate(STAGE_OF_SITE)}

# Code -> builder of its layer, from the number of channels.
SITE_LAYERS: dict[int, Callable[[int], nn.Module]] = {
    1: InstanceNormalisation,
    2: InstanceNormalisation,
    3: InstanceNormalisation,
    4: lambda channels: InstanceNormalisation(channels, affine=True),
    5: SwitchWhitening,
}


def active_sites(wt_layer: Sequence[int], site_channels: Mapping[int, int], backbone: str) -> dict[int, int]:
    """Site -> code of the sites that have a layer, in order of execution.

    ``site_channels``: site -> channels, for all sites of the backbone, whose name is ``backbone``. A
    UserError is raised if there are not seven codes, a code is unknown, or the backbone lacks a site.
    """
    codes = list(wt_layer)
    if len(codes) != NUM_SITES:
        raise UserError(
            f"--wt_layer {' '.join(map(str, codes))}: has {len(codes)} codes; give {NUM_SITES} codes, three "
            "for the stem and four for layer1..layer4"
        )
    unknown = [code for code in codes if code != 0 and code not in SITE_LAYERS]
    if unknown:
        raise UserError(
            f"--wt_layer: unknown code {unknown[0]}; the codes are {', '.join(map(str, (0, *SITE_LAYERS)))}"
        )
    sites = {site: code for site, code in enumerate(codes) if code != 0}
    absent = [site for site in sites if site not in site_channels]
    if absent:
        raise UserError(
            f"--wt_layer: {backbone} has no site {absent[0]}, only {', '.join(map(str, site_channels))}; "
            f"put 0 in place {absent[0]} of {' '.join(map(str, codes))}"
        )
    return sites
