"""Data sets as tensors: the digits that scikit-learn carries, and Fashion-MNIST from its published files."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from recu_analysis.errors import DataError, InputError
from recu_analysis.training.augment import crop_and_flip

if TYPE_CHECKING:
    from collections.abc import Iterator

DATASETS = ("digits", "fashion-mnist", "fashion-mnist-16")
#: Seed of the split of the digits, the same for every training.
SPLIT_SEED = 0
VALIDATION_SHARE = 0.2
EVALUATION_BATCH = 500
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Images and labels of the two parts.

    Attributes
    ----------
    train_images, val_images : Tensor of float32, shape (N, 3, H, W)
        Mean 0 and standard deviation 1 over the training part.
    train_labels, val_labels : Tensor of int64, shape (N,)
    classes : int
    black : float
        The value of a black pixel.
    mirrored : bool
        Whether a mirrored image is of the same class; a digit's is not.
    """

    train_images: torch.Tensor
    train_labels: torch.Tensor
    val_images: torch.Tensor
    val_labels: torch.Tensor
    classes: int
    black: float = 0.0
    mirrored: bool = True

    def train_batch(self, indices: torch.Tensor, *, augment: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (float32, normalised) and labels of the training part at these indices.

        `augment` shifts every image by up to an eighth of its size and mirrors every second one, where a mirrored
        image is still of its class; see `recu_analysis.training.augment`.
        """
        images, labels = self.train_images[indices], self.train_labels[indices]
        if augment:
            padding = images.shape[-1] // 8
            images = crop_and_flip(images, padding=padding, black=self.black, flip=self.mirrored)
        return images, labels

    def val_batches(self, batch_size: int = EVALUATION_BATCH) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Images and labels of the validation part, in order."""
        return zip(torch.split(self.val_images, batch_size), torch.split(self.val_labels, batch_size), strict=True)


def load_dataset(name: str, data_dir: str | None = None) -> Dataset:
    """A data set by name.

    Parameters
    ----------
    name : str
        digits: 1,797 images of 8x8 brought to 16x16, a stratified fifth of them for validation.
        fashion-mnist: 60,000 and 10,000 images of 28x28, padded to 32x32; fashion-mnist-16: the mean of each 2x2
        of their pixels, padded to 16x16, for a quarter of the time.
    data_dir : str, optional
        Where the four .gz files of Fashion-MNIST lie; by default where Debian's package puts them.

    Raises
    ------
    InputError
        If no data set has that name.
    DataError
        If a file is missing or damaged; the text says which, and where to get it.
    """
    if name == "digits":
        return _digits()
    if name in ("fashion-mnist", "fashion-mnist-16"):
        return _fashion_mnist(Path(data_dir) if data_dir else FASHION_MNIST, halved=name == "fashion-mnist-16")
    raise InputError(f"no data set is called {name!r}; known are {', '.join(DATASETS)}")


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed of 63 bits for one epoch of a training, independent of that of any other epoch."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def batches(count: int, batch_size: int, seed: int, epoch: int) -> Iterator[torch.Tensor]:
    """Indices of the batches of one epoch, in an order that depends on seed and epoch only.

    A last batch of one image is left out: batch normalisation cannot train on it.
    """
    generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
    order = torch.randperm(count, generator=generator)
    return (batch for batch in torch.split(order, batch_size) if len(batch) > 1)


def _digits() -> Dataset:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = torch.from_numpy(digits.images).float()[:, None]
    images = functional.interpolate(images, size=(16, 16), mode="bilinear", align_corners=False)
    labels = torch.from_numpy(digits.target).long()
    train, val = train_test_split(
        np.arange(len(labels)), test_size=VALIDATION_SHARE, stratify=digits.target, random_state=SPLIT_SEED
    )
    return replace(_normalised(images[train], labels[train], images[val], labels[val]), mirrored=False)


def _normalised(
    train_images: torch.Tensor, train_labels: torch.Tensor, val_images: torch.Tensor, val_labels: torch.Tensor
) -> Dataset:
    """Grey images (N, 1, H, W) as three equal channels in the memory of one, scaled by the training part."""
    deviation, mean = torch.std_mean(train_images)

    def scaled(images: torch.Tensor) -> torch.Tensor:
        return ((images - mean) / deviation).expand(-1, 3, -1, -1)

    black = float(-mean / deviation)
    return Dataset(scaled(train_images), train_labels, scaled(val_images), val_labels, classes=10, black=black)


def _fashion_mnist(folder: Path, *, halved: bool) -> Dataset:
    parts = []
    for prefix, count in (("train", 60_000), ("t10k", 10_000)):
        images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", (count, 28, 28))
        labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", (count,))
        if labels.max() > 9:
            raise DataError(f"{folder / prefix}-labels-idx1-ubyte.gz is damaged: it has the label {labels.max()}")
        pixels = torch.from_numpy(images.copy())[:, None].float()
        padded = (
            functional.pad(functional.avg_pool2d(pixels, 2), [1] * 4) if halved else functional.pad(pixels, [2] * 4)
        )
        parts += [padded, torch.from_numpy(labels.astype(np.int64))]
    return _normalised(*parts)


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The bytes of a gzipped IDX file of unsigned bytes.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        What the file must hold; nothing beyond it is decompressed.

    Returns
    -------
    ndarray of uint8, of that shape

    Raises
    ------
    DataError
        If the file is missing, truncated, or holds something else.
    """
    hint = "Debian's package dataset-fashion-mnist has the four files; --data-dir names their folder"
    expected = f"a gzipped IDX file of {' x '.join(map(str, shape))} bytes"
    header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    length = len(header) + int(np.prod(shape))
    try:
        with gzip.open(path) as file:
            content = file.read(length + 1)
    except FileNotFoundError:
        raise DataError(f"{path} is missing: it should be {expected}; {hint}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): it should be {expected}; {hint}") from None
    if len(content) != length or not content.startswith(header):
        raise DataError(f"{path} is not {expected}; {hint}")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
