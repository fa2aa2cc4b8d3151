"""What the tests of trainings share: few images, one thread."""

from __future__ import annotations

import pytest
import torch

from recu_analysis.training import loop
from recu_analysis.training.data import Dataset, load_dataset


class Noisy(Dataset):
    """A data set whose augmentation draws from torch's generator."""

    def train_batch(self, indices, *, augment=False):
        images, labels = super().train_batch(indices)
        return images + 0.1 * torch.randn_like(images) if augment else images, labels


@pytest.fixture
def few_digits(monkeypatch):
    """The real digits, 100 to train and 40 to validate, on one thread."""
    whole = load_dataset("digits")
    parts = (whole.train_images[:100], whole.train_labels[:100], whole.val_images[:40], whole.val_labels[:40])
    monkeypatch.setattr(loop, "load_dataset", lambda *_: Noisy(*parts, classes=10))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
