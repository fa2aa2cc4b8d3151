"""Folders of images with one folder per class, in the layout of ImageNet and Tiny-ImageNet."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recu_analysis.errors import DataError, InputError
from recu_analysis.training.config import TrainingConfig
from recu_analysis.training.data.dataset import Dataset, pixel_dataset
from recu_analysis.training.data.images import quiet_decoding, read_square
from recu_analysis.training.settings import settings_of

ENDINGS = (".jpg", ".jpeg", ".png")
LAYOUT = "the data folder must have train/CLASS/*.jpg (or .jpeg, .png) and val/CLASS/*.jpg"
ANNOTATIONS = "val_annotations.txt"
#: Maximal size of the annotation file in bytes; that of Tiny-ImageNet has 0.5 MB.
MOST_ANNOTATIONS = 2**26
#: Images per task of a thread; with one task per image, the tasks would need more memory than small images.
DECODED = 64

#: An image and its class.
Labeled = tuple[Path, int]


@dataclass(frozen=True, slots=True)
class Listing:
    """Content of a data folder: the names of the classes in order, and the images of the two parts."""

    classes: tuple[str, ...]
    train: tuple[Labeled, ...]
    val: tuple[Labeled, ...]


def load_image_folder(data_dir: str | None, image_size: int) -> Dataset:
    """The images of a folder as uint8 pixels, all in memory.

    Parameters
    ----------
    data_dir : str or None
        Folder with train/CLASS/ or train/CLASS/images/ for the images of each class, and val/CLASS/, or val/images/
        with val/val_annotations.txt. Classes are numbered in the order of their names.
    image_size : int
        Height and width in pixels; see `read_square`.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If no folder is given, the size is out of range, or the images need more than half of the free memory.
    DataError
        If the folder has another layout, a link leads out of it, or an image cannot be decoded.
    """
    if data_dir is None:
        raise InputError(f"image-folder needs a folder; name it with --data-dir: {LAYOUT}")
    settings_of(TrainingConfig)["image_size"].check(image_size)
    found = list_images(Path(data_dir))
    _check_memory(len(found.train) + len(found.val), image_size, free_memory())
    return pixel_dataset(_decoded(found.train, image_size), _decoded(found.val, image_size), len(found.classes))


def list_images(root: Path) -> Listing:
    """Classes and images of a folder, in the order of their names.

    Raises
    ------
    DataError
        If the folder has another layout, or a link leads out of it.
    """
    classes = tuple(name for name, is_folder in _entries(root / "train", root) if is_folder)
    if not classes:
        raise DataError(f"{root / 'train'} has no folder of a class: {LAYOUT}")
    numbers = {name: number for number, name in enumerate(classes)}
    train: list[Labeled] = []
    for name, number in numbers.items():
        images = _images(root / "train" / name, root)
        if not images:
            raise DataError(f"{root / 'train' / name} has no image: {LAYOUT}")
        train += [(path, number) for path in images]
    val = _annotated(root, numbers) if os.path.lexists(root / "val" / ANNOTATIONS) else _by_class(root, numbers)
    if not val:
        raise DataError(f"{root / 'val'} has no image: {LAYOUT}")
    return Listing(classes, tuple(train), tuple(val))


def _entries(folder: Path, root: Path) -> list[tuple[str, bool]]:
    """Names in a folder in order, and whether each is a folder; links out of the root are refused."""
    try:
        _check_inside(folder, root)
        with os.scandir(folder) as entries:
            found = []
            for entry in entries:
                if entry.is_symlink():
                    _check_inside(Path(entry.path), root)
                if entry.name.startswith("."):
                    continue
                _check_there(entry)
                if entry.is_dir() or entry.is_file():
                    found.append((entry.name, entry.is_dir()))
    except FileNotFoundError:
        raise DataError(f"{folder} is missing: {LAYOUT}") from None
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from None
    return sorted(found)


def _check_there(entry: os.DirEntry[str]) -> None:
    try:
        entry.stat()
    except FileNotFoundError:
        raise DataError(f"{entry.path} is a broken link; repair or delete it") from None


def _check_inside(path: Path, root: Path) -> None:
    # Path.resolve raises an error for circular links; realpath does not.
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise DataError(f"{path} is a link that leads out of {root}; replace it by the images themselves")


def _images(folder: Path, root: Path) -> list[Path]:
    """Images of a class: those in its folder and, as in Tiny-ImageNet, in its subfolder images."""
    found = _entries(folder, root)
    inner = _entries(folder / "images", root) if ("images", True) in found else []
    both = ((folder, found), (folder / "images", inner))
    return [
        place / name
        for place, names in both
        for name, is_folder in names
        if not is_folder and name.lower().endswith(ENDINGS)
    ]


def _by_class(root: Path, numbers: dict[str, int]) -> list[Labeled]:
    """Images of val/CLASS/."""
    names = [name for name, is_folder in _entries(root / "val", root) if is_folder]
    for name in names:
        _number(name, numbers, root / "val" / name, root)
    return [(path, numbers[name]) for name in names for path in _images(root / "val" / name, root)]


def _number(name: str, numbers: dict[str, int], where: Path, root: Path) -> int:
    if name not in numbers:
        raise DataError(f"{where} has the class {name!r}, but {root / 'train'} has no folder of that name")
    return numbers[name]


def _annotated(root: Path, numbers: dict[str, int]) -> list[Labeled]:
    """Images of val/images/, whose classes are in val/val_annotations.txt."""
    path, images = root / "val" / ANNOTATIONS, _images(root / "val" / "images", root)
    classes = _annotations(path, root)
    validation_names = {image.name for image in images}
    for name in classes:
        if name not in validation_names:
            raise DataError(f"{path} lists the image {name!r}, but {root / 'val' / 'images'} does not have it")
    for image in images:
        if image.name not in classes:
            raise DataError(f"{image} has no line in {path}, so its class is unknown")
    return [(image, _number(classes[image.name], numbers, image, root)) for image in images]


def _annotations(path: Path, root: Path) -> dict[str, str]:
    """The class of each image by the image's name."""
    try:
        _check_inside(path, root)
        if not path.is_file() or path.stat().st_size > MOST_ANNOTATIONS:
            raise DataError(f"{path} is not a file, or is larger than {MOST_ANNOTATIONS:,} bytes")
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text") from None
    fields = [line.split("\t") for line in lines if line]
    for number, field in enumerate(fields, start=1):
        if len(field) < 2:
            raise DataError(f"{path}:{number} is not a line of image, tab, class")
    return {field[0]: field[1] for field in fields}


def free_memory() -> int:
    """Available memory of this machine in bytes, as estimated by the kernel."""
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as file:
            sizes = dict(line.split(":", 1) for line in file)
        return int(sizes["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _check_memory(images: int, size: int, free: int) -> None:
    needed = images * 3 * size * size
    if 2 * needed > free:
        raise InputError(
            f"{images:,} images of {size}x{size} pixels need {needed / 2**30:.3g} GiB, more than half of the "
            f"{free / 2**30:.3g} GiB of free memory; use a smaller --image-size or fewer images"
        )


def _decoded(images: tuple[Labeled, ...], size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels (N, 3, size, size) of uint8, and labels; the decoder releases the interpreter lock for other threads."""
    pixels = np.empty((len(images), 3, size, size), np.uint8)

    def decode(start: int) -> None:
        for index, (path, _) in enumerate(images[start : start + DECODED], start):
            pixels[index] = read_square(path, size)

    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        with quiet_decoding():
            for _ in pool.map(decode, range(0, len(images), DECODED)):
                pass
    finally:
        pool.shutdown(cancel_futures=True)
    return torch.from_numpy(pixels), torch.tensor([label for _, label in images], dtype=torch.int64)
