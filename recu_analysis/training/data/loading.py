"""Which data sets there are, and how each is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.errors import InputError, unknown
from recu_analysis.training.config import DATASETS, IMAGE_SIZE
from recu_analysis.training.data.cifar import PUBLISHED, load_cifar
from recu_analysis.training.data.digits import load_digits
from recu_analysis.training.data.idx import load_fashion_mnist
from recu_analysis.training.data.image_folder import load_image_folder

if TYPE_CHECKING:
    from recu_analysis.training.data.dataset import Dataset


def load_dataset(name: str, data_dir: str | None = None, image_size: int = IMAGE_SIZE) -> Dataset:
    """A data set by name.

    Parameters
    ----------
    name : str
        digits: 1,797 images of 8x8 brought to 16x16, a stratified fifth of them for validation.
        fashion-mnist: 60,000 and 10,000 images of 28x28, padded to 32x32; fashion-mnist-16: the mean of each 2x2
        of their pixels, padded to 16x16, for a quarter of the time.
        cifar10, cifar100: 50,000 and 10,000 colour images of 32x32; cifar100 has the 100 fine classes.
        image-folder: what lies in train/CLASS and val/CLASS, as ImageNet and Tiny-ImageNet have it.
    data_dir : str, optional
        Where its files lie; Fashion-MNIST has a default, where Debian's package puts them, the digits need none.
    image_size : int
        Pixels to which image-folder brings height and width.

    Raises
    ------
    InputError
        If no data set has that name, it needs a `data_dir`, or it is told what it has no use for.
    DataError
        If a file is missing or damaged; the text says which, and where to get it.
    """
    if name != "image-folder" and image_size != IMAGE_SIZE:
        raise InputError(f"the images of {name} have their size; leave --image-size away, which is image-folder's")
    if name == "digits":
        if data_dir is not None:
            raise InputError("the digits come with scikit-learn and are read from no folder; leave --data-dir away")
        return load_digits()
    if name in ("fashion-mnist", "fashion-mnist-16"):
        return load_fashion_mnist(data_dir, halved=name == "fashion-mnist-16")
    if name in PUBLISHED:
        return load_cifar(name, data_dir)
    if name == "image-folder":
        return load_image_folder(data_dir, image_size)
    raise unknown("data set", name, DATASETS)
