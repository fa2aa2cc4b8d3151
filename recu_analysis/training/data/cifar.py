"""CIFAR-10 and CIFAR-100 from the published archives, in the binary form or the Python form (pickles).

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009, and the web page of the data sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recu_analysis.errors import DataError, InputError
from recu_analysis.training.data.archive import read_folder, read_packed
from recu_analysis.training.data.dataset import Dataset, pixel_dataset
from recu_analysis.training.data.pickled import Pickled, read_pickle

if TYPE_CHECKING:
    from recu_analysis.training.data.archive import Bounds
    from recu_analysis.training.data.dataset import Part

PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
#: Bytes of an image: red, green, blue, each 32 rows of 32.
PIXELS = 3 * 32 * 32

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Labels = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Form:
    """A published form of the data set: its folder, its archive, and the ending of its files."""

    folder: str
    archive: str
    ending: str


@dataclass(frozen=True, slots=True)
class Published:
    """One of the two data sets.

    Attributes
    ----------
    title : str
    classes : int
    train, test : tuple of str
        Names of the files, without an ending.
    images : int
        Images in each training file.
    tested : int
        Images in the test file.
    label_bytes : int
        Label bytes before each image in the binary form; the last byte is used.
    key : str
        Key of the labels in the Python form.
    binary, python : Form
    """

    title: str
    classes: int
    train: tuple[str, ...]
    test: str
    images: int
    tested: int
    label_bytes: int
    key: str
    binary: Form
    python: Form

    @property
    def hint(self) -> str:
        """Advice where to get the data set, and where to put it."""
        return (
            f"download {self.title} from {PAGE}, and name with --data-dir the folder of {self.binary.archive} or "
            f"{self.python.archive}, packed or unpacked"
        )


PUBLISHED = {
    "cifar10": Published(
        title="CIFAR-10",
        classes=10,
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test="test_batch",
        images=10_000,
        tested=10_000,
        label_bytes=1,
        key="labels",
        binary=Form("cifar-10-batches-bin", "cifar-10-binary.tar.gz", ".bin"),
        python=Form("cifar-10-batches-py", "cifar-10-python.tar.gz", ""),
    ),
    "cifar100": Published(
        title="CIFAR-100",
        classes=100,
        train=("train",),
        test="test",
        images=50_000,
        tested=10_000,
        label_bytes=2,
        key="fine_labels",
        binary=Form("cifar-100-binary", "cifar-100-binary.tar.gz", ".bin"),
        python=Form("cifar-100-python", "cifar-100-python.tar.gz", ""),
    ),
}


def load_cifar(name: str, data_dir: str | None) -> Dataset:
    """CIFAR-10 or CIFAR-100 (with fine labels), as uint8 pixels.

    Parameters
    ----------
    name : {"cifar10", "cifar100"}
    data_dir : str or None
        Folder with one of the archives, packed or unpacked, or the unpacked folder itself.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If no folder is given.
    DataError
        If a file is missing, truncated or damaged, or is a pickle with unexpected names.
    """
    kind = PUBLISHED[name]
    if data_dir is None:
        raise InputError(f"{name} needs a folder: {kind.hint}")
    where, form, files = _read(Path(data_dir), kind)

    def part(stems: tuple[str, ...], count: int) -> Part:
        names = [stem + form.ending for stem in stems]
        images, labels = zip(
            *(_records(kind, form, files[name], count, f"{where}/{name}") for name in names), strict=True
        )
        return torch.from_numpy(np.concatenate(images)), torch.from_numpy(np.concatenate(labels))

    return pixel_dataset(part(kind.train, kind.images), part((kind.test,), kind.tested), kind.classes)


def _read(folder: Path, kind: Published) -> tuple[Path, Form, dict[str, bytes]]:
    """Location, form and content of the files; the binary form if both exist."""
    for form in (kind.binary, kind.python):
        names = [stem + form.ending for stem in (*kind.train, kind.test)]
        for place in (folder / form.folder, folder):
            if any((place / name).is_file() for name in names):
                return place, form, read_folder(place, _bounds(kind, form), kind.hint)
        archive = folder / form.archive
        if archive.is_file():
            return archive, form, read_packed(archive, form.folder, _bounds(kind, form), kind.hint)
    raise DataError(f"{folder} does not have {kind.title}; {kind.hint}")


def _bounds(kind: Published, form: Form) -> dict[str, Bounds]:
    """Size bounds of each file; files of the Python form vary, because they include the names of the images."""
    counts = dict.fromkeys(kind.train, kind.images) | {kind.test: kind.tested}
    if form is kind.python:
        # Python 3 writes bytes in protocol 2 as UTF-8, at most twice as long.
        return {stem: (count * PIXELS, 2 * count * PIXELS + 2**20) for stem, count in counts.items()}
    return {stem + form.ending: (count * (kind.label_bytes + PIXELS),) * 2 for stem, count in counts.items()}


def _records(kind: Published, form: Form, content: bytes, count: int, where: str) -> tuple[Bytes, Labels]:
    """Images (count, 3, 32, 32) and labels of a file."""
    pixels, labels = _unpickled(kind, content, count, where) if form is kind.python else _split(kind, content)
    wrong = labels[(labels < 0) | (labels >= kind.classes)]
    if len(wrong):
        raise DataError(
            f"{where} is damaged: it has the label {wrong[0]}, but {kind.title} has 0 to {kind.classes - 1}; "
            f"{kind.hint}"
        )
    return pixels.reshape(-1, 3, 32, 32), labels


def _split(kind: Published, content: bytes) -> tuple[Bytes, Labels]:
    """Pixels and labels of the binary form."""
    records = np.frombuffer(content, np.uint8).reshape(-1, kind.label_bytes + PIXELS)
    return records[:, kind.label_bytes :], records[:, kind.label_bytes - 1].astype(np.int64)


def _unpickled(kind: Published, content: bytes, count: int, where: str) -> tuple[Bytes, Labels]:
    """Pixels and labels of the Python form."""
    entries = read_pickle(content, where)
    data, labels = entries.get("data"), entries.get(kind.key)
    if not isinstance(data, Pickled) or not isinstance(labels, list):
        raise DataError(f"{where} is not a file of {kind.title}: it has no data or no {kind.key}; {kind.hint}")
    if len(labels) != count or not all(type(label) is int and abs(label) < 2**31 for label in labels):
        raise DataError(f"{where} is damaged: its {kind.key} are not {count:,} whole numbers; {kind.hint}")
    try:
        return data.pixels((count, PIXELS)), np.array(labels, np.int64)
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise DataError(f"{where} is damaged: {error}; {kind.hint}") from None
