"""Loading a data set by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.errors import InputError, unknown
from recu_analysis.training.config import DATASETS, IMAGE_SIZE
from recu_analysis.training.data.cifar import PUBLISHED, load_cifar
from recu_analysis.training.data.digits import load_digits
from recu_analysis.training.data.idx import load_fashion_mnist
from recu_analysis.training.data.image_folder import load_image_folder
from recu_analysis.training.data.text import load_text

if TYPE_CHECKING:
    from recu_analysis.training.data.dataset import Dataset
    from recu_analysis.training.data.text import Text


def load_dataset(
    name: str, data_dir: str | None = None, image_size: int = IMAGE_SIZE, data_file: str | None = None
) -> Dataset | Text:
    """Load a data set by name.

    Parameters
    ----------
    name : str
        digits: 1,797 images of 8x8 pixels, resized to 16x16; a stratified fifth of them is for validation.
        fashion-mnist: 60,000 and 10,000 images of 28x28, padded to 32x32.
        fashion-mnist-16: the mean of each 2x2 of these pixels, padded to 16x16, which takes a quarter of the time.
        cifar10, cifar100: 50,000 and 10,000 color images of 32x32; cifar100 has the 100 fine classes.
        image-folder: images in train/CLASS and val/CLASS, as in ImageNet and Tiny-ImageNet.
        text: the bytes of a file, whose last tenth is for validation.
    data_dir : str, optional
        Folder of the files. The default for Fashion-MNIST is the folder of Debian's package; digits need none.
    image_size : int
        Height and width in pixels of the images of image-folder.
    data_file : str, optional
        The file of text.

    Returns
    -------
    Dataset or Text

    Raises
    ------
    InputError
        If no data set has that name, it needs a `data_dir` or a `data_file`, or it does not use one that is given, or
        the `image_size`.
    DataError
        If a file is missing or damaged; the message names it and says where to get it.
    """
    if name != "image-folder" and image_size != IMAGE_SIZE:
        raise InputError(f"--image-size applies only to image-folder, not to {name}; omit it")
    if name != "text" and data_file is not None:
        raise InputError(f"--data-file applies only to text, not to {name}; omit it")
    if name == "text":
        if data_dir is not None:
            raise InputError("--data-dir does not apply to text, which is one file; name it with --data-file")
        return load_text(data_file)
    return load_images(name, data_dir, image_size)


def load_images(name: str, data_dir: str | None = None, image_size: int = IMAGE_SIZE) -> Dataset:
    """Load a data set of images by name; see `load_dataset`."""
    if name == "digits":
        if data_dir is not None:
            raise InputError("--data-dir does not apply to digits, which come with scikit-learn; omit it")
        return load_digits()
    if name in ("fashion-mnist", "fashion-mnist-16"):
        return load_fashion_mnist(data_dir, halved=name == "fashion-mnist-16")
    if name in PUBLISHED:
        return load_cifar(name, data_dir)
    if name == "image-folder":
        return load_image_folder(data_dir, image_size)
    raise unknown("data set", name, DATASETS)
