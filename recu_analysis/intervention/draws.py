"""The weights that an intervention changes: as many of each group in a layer, drawn by a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from zlib import crc32

import numpy as np

from recu_analysis.analysis.cause_groups import cause_groups_query
from recu_analysis.analysis.query import require_signs
from recu_analysis.analysis.weight_groups import WEIGHT_GROUPS, weight_groups_query
from recu_analysis.errors import InputError, kind_of_value, unknown
from recu_analysis.theory.causes import CAUSE_GROUPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.analysis.deadness import Mask, TailTau
    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

#: The group of all weights of a layer.
RANDOM: Final = "random"
GROUPS: Final[tuple[str, ...]] = (*WEIGHT_GROUPS, RANDOM)
#: The names of all groups: by silence, random, and by the cause of silence.
NAMES: Final = (*GROUPS, *CAUSE_GROUPS)

#: Names of groups, or the weights of each group: group -> layer -> mask.
Groups: TypeAlias = "Sequence[str] | Mapping[str, Mapping[str, Any]]"


@dataclass(frozen=True, slots=True)
class Drawer:
    """Draws as many weights of each group of a layer.

    Attributes
    ----------
    members : dict
        Group -> layer -> flat indices of the weights in the group.
    seed : int
    """

    members: dict[str, dict[str, np.ndarray[Any, np.dtype[np.intp]]]]
    seed: int

    def size(self, layer: str) -> int:
        """How many weights of each group are drawn: the size of the smallest group that is not empty."""
        return min((len(of[layer]) for of in self.members.values() if len(of[layer])), default=0)

    def is_shared(self, layer: str) -> bool:
        """Whether every group has weights in the layer."""
        return all(len(of[layer]) for of in self.members.values())

    def draw(self, layer: str, group: str, repeat: int, size: int) -> np.ndarray[Any, np.dtype[np.intp]]:
        """Flat indices of weights drawn without replacement; none of an empty group.

        A draw depends on the seed, its number, and the names of layer and group, not on what else is drawn.
        """
        members = self.members[group][layer]
        if not len(members):
            return members
        names = (crc32(layer.encode()), crc32(group.encode()))
        return np.random.default_rng([self.seed, repeat, *names]).choice(members, size, replace=False)


def drawer(
    run: Run, span: WindowSpan, specs: Sequence[LayerSpec], groups: Groups, tail_tau: TailTau, seed: int
) -> Drawer:
    """The drawer of groups by their names, or of a mapping with the masks of each group, beside random weights.

    Raises
    ------
    InputError
        If no group has that name, a group of a caller's own is called random, or a mask is of no layer or does not fit.
    SignsOnlyError
        If a layer has more than two levels: an intervention negates signs.
    """
    require_signs(specs)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"the seed must be a whole number from 0 on, not {kind_of_value(seed)}")
    masks = _given(run, groups, specs) if isinstance(groups, Mapping) else _named(run, span, specs, groups, tail_tau)
    members = {
        name: {layer: np.flatnonzero(mask) for layer, mask in of_layers.items()} for name, of_layers in masks.items()
    }
    return Drawer(members, seed)


def _named(
    run: Run, span: WindowSpan, specs: Sequence[LayerSpec], groups: Sequence[str], tail_tau: TailTau
) -> dict[str, dict[str, Mask]]:
    names = [groups] if isinstance(groups, str) else list(groups)
    for name in names:
        if name not in NAMES:
            raise unknown("group of weights", name, NAMES)
    if not names:
        raise InputError(f"no group of weights is given; known are {', '.join(NAMES)}")
    found = {RANDOM: {spec.name: np.ones(spec.weights, dtype=np.bool_) for spec in specs}}
    for known, query in ((WEIGHT_GROUPS, weight_groups_query), (CAUSE_GROUPS, cause_groups_query)):
        if {*names} & {*known}:
            masks = query(run, span, specs, tail_tau).run()
            found |= {group: {layer: groups[group] for layer, groups in masks.items()} for group in known}
    return {name: found[name] for name in dict.fromkeys(names)}


def _given(run: Run, groups: Mapping[str, Mapping[str, Any]], specs: Sequence[LayerSpec]) -> dict[str, dict[str, Mask]]:
    masks: dict[str, dict[str, Mask]] = {}
    for name, of_layers in groups.items():
        if name == RANDOM:
            raise InputError(f"random weights are drawn beside the groups that are given; give {name!r} another name")
        if not isinstance(of_layers, Mapping):
            raise InputError(f"the group {name!r} must map layers to masks, not be {kind_of_value(of_layers)}")
        for layer in of_layers:
            if layer not in run.layer_names:
                raise unknown(f"layer of group {name!r}", layer, run.layer_names)
        masks[str(name)] = {spec.name: _mask(name, spec, of_layers.get(spec.name)) for spec in specs}
    return masks | {RANDOM: {spec.name: np.ones(spec.weights, dtype=np.bool_) for spec in specs}}


def _mask(group: str, spec: LayerSpec, given: Any) -> Mask:
    """The mask of a group in a layer, flat; empty if none is given."""
    mask = np.zeros(spec.shape, dtype=np.bool_) if given is None else np.asarray(given)
    if mask.dtype != np.bool_ or mask.size != spec.weights:
        raise InputError(
            f"the mask of group {group!r} in layer {spec.name!r} has {mask.size} values of {mask.dtype}, but must have "
            f"a truth value for each of its {spec.weights} weights"
        )
    return mask.reshape(-1)
