"""Pixels of uint8: their moments, their normalization and augmentation against numpy loops, and a training on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from recu_analysis.errors import DamagedError, DataError
from recu_analysis.training import loop
from recu_analysis.training.config import TrainingConfig
from recu_analysis.training.data import Dataset
from recu_analysis.training.data.dataset import channel_moments, pixel_dataset


def images(count, size=16, seed=0):
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 3, size, size), generator=draw, dtype=torch.uint8)
    pixels[:, 1] //= 3
    return pixels


@pytest.fixture
def data():
    labels = torch.arange(70) % 7
    return pixel_dataset((images(50), labels[:50]), (images(20, seed=1), labels[:20]), 7)


def by_hand(pixels, data):
    """(pixel - mean) / std in float64, the moments taken by numpy over the training part."""
    train = data.train_images.numpy().astype(np.float64)
    mean, std = train.mean(axis=(0, 2, 3)), train.std(axis=(0, 2, 3))
    return (pixels.numpy().astype(np.float64) - mean[:, None, None]) / std[:, None, None]


@pytest.mark.parametrize("count", [1, 999, 1000, 2500])
def test_moments_are_those_of_numpy(count):
    pixels = images(count, size=4)
    mean, std = channel_moments(pixels)
    values = pixels.numpy().astype(np.float64)
    assert mean == pytest.approx(values.mean(axis=(0, 2, 3)), rel=1e-12)
    assert std == pytest.approx(values.std(axis=(0, 2, 3)), rel=1e-12)


def test_a_channel_of_one_value_can_still_be_divided():
    pixels = images(5)
    pixels[:, 2] = 9
    mean, std = channel_moments(pixels)
    assert (mean[2], std[2]) == (9.0, 1.0)


def test_batches_stay_pixels_until_they_are_normalized(data):
    pixels, labels = data.train_batch(torch.tensor([4, 0, 49]))
    assert pixels.dtype == torch.uint8
    assert torch.equal(pixels, data.train_images[[4, 0, 49]])
    assert labels.tolist() == [4, 0, 0]
    before = pixels.clone()
    normalized = data.normalized(pixels)
    assert normalized.dtype == torch.float32
    np.testing.assert_allclose(normalized.numpy(), by_hand(pixels, data), atol=2e-6)
    assert torch.equal(pixels, before)
    whole = data.normalized(data.train_images).double()
    assert whole.mean(dim=(0, 2, 3)).abs().max() < 1e-6
    assert (whole.std(dim=(0, 2, 3), correction=0) - 1).abs().max() < 1e-6
    assert [len(labels) for _, labels in data.val_batches(8)] == [8, 8, 4]


def test_images_that_are_float_already_are_left_as_they_are():
    values, labels = torch.randn(4, 3, 8, 8), torch.zeros(4, dtype=torch.int64)
    assert Dataset(values, labels, values, labels, classes=1).normalized(values) is values


@pytest.mark.parametrize("mirrored", [True, False])
def test_augmented_pixels_are_shifted_and_mirrored_with_a_black_border(data, mirrored):
    data, indices = replace(data, mirrored=mirrored), torch.tensor([3, 1, 41, 7, 7, 20])
    torch.manual_seed(3)
    found, _ = data.train_batch(indices, augment=True)
    assert found.dtype == torch.uint8
    torch.manual_seed(3)
    top, left = torch.randint(0, 5, (2, 6, 1)).tolist()
    flips = (torch.rand(6, 1) < 0.5).tolist() if mirrored else [[False]] * 6
    assert not mirrored or {flip for (flip,) in flips} == {True, False}
    for n, index in enumerate(indices.tolist()):
        for y in range(16):
            for x in range(16):
                row, column = y + top[n][0] - 2, (15 - x if flips[n][0] else x) + left[n][0] - 2
                inside = 0 <= row < 16 and 0 <= column < 16
                expected = data.train_images[index, :, row, column].tolist() if inside else [0, 0, 0]
                assert found[n, :, y, x].tolist() == expected


@pytest.mark.parametrize("augment", [False, True])
def test_a_training_on_pixels_is_one_on_images_normalized_before(tmp_path, monkeypatch, data, augment):
    config = TrainingConfig(epochs=1, warm_up=0, batch_size=25, augment=augment, device="cpu")

    class Before(Dataset):
        """The same batches, normalized before anything else sees them."""

        def train_batch(self, indices, *, augment=False):
            pixels, labels = super().train_batch(indices, augment=augment)
            return Dataset.normalized(self, pixels), labels

        def val_batches(self):
            return [(Dataset.normalized(self, pixels), labels) for pixels, labels in super().val_batches()]

        def normalized(self, images):
            assert images.dtype == torch.float32
            return images

    fields = {name: getattr(data, name) for name in Dataset.__dataclass_fields__}
    for name, each in (("pixels", data), ("before", Before(**fields))):
        monkeypatch.setattr(loop, "load_dataset", lambda *_, each=each: each)
        result = loop.train(config, tmp_path / name)
        assert result.epochs == 1
    ours, theirs = (load_file(tmp_path / name / "checkpoints/last.safetensors") for name in ("pixels", "before"))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize(
    ("shape", "labels", "text"),
    [
        (
            (4, 1, 8, 8),
            [0, 1, 2, 0],
            r"images.*shape \(4, 1, 8, 8\).*\(images, 3",
        ),
        ((4, 4, 8, 8), [0, 1, 2, 0], r"have shape \(4, 4, 8, 8\)"),
        ((4, 3, 8), [0, 1, 2, 0], r"have shape \(4, 3, 8\)"),
        ((4, 3, 8, 8), [0, 1, 2], "one image for each of the 3 labels"),
        ((4, 3, 8, 8), [0, 1, 3, 0], r"label 3.*0 to 2"),
        ((4, 3, 8, 8), [0, -1, 2, 0], "a training image has the label -1"),
        ((0, 3, 8, 8), [], "no training images"),
    ],
)
def test_images_or_labels_that_no_network_takes_are_refused_before_any_step(shape, labels, text):
    good = torch.zeros(2, 3, 8, 8), torch.tensor([0, 1])
    part = torch.zeros(shape), torch.tensor(labels, dtype=torch.int64)
    with pytest.raises(DataError, match=text) as caught:
        Dataset(*part, *good, classes=3)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=text.replace("training", "validation")):
        Dataset(*good, *part, classes=3)


def test_a_run_of_other_classes_cannot_be_continued(tmp_path, monkeypatch, data):
    config = TrainingConfig(epochs=2, warm_up=0, batch_size=50, device="cpu")
    stops = iter([False, True])
    monkeypatch.setattr(loop, "load_dataset", lambda *_: data)
    assert loop.train(config, tmp_path / "run", should_stop=lambda: next(stops)).stopped
    monkeypatch.setattr(loop, "load_dataset", lambda *_: replace(data, classes=9))
    with pytest.raises(DamagedError, match=r"7 classes.*9$"):
        loop.train(config, tmp_path / "run", resume=True)
