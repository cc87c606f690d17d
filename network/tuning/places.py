"""Where in a backbone tuning adds its layers: the blocks of a transformer and the linear layers in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from torch import nn

from network.backbone.base import Backbone
from utils.errors import UserError

Alternatives = Sequence[Sequence[str]]
"""Names of linear layers that have the same task in different models, the first that a model has count."""
QUERY_KEY_VALUE: Alternatives = (("qkv",), ("q_proj", "k_proj", "v_proj"))
PROJECTION: Alternatives = (("proj",),)
FIRST_OF_MLP: Alternatives = (("fc1",), ("fc1_g", "fc1_x"))
LAST_OF_MLP: Alternatives = (("fc2",),)


def blocks_of(backbone: Backbone) -> list[tuple[str, nn.Module]]:
    """Name and module of all blocks, in order of execution: what modules called ``blocks`` consist of."""
    lists = [(name, module) for name, module in backbone.named_modules() if last_name(name) == "blocks"]
    return [(f"{name}.{place}", block) for name, module in lists for place, block in module.named_children()]


def chosen_blocks(
    backbone: Backbone, tuning: str, numbers: Iterable[int] | None, first: Callable[[int], int] = lambda _: 0
) -> list[int]:
    """The numbers of the blocks to tune, ascending: ``numbers``, or by default all from ``first(depth)`` on.

    A UserError is raised if the backbone has no blocks, or not these.
    """
    depth = len(blocks_of(backbone))
    if not depth:
        raise UserError(
            f"--tune {tuning}: {backbone.name} has no transformer blocks; use --tune frozen, head or full, "
            "or a --backbone timm:vit_..."
        )
    if numbers is None:
        return list(range(first(depth), depth))
    chosen = sorted(set(numbers))
    if not chosen or chosen[0] < 0 or chosen[-1] >= depth:
        words = " ".join(map(str, numbers))
        raise UserError(f"--tune_blocks {words}: {backbone.name} has the blocks 0 to {depth - 1}")
    return chosen


def chosen_targets(
    backbone: Backbone, tuning: str, blocks: Sequence[int], names: Sequence[str] | None, default: Sequence
) -> list[str]:
    """The names of the linear layers to tune: ``names``, or by default the first that fit of ``default``.

    ``default`` is a sequence of :data:`Alternatives`. A UserError is raised if one of ``blocks`` has no
    linear layer of such a name.
    """
    known = [set(layers_in(block)) for place, (_, block) in enumerate(blocks_of(backbone)) if place in blocks]
    present = set.intersection(*known)
    there = ", ".join(sorted(present)) or "none of a common name"
    if names is not None:
        if missing := [name for name in names if name not in present]:
            raise UserError(
                f"--lora_targets {' '.join(names)}: the blocks of {backbone.name} have no linear layer "
                f"{missing[0]}; they have {there}"
            )
        return list(dict.fromkeys(names))
    chosen: list[str] = []
    for alternatives in default:
        fitting = [each for each in alternatives if present.issuperset(each)]
        if not fitting:
            wanted = " or ".join(", ".join(each) for each in alternatives)
            raise UserError(
                f"--tune {tuning}: the blocks of {backbone.name} have no linear layer {wanted}; they have "
                f"{there}: name some with --lora_targets, or use another --tune"
            )
        chosen += fitting[0]
    return chosen


def layers_in(block: nn.Module) -> dict[str, str]:
    """Last name -> full name in ``block`` of its linear layers."""
    return {last_name(name): name for name, part in block.named_modules() if isinstance(part, nn.Linear)}


def target_layers(
    backbone: Backbone, blocks: Sequence[int], targets: Sequence[str]
) -> list[tuple[str, nn.Linear]]:
    """Full name and layer of the linear layers called ``targets`` in ``blocks``, in order of execution."""
    every = blocks_of(backbone)
    return [
        (f"{every[place][0]}.{name}", layer)
        for place in blocks
        for name, layer in every[place][1].named_modules()
        if isinstance(layer, nn.Linear) and last_name(name) in targets
    ]


def replace(backbone: Backbone, name: str, layer: nn.Linear) -> nn.Module:
    """Put ``layer`` in the place ``name`` of ``backbone``; returns the module that has it."""
    owner, _, last = name.rpartition(".")
    parent = backbone.get_submodule(owner)
    setattr(parent, last, layer)
    if hasattr(parent, "qkv_bias_separate"):
        # Otherwise timm's EVA takes the weight out of the layer, and never calls the layer itself.
        parent.qkv_bias_separate = True
    return parent


def last_name(name: str) -> str:
    """The part of a module's name after the last dot."""
    return name.rpartition(".")[2]
