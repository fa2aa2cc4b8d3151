"""Augmentation of a batch against a plain loop over images and pixels."""

import pytest
import torch

from recu_analysis.training.augment import crop_and_flip
from recu_analysis.training.data import load_dataset


def plain(images, padding, black, flip, seed):
    """The same draws, applied image by image."""
    torch.manual_seed(seed)
    count, _, height, width = images.shape
    top, left = torch.randint(0, 2 * padding + 1, (2, count, 1))
    mirrored = torch.rand(count, 1) < 0.5 if flip else torch.zeros(count, 1, dtype=torch.bool)
    result = torch.full_like(images, black)
    for n in range(count):
        for y in range(height):
            for x in range(width):
                column = width - 1 - x if mirrored[n] else x
                from_y, from_x = y + int(top[n]) - padding, column + int(left[n]) - padding
                if 0 <= from_y < height and 0 <= from_x < width:
                    result[n, :, y, x] = images[n, :, from_y, from_x]
    return result


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("padding", [0, 1, 4])
def test_equals_a_loop_over_images(padding, flip):
    images = torch.randn(12, 3, 8, 6)
    torch.manual_seed(5)
    ours = crop_and_flip(images, padding=padding, black=-2.0, flip=flip)
    assert torch.equal(ours, plain(images, padding, -2.0, flip, seed=5))


def test_draws_are_uniform_and_every_second_image_is_mirrored():
    torch.manual_seed(0)
    images = torch.zeros(4000, 1, 5, 5)
    images[:, :, 2, 1] = 1.0
    seen = crop_and_flip(images, padding=1, black=0.0, flip=True)
    where = seen.flatten(1).argmax(dim=1)
    counts = torch.bincount(where, minlength=25).reshape(5, 5)
    # Rows 1 to 3; columns 0 to 2 unmirrored, 2 to 4 mirrored, so that the middle column comes up twice as often.
    assert counts[[0, 4]].sum() == 0
    expected = 4000 * torch.tensor([1, 1, 2, 1, 1]) / 18
    assert ((counts[1:4] - expected).abs() < 6 * expected.sqrt()).all()


def test_digits_are_shifted_but_not_mirrored_and_fashion_borders_are_black():
    digits = load_dataset("digits")
    assert not digits.mirrored
    indices = torch.arange(50)
    torch.manual_seed(1)
    images, labels = digits.train_batch(indices, augment=True)
    assert torch.equal(labels, digits.train_labels[indices])
    assert not torch.equal(images, digits.train_images[indices])
    assert digits.black == pytest.approx(float(digits.train_images.min()))
    torch.manual_seed(1)
    again, _ = digits.train_batch(indices, augment=True)
    assert torch.equal(images, again)
