"""Data sets as tensors: digits, Fashion-MNIST, CIFAR-10, CIFAR-100, and folders of images."""

from recu_analysis.training.data.batching import batches, epoch_seed
from recu_analysis.training.data.dataset import Dataset
from recu_analysis.training.data.idx import read_idx
from recu_analysis.training.data.loading import load_dataset, load_images
from recu_analysis.training.data.text import Text

__all__ = ["Dataset", "Text", "batches", "epoch_seed", "load_dataset", "load_images", "read_idx"]
