"""The order of the images in an epoch, which depends only on seed and epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


def epoch_seed(seed: int, epoch: int) -> int:
    """A 63-bit seed for one epoch of a training, independent of other epochs."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def batches(count: int, batch_size: int, seed: int, epoch: int) -> Iterator[torch.Tensor]:
    """Indices of the batches of one epoch, in an order that depends only on seed and epoch.

    A last batch of one image is skipped, because batch normalization cannot train on it.
    """
    generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
    indices = torch.randperm(count, generator=generator)
    return (batch for batch in torch.split(indices, batch_size) if len(batch) > 1)
