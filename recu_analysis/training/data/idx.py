"""Fashion-MNIST from its four published files in gzipped IDX format."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from recu_analysis.errors import DataError
from recu_analysis.training.data.dataset import Dataset, gray_dataset

#: Folder of the files in Debian's package.
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


def load_fashion_mnist(data_dir: str | None, *, halved: bool) -> Dataset:
    """60,000 and 10,000 images of 28x28 pixels padded to 32x32; `halved`: the mean of each 2x2 pixels, padded to 16x16.

    Raises
    ------
    DataError
        If a file is missing or damaged; the message names it and says where to get it.
    """
    folder = Path(data_dir) if data_dir else FASHION_MNIST
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
    return gray_dataset(*parts)


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Read a gzipped IDX file of unsigned bytes.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Expected shape; no more bytes are decompressed.

    Returns
    -------
    ndarray of uint8, of that shape

    Raises
    ------
    DataError
        If the file is missing, truncated, or has other content.
    """
    hint = "install Debian's package dataset-fashion-mnist, or name the folder of the four files with --data-dir"
    expected = f"a gzipped IDX file of {' x '.join(map(str, shape))} bytes"
    header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    length = len(header) + int(np.prod(shape))
    try:
        if path.is_fifo():
            raise OSError("it is a pipe, which would keep its reader waiting")
        with gzip.open(path) as file:
            content = file.read(length + 1)
    except FileNotFoundError:
        raise DataError(f"{path} is missing: it should be {expected}; {hint}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): it should be {expected}; {hint}") from None
    if len(content) != length or not content.startswith(header):
        raise DataError(f"{path} is not {expected}; {hint}")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
