"""The setting CAUSE[:EPOCHS]: which latent weights a training revives, and before which epochs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from recu_analysis.errors import InputError, unknown
from recu_analysis.theory.causes import CAUSE_GROUPS

#: Groups of weights that can be revived: names of `recu_analysis.training.revive.chosen_weights`.
CAUSES: Final = ("tail-silent", *CAUSE_GROUPS)
#: Before the name of a cause: as many weights of each layer, drawn at random, as a control.
RANDOM: Final = "random-"
NAMES: Final = (*CAUSES, *(f"{RANDOM}{cause}" for cause in CAUSES))


@dataclass(frozen=True, slots=True)
class Revival:
    """Which weights are revived, and when.

    Attributes
    ----------
    cause : str
        One of `CAUSES`.
    at_random : bool
        Whether as many random weights are changed instead.
    epochs : tuple of int
        The epochs, counted from 0, before which weights are revived.
    """

    cause: str
    at_random: bool
    epochs: tuple[int, ...]

    @property
    def tests_causes(self) -> bool:
        """Whether the weights are those with a cause of silence, which needs windows before those that are tested."""
        return self.cause in CAUSE_GROUPS


def revival_of(text: str, epochs: int) -> Revival:
    """The revival that a setting such as tail-silent:8,16 means, in a training of so many epochs.

    Without numbers of epochs it is before the epoch in the middle.

    Raises
    ------
    InputError
        If the setting cannot be read, no cause has that name, or an epoch is not one of the training or is the first.
    """
    name, colon, numbers = text.partition(":")
    if name not in NAMES:
        raise unknown("cause to revive", name, NAMES)
    if colon and not re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})*", numbers):
        raise InputError(f"revive is written {name} or {name}:8,16 with numbers of epochs, not {text!r:.60}")
    chosen = sorted({int(each) for each in numbers.split(",")}) if colon else [epochs // 2]
    revival = Revival(name.removeprefix(RANDOM), name.startswith(RANDOM), tuple(chosen))
    first = 2 if revival.tests_causes else 1  # a cause is found in windows after those in which weights are chosen
    if chosen[0] < first or chosen[-1] >= epochs:
        raise InputError(
            f"weights can be revived before the epochs {first} to {epochs - 1} of a training of {epochs}, not before "
            f"{', '.join(map(str, chosen))}; give other epochs, such as {name}:{max(epochs // 2, first)}"
        )
    return revival
