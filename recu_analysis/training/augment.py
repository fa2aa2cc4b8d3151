"""The paper's augmentation of a whole batch: a random crop of the padded image, and a random mirror image."""

from __future__ import annotations

import torch
from torch.nn import functional


def crop_and_flip(images: torch.Tensor, *, padding: int, black: float, flip: bool) -> torch.Tensor:
    """Shift every image by up to `padding` pixels in each direction, and mirror half of them left to right.

    The result is a random crop, of the image's own size, of the image with a black border, as in the training of ReCU's
    authors (padding 4 for 32x32). Randomness comes from torch's global generator.

    Parameters
    ----------
    images : Tensor, shape (N, C, H, W)
    padding : int
        Width of the border in pixels, at least 0.
    black : float
        Value of the border, in the unit of the images.
    flip : bool
        Whether images are mirrored, each with probability 1/2.

    Returns
    -------
    Tensor, shape and dtype of `images`
    """
    count, _, height, width = images.shape
    border = functional.pad(images, [padding] * 4, value=black)
    top, left = torch.randint(0, 2 * padding + 1, (2, count, 1))
    rows, columns = top + torch.arange(height), left + torch.arange(width)
    if flip:
        mirrored = torch.rand(count, 1) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    batch = torch.arange(count)[:, None, None]
    # Advanced indices around a slice put the channels last.
    return border[batch, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
