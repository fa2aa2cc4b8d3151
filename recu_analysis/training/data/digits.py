"""The digits of scikit-learn, with a fixed split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from recu_analysis.training.data.dataset import Dataset, gray_dataset

#: Seed of the split, the same for every training.
SPLIT_SEED = 0
VALIDATION_SHARE = 0.2


def load_digits() -> Dataset:
    """1,797 images of 8x8 pixels, resized to 16x16; a stratified fifth of them is for validation."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    digits = datasets.load_digits()
    images = torch.from_numpy(digits.images).float()[:, None]
    images = functional.interpolate(images, size=(16, 16), mode="bilinear", align_corners=False)
    labels = torch.from_numpy(digits.target).long()
    train, val = train_test_split(
        np.arange(len(labels)), test_size=VALIDATION_SHARE, stratify=digits.target, random_state=SPLIT_SEED
    )
    return replace(gray_dataset(images[train], labels[train], images[val], labels[val]), mirrored=False)
