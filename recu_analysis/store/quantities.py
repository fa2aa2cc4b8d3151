"""What a run keeps of every weight, and the tensors that hold it in a shard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What a run keeps of every weight beside its state and its flips, unless it was told otherwise.
QUANTITIES = ("path", "zpath", "flip_times")
#: What it can keep beside: OvSW's moving average of the flips, and the sum of abs(gradient).
MORE_QUANTITIES = ("ema", "grad")
#: Tensors of a layer's shape, and those of the weights that flipped.
DENSE = ("weight", "path", "zpath", "ema", "grad")
SPARSE = ("flipped", "flips", "first_flip", "last_flip")
#: Tensors that only some layers have: the learned alpha, and the effective weight where no transform says it.
OPTIONAL = ("scale", "effective")


def checked_quantities(quantities: Iterable[str]) -> tuple[str, ...]:
    """The quantities in the order of their names here, each once; InputError if one is not known."""
    known = (*QUANTITIES, *MORE_QUANTITIES)
    wanted = [quantities] if isinstance(quantities, str) else list(quantities)
    for each in wanted:
        if each not in known:
            raise InputError(f"there is no quantity {each!r:.40} to record; choose among {', '.join(known)}")
    return tuple(each for each in known if each in wanted)


def kinds(quantities: Iterable[str]) -> tuple[str, ...]:
    """The tensors of every layer in a shard of a run that keeps these quantities."""
    times = {"first_flip": "flip_times", "last_flip": "flip_times"}
    kept = {"weight", "flipped", "flips", *quantities}
    return tuple(kind for kind in (*DENSE, *SPARSE) if times.get(kind, kind) in kept)
