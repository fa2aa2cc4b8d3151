"""A random sample of the output channels of every layer: its share, its seed, and the channels of one layer."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

import xxhash

from recu_analysis.errors import InputError, kind_of_value
from recu_analysis.store.format import MAX_WHOLE

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Fewest channels that a sample has of a layer that has as many: one alone has no spread.
FEWEST = 2


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the output channels of every layer are sampled.

    Attributes
    ----------
    share : float
        Part of the output channels that is recorded, above 0 and below 1.
    seed : int
    """

    share: float
    seed: int

    def of(self, layer: str, channels: int) -> Sample:
        """The sample of a layer: its share of the channels, rounded, and at least two.

        It depends on the seed, the layer's name and its number of channels alone, and no library's random numbers can
        change it: the channels whose xxh3_64 of seed, name and number is smallest. So a sample of a larger share holds
        that of a smaller one.
        """
        count = min(channels, max(FEWEST, round(self.share * channels)))
        ranked = sorted(range(channels), key=lambda at: xxhash.xxh3_64_digest(f"{self.seed}\0{layer}\0{at}".encode()))
        return Sample(self.share, self.seed, channels, tuple(sorted(ranked[:count])))


@dataclass(frozen=True, slots=True)
class Sample:
    """The output channels of one layer that are recorded.

    Attributes
    ----------
    share, seed
        As in `Sampling`.
    of : int
        Number of output channels of the layer.
    recorded : tuple of int
        Numbers of the recorded channels, ascending.
    """

    share: float
    seed: int
    of: int
    recorded: tuple[int, ...]

    def __str__(self) -> str:
        return f"channels={self.share:g}, channel_seed={self.seed}"

    def to_dict(self) -> dict[str, Any]:
        """The fields, as stored in JSON."""
        return {"share": self.share, "seed": self.seed, "of": self.of, "recorded": list(self.recorded)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """The sample with the fields of `to_dict`; raise KeyError, TypeError or ValueError if they are not valid."""
        share, recorded = fields["share"], fields["recorded"]
        numbers = [fields["seed"], fields["of"], *recorded]
        if type(share) is not float or not 0.0 < share < 1.0 or any(type(each) is not int for each in numbers):
            raise TypeError("its recorded channels are not numbers")
        bounds = (-1, *recorded, fields["of"])
        if (
            not recorded
            or not 0 <= min(numbers) <= max(numbers) <= MAX_WHOLE
            or not all(before < at for before, at in pairwise(bounds))
        ):
            raise ValueError("its recorded channels are not ascending numbers of its channels")
        return cls(share, fields["seed"], fields["of"], tuple(recorded))


def sampling_of(channels: Any, channel_seed: Any) -> Sampling | None:
    """The sampling that a caller asks for; None if all channels are recorded.

    Raises
    ------
    InputError
        If `channels` is not a number above 0 and at most 1, or `channel_seed` is not a whole number from 0 on.
    """
    number = isinstance(channels, Real) and not isinstance(channels, bool)
    share = float(channels) if number else math.nan
    if not 0.0 < share <= 1.0:
        raise InputError(
            "channels must be a share of the output channels, above 0 and at most 1, such as 0.05, not "
            f"{kind_of_value(channels)}"
        )
    whole = isinstance(channel_seed, SupportsIndex) and not isinstance(channel_seed, bool)
    seed = operator.index(channel_seed) if whole else -1
    if not 0 <= seed <= MAX_WHOLE:
        raise InputError(f"channel_seed must be a whole number from 0 to 2^63 - 1, not {kind_of_value(channel_seed)}")
    return None if share == 1.0 else Sampling(share, seed)
