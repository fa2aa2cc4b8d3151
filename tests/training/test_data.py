"""The data sets: the split of the digits, the order of the batches, and files that are not what they should be."""

from __future__ import annotations

import gzip
import os

import numpy as np
import pytest
import torch

from recu_analysis.errors import DataError, InputError
from recu_analysis.training.data import batches, load_dataset, read_idx
from recu_analysis.training.data import idx as module

SHAPE = (5, 4, 3)


def idx(shape, content=None):
    """An IDX file of unsigned bytes, as it is before compression."""
    body = np.arange(np.prod(shape), dtype=np.uint8).tobytes() if content is None else content
    return bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape) + body


def test_a_pipe_does_not_make_the_reader_wait(tmp_path):
    os.mkfifo(tmp_path / "images.gz")
    with pytest.raises(DataError, match=r"images\.gz cannot be read \(it is a pipe"):
        read_idx(tmp_path / "images.gz", SHAPE)


def write(path, content):
    path.write_bytes(gzip.compress(content, mtime=0))
    return path


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


def test_digits_are_split_by_class_and_always_alike(digits):
    train, val = (torch.bincount(labels, minlength=10) for labels in (digits.train_labels, digits.val_labels))
    assert (int(train.sum()), int(val.sum())) == (1437, 360)
    assert (train + val).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert ((val - 0.2 * (train + val)).abs() < 1).all()
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002 - the generator that scikit-learn would fall back to
    again = load_dataset("digits")
    assert torch.equal(again.val_images, digits.val_images)
    assert torch.equal(again.train_labels, digits.train_labels)


def test_digits_are_normalized_by_the_training_part(digits):
    images = digits.train_images
    assert images.shape == (1437, 3, 16, 16)
    assert images.dtype == torch.float32
    assert digits.train_labels.dtype == torch.int64
    assert digits.classes == 10
    assert float(images.mean()) == pytest.approx(0, abs=1e-4)
    assert float(images.std()) == pytest.approx(1, abs=1e-3)
    assert torch.equal(images[:, 0], images[:, 2])
    assert float(digits.val_images.mean()) != pytest.approx(0, abs=1e-4)


def test_an_unknown_data_set_is_answered_with_the_known():
    with pytest.raises(InputError, match=r"'cifar'.*cifar10 or cifar100"):
        load_dataset("cifar")


def test_an_epoch_shows_every_image_once():
    order = torch.cat(list(batches(130, 32, seed=3, epoch=0)))
    assert sorted(order.tolist()) == list(range(130))


@pytest.mark.parametrize(("count", "sizes"), [(64, [32, 32]), (66, [32, 32, 2]), (65, [32, 32])])
def test_a_remainder_of_one_is_left_out(count, sizes):
    assert [len(batch) for batch in batches(count, 32, seed=0, epoch=0)] == sizes


def test_the_order_depends_on_seed_and_epoch_only():
    def order(seed, epoch):
        return torch.cat(list(batches(100, 10, seed, epoch))).tolist()

    first = order(1, 2)
    torch.manual_seed(99)
    assert order(1, 2) == first
    assert len({tuple(order(seed, epoch)) for seed in (0, 1, 2**62) for epoch in (0, 1, 2)}) == 9


def test_the_order_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    list(batches(100, 10, seed=0, epoch=0))
    assert torch.equal(torch.rand(1), expected)


def test_reads_an_idx_file(tmp_path):
    array = read_idx(write(tmp_path / "a.gz", idx(SHAPE)), SHAPE)
    np.testing.assert_array_equal(array, np.arange(60, dtype=np.uint8).reshape(SHAPE))


