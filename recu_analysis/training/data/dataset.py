"""A data set for a training: images and labels of the two parts, their batches, and their normalization."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import xxhash

from recu_analysis.errors import DataError
from recu_analysis.training.augment import crop_and_flip

if TYPE_CHECKING:
    from collections.abc import Iterator

EVALUATION_BATCH = 500
#: Number of images whose pixels are counted at a time.
COUNTED = 1000
CHANNELS = 3

#: Images and labels.
Part = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Images and labels of the two parts.

    Attributes
    ----------
    train_images, val_images : Tensor, shape (N, 3, H, W)
        float32 with mean 0 and standard deviation 1 over the training part, or uint8 pixels, which `normalized`
        converts.
    train_labels, val_labels : Tensor of int64, shape (N,)
        From 0 to classes - 1.
    classes : int
        Number of classes.
    black : float
        The value of a black pixel, in the unit of the images.
    mirrored : bool
        Whether a mirrored image has the same class, which is not the case for digits.
    mean, std : tuple of three floats, or None
        Mean and standard deviation of each channel of the training pixels, from 0 to 255; None for float32 images.

    Raises
    ------
    DataError
        If the images do not have three channels, a part has no images, or a label is out of range.
    """

    train_images: torch.Tensor
    train_labels: torch.Tensor
    val_images: torch.Tensor
    val_labels: torch.Tensor
    classes: int
    black: float = 0.0
    mirrored: bool = True
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        _check_part("training", self.train_images, self.train_labels, self.classes)
        _check_part("validation", self.val_images, self.val_labels, self.classes)

    @property
    def labels_each(self) -> int:
        """Number of labels of an image."""
        return 1

    @property
    def fingerprint(self) -> str:
        """xxh3_128 of shapes and labels of both parts, in order.

        Pixels are not included, because decoding and averaging may differ in the last bit between machines.
        """
        hasher = xxhash.xxh3_128()
        for images, labels in ((self.train_images, self.train_labels), (self.val_images, self.val_labels)):
            hasher.update(str(tuple(images.shape)).encode())
            hasher.update(labels.contiguous().numpy().data.cast("B"))
        return str(hasher.hexdigest())

    def train_batch(self, indices: torch.Tensor, *, augment: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """Images, in their stored dtype, and labels of the training part at these indices.

        `augment` shifts every image by up to an eighth of its size and, if `mirrored`, mirrors half of them; see
        `recu_analysis.training.augment`.
        """
        images, labels = self.train_images[indices], self.train_labels[indices]
        if augment:
            padding = images.shape[-1] // 8
            images = crop_and_flip(images, padding=padding, black=self.black, flip=self.mirrored)
        return images, labels

    def val_batches(self, batch_size: int = EVALUATION_BATCH) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Images, in their stored dtype, and labels of the validation part, in order."""
        return zip(torch.split(self.val_images, batch_size), torch.split(self.val_labels, batch_size), strict=True)

    def normalized(self, images: torch.Tensor) -> torch.Tensor:
        """Input of the network: (pixel - mean) / std per channel, on the device of the images.

        Parameters
        ----------
        images : Tensor, shape (N, 3, H, W)
            A batch of this data set; float32 images are returned unchanged.

        Returns
        -------
        Tensor of float32, shape of `images`
        """
        if self.mean is None or self.std is None:
            return images
        mean, std = torch.tensor([self.mean, self.std], dtype=torch.float32).to(images.device)[:, :, None, None]
        return images.to(torch.float32).sub_(mean).div_(std)


def _check_part(part: str, images: torch.Tensor, labels: torch.Tensor, classes: int) -> None:
    if images.ndim != 4 or images.shape[1] != CHANNELS or len(images) != len(labels):
        raise DataError(
            f"the {part} images have shape {tuple(images.shape)}, but must have shape (images, {CHANNELS}, height, "
            f"width), with one image for each of the {len(labels)} labels"
        )
    if len(labels) == 0:
        raise DataError(f"the data set has no {part} images")
    least, most = map(int, torch.aminmax(labels))
    if least < 0 or most >= classes:
        wrong = least if least < 0 else most
        raise DataError(
            f"a {part} image has the label {wrong}, but {classes} classes have the labels 0 to {classes - 1}"
        )


def gray_dataset(
    train_images: torch.Tensor, train_labels: torch.Tensor, val_images: torch.Tensor, val_labels: torch.Tensor
) -> Dataset:
    """Ten classes of gray images (N, 1, H, W) as three channels that share memory, scaled by the training part."""
    deviation, mean = torch.std_mean(train_images)
    deviation = torch.where(deviation > 0, deviation, 1.0)  # all pixels may be equal

    def scaled(images: torch.Tensor) -> torch.Tensor:
        return ((images - mean) / deviation).expand(-1, CHANNELS, -1, -1)

    black = float(-mean / deviation)
    return Dataset(scaled(train_images), train_labels, scaled(val_images), val_labels, classes=10, black=black)


def pixel_dataset(train: Part, val: Part, classes: int) -> Dataset:
    """Unchanged uint8 color images and their labels, with mean and deviation of the training part."""
    mean, std = channel_moments(train[0])
    return Dataset(*train, *val, classes, mean=mean, std=std)


def channel_moments(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation (over all pixels, ddof 0) of each channel, exact except for the final rounding.

    Parameters
    ----------
    images : Tensor of uint8, shape (N, C, H, W)

    Returns
    -------
    tuple of two tuples of float
        Length C, in the unit of the pixels; the deviation of a constant channel is 1, so that it can be a divisor.
    """
    counts = torch.zeros(images.shape[1], 256, dtype=torch.int64)
    for some in torch.split(images, COUNTED):
        for channel, row in enumerate(counts):
            row += torch.bincount(some[:, channel].flatten(), minlength=256)
    moments = [_moments(row) for row in counts.tolist()]
    return tuple(mean for mean, _ in moments), tuple(std for _, std in moments)


def _moments(counts: list[int]) -> tuple[float, float]:
    """Mean and deviation of the values 0, 1, ... with the given counts, in integer arithmetic up to the last step."""
    number = sum(counts)
    total = sum(value * count for value, count in enumerate(counts))
    squares = sum(value * value * count for value, count in enumerate(counts))
    variance = (number * squares - total * total) / (number * number)
    return total / number, math.sqrt(variance) or 1.0
