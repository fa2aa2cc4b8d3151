"""A text file as bytes: its first nine tenths to train on, the rest for validation, both cut into equal sequences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import xxhash

from recu_analysis.errors import DataError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Values of a byte.
BYTES = 256
#: Bytes of a sequence.
CONTEXT = 128
#: One of so many parts of the file, the last one, is for validation.
PARTS = 10
#: Shortest file, whose validation part holds one sequence and the byte after it.
LEAST = PARTS * (CONTEXT + 1)
#: Largest file, which is read into memory.
MOST = 2**30
EVALUATION_BATCH = 32


@dataclass(frozen=True, slots=True)
class Text:
    """Sequences of bytes, and for each byte the next one as its label.

    A sequence ends where the next begins, so a prediction sees 1 to 128 bytes.

    Attributes
    ----------
    train_images, train_labels, val_images, val_labels : Tensor of uint8, shape (sequences, 128)
        Named as those of images, for which the training loop was written. Bytes that fill no sequence are left out.
    """

    train_images: torch.Tensor
    train_labels: torch.Tensor
    val_images: torch.Tensor
    val_labels: torch.Tensor

    @property
    def classes(self) -> int:
        """Number of values of a byte."""
        return BYTES

    @property
    def labels_each(self) -> int:
        """Number of labels of a sequence."""
        return CONTEXT

    @property
    def fingerprint(self) -> str:
        """xxh3_128 of the labels of both parts."""
        hasher = xxhash.xxh3_128()
        for labels in (self.train_labels, self.val_labels):
            hasher.update(str(tuple(labels.shape)).encode())
            hasher.update(labels.contiguous().numpy().data.cast("B"))
        return str(hasher.hexdigest())

    def train_batch(self, indices: torch.Tensor, *, augment: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """Sequences and labels of the training part at these indices, int64; a text is never augmented."""
        return self.train_images[indices].long(), self.train_labels[indices].long()

    def val_batches(self, batch_size: int = EVALUATION_BATCH) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Sequences and labels of the validation part, int64, in order."""
        parts = (torch.split(each, batch_size) for each in (self.val_images, self.val_labels))
        for images, labels in zip(*parts, strict=True):
            yield images.long(), labels.long()

    def normalized(self, images: torch.Tensor) -> torch.Tensor:
        """Input of the network: the bytes themselves."""
        return images


def load_text(data_file: str | None) -> Text:
    """The two parts of a text file.

    Parameters
    ----------
    data_file : str
        Any file of at least 1,290 bytes. It is read as bytes, whatever its encoding.

    Returns
    -------
    Text

    Raises
    ------
    InputError
        If no file is given.
    DataError
        If the file is missing, no ordinary file, too short, or too long for the memory.
    """
    if data_file is None:
        raise InputError("the data set text needs a file; name it with --data-file FILE")
    path = Path(data_file)
    try:
        if not path.exists():
            raise DataError(f"{path} does not exist; name a text file with --data-file")
        if not path.is_file():
            raise DataError(f"{path} is not a file; name a text file with --data-file")
        size = path.stat().st_size
        if size > MOST:
            raise DataError(f"{path} has {size:,} bytes, and a text is read into memory; use at most {MOST:,} of them")
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path} cannot be read: {reason}; name a text file with --data-file") from None
    if len(content) < LEAST:
        what = f"is too short: it has {len(content):,} bytes" if content else "is empty"
        raise DataError(f"{path} {what}, and a text needs at least {LEAST:,}; use a longer one")
    split = len(content) - len(content) // PARTS
    everything = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    return Text(*_sequences(everything[:split]), *_sequences(everything[split:]))


def _sequences(text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences that follow each other, and for each byte the next one; they share memory."""
    whole = (len(text) - 1) // CONTEXT * CONTEXT
    return text[:whole].view(-1, CONTEXT), text[1 : whole + 1].view(-1, CONTEXT)