def test_a_missing_file_says_where_to_get_it(tmp_path):
    with pytest.raises(
        DataError, match=r"train-images-idx3-ubyte.gz is missing.*60000 x 28 x 28.*dataset-fashion-mnist"
    ):
        load_dataset("fashion-mnist", str(tmp_path))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(gzip.compress(idx(SHAPE), mtime=0)[:-12], id="cut off in the data"),
        pytest.param(gzip.compress(idx(SHAPE)[:-1], mtime=0), id="a byte short"),
        pytest.param(gzip.compress(idx(SHAPE) + b"x", mtime=0), id="a byte long"),
        pytest.param(gzip.compress(b"\0\0\x09\3" + idx(SHAPE)[4:], mtime=0), id="another type"),
        pytest.param(gzip.compress(idx((6, 4, 3)), mtime=0), id="another shape"),
        pytest.param(gzip.compress(b"", mtime=0), id="nothing, packed"),
        pytest.param(b"", id="nothing"),
        pytest.param(idx(SHAPE), id="not packed"),
        pytest.param(gzip.compress(idx(SHAPE), mtime=0)[:-8] + b"\0" * 8, id="wrong checksum"),
        pytest.param(b"\x1f\x8b" + bytes(200), id="gzip in name only"),
    ],
)
def test_a_file_that_is_something_else_is_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "a.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a.gz .*5 x 4 x 3") as caught:
        read_idx(path, SHAPE)
    assert "\n" not in str(caught.value)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path, SHAPE)


def test_nothing_beyond_the_expected_size_is_decompressed(tmp_path):
    import tracemalloc

    path = write(tmp_path / "bomb.gz", idx(SHAPE) + bytes(64 * 2**20))
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            read_idx(path, SHAPE)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.fixture
def small_fashion(tmp_path, monkeypatch):
    """The four files in miniature, and a reader that asks for that many images only."""
    counts = {60_000: 12, 10_000: 4}
    monkeypatch.setattr(
        module, "read_idx", lambda path, shape: read_idx(path, (counts[shape[0]], *shape[1:])), raising=True
    )
    for prefix, count in (("train", 12), ("t10k", 4)):
        pixels = np.random.default_rng(count).integers(0, 256, count * 784, dtype=np.uint8).tobytes()
        labels = (np.arange(count) % 10).astype(np.uint8).tobytes()
        write(tmp_path / f"{prefix}-images-idx3-ubyte.gz", idx((count, 28, 28), pixels))
        write(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", idx((count,), labels))
    return tmp_path


def test_fashion_mnist_is_padded_normalized_and_in_three_channels(small_fashion):
    dataset = load_dataset("fashion-mnist", str(small_fashion))
    assert dataset.train_images.shape == (12, 3, 32, 32)
    assert dataset.val_images.shape == (4, 3, 32, 32)
    assert dataset.val_labels.tolist() == [0, 1, 2, 3]
    assert float(dataset.train_images.mean()) == pytest.approx(0, abs=1e-4)
    corner = dataset.train_images[:, :, :2]
    assert torch.equal(corner, corner[0, 0, 0, 0].expand_as(corner))


def test_small_fashion_mnist_has_the_mean_of_each_four_pixels(small_fashion):
    whole, halved = (load_dataset(name, str(small_fashion)) for name in ("fashion-mnist", "fashion-mnist-16"))
    assert halved.train_images.shape == (12, 3, 16, 16)
    means = whole.val_images.reshape(4, 3, 16, 2, 16, 2).mean(dim=(3, 5))
    # Both are affine in the pixels, so that a difference of two means fixes the scale.
    slope = (halved.val_images[0, 0, 4, 4] - halved.val_images[0, 0, 5, 5]) / (means[0, 0, 4, 4] - means[0, 0, 5, 5])
    torch.testing.assert_close(halved.val_images, slope * (means - means[0, 0, 4, 4]) + halved.val_images[0, 0, 4, 4])


def test_a_label_beyond_the_classes_is_refused(small_fashion):
    write(small_fashion / "t10k-labels-idx1-ubyte.gz", idx((4,), bytes([0, 1, 10, 2])))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte.gz is damaged.*10"):
        load_dataset("fashion-mnist", str(small_fashion))
