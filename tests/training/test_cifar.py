"""CIFAR-10 and CIFAR-100 from every published form against plain loops, and files that are not what they should be."""

from __future__ import annotations

import pickle
import tarfile
import tracemalloc
import warnings

import numpy as np
import pytest
import torch

from recu_analysis.errors import DataError, InputError
from recu_analysis.training.data import cifar, load_dataset
from tests.messages import says
from tests.training import cifar_files as files

NAMES = ("cifar10", "cifar100")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    files.shrink(monkeypatch)


def check(dataset, name):
    """The data set is what was written, by a loop over records, channels, rows and columns."""
    written, kind = files.content(name), cifar.PUBLISHED[name]
    parts = (
        (dataset.train_images, dataset.train_labels, kind.train),
        (dataset.val_images, dataset.val_labels, ["test"]),
    )
    for images, labels, stems in parts:
        records = [
            (pixels[n], fine[n])
            for stem in stems
            for pixels, _, fine in [written[kind.test if stem == "test" else stem]]
            for n in range(len(fine))
        ]
        assert images.dtype == torch.uint8
        assert images.shape == (len(records), 3, 32, 32)
        assert labels.tolist() == [int(label) for _, label in records]
        for image, (record, _) in zip(images.numpy(), records, strict=True):
            for channel, y, x in ((0, 0, 0), (0, 0, 31), (1, 7, 3), (2, 31, 0), (2, 31, 31)):
                assert image[channel, y, x] == record[1024 * channel + 32 * y + x]
            assert image.tobytes() == record.tobytes()
    assert dataset.classes == kind.classes
    assert dataset.mirrored


@pytest.mark.parametrize("python", [False, True], ids=["binary", "python"])
@pytest.mark.parametrize("name", NAMES)
def test_reads_every_form_in_the_folder_or_above_it_or_packed(tmp_path, name, python):
    place = files.write(tmp_path, name, python=python)
    check(load_dataset(name, str(tmp_path)), name)
    check(load_dataset(name, str(place)), name)
    form, packed = files.form_of(name, python), tmp_path / "packed"
    packed.mkdir()
    members = {f"{form.folder}/{path.name}": path.read_bytes() for path in sorted(place.iterdir(), reverse=True)}
    files.pack(packed / form.archive, {f"{form.folder}/readme.html": b"text"} | members)
    check(load_dataset(name, str(packed)), name)
    assert [path.name for path in packed.iterdir()] == [form.archive]


def test_the_pickles_of_these_tests_are_pickles():
    pixels, coarse, fine = files.content("cifar100")["train"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy has moved what the file names
        loaded = pickle.loads(files.pickled("cifar100", pixels, coarse, fine), encoding="bytes")
    np.testing.assert_array_equal(loaded[b"data"], pixels)
    assert (loaded[b"coarse_labels"], loaded[b"fine_labels"]) == (coarse.tolist(), fine.tolist())
    assert loaded[b"filenames"][19] == b"image_0019.png"


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("key", [b"data", "data"])
def test_reads_what_a_later_python_has_pickled_again(tmp_path, protocol, order, key):
    kind, place = cifar.PUBLISHED["cifar100"], tmp_path / "cifar-100-python"
    place.mkdir()
    for stem, (pixels, _, fine) in files.content("cifar100").items():
        labels = b"fine_labels" if isinstance(key, bytes) else "fine_labels"
        entries = {
            key: np.asarray(pixels, order=order),
            labels: fine.tolist(),
            "more": [None, True, (1, 2, 3, -70_000)],
        }
        (place / stem).write_bytes(pickle.dumps(entries, protocol))
    assert kind.key == "fine_labels"
    check(load_dataset("cifar100", str(tmp_path)), "cifar100")


def test_the_published_sizes_are_expected(monkeypatch):
    monkeypatch.undo()
    ten, hundred = (cifar.PUBLISHED[name] for name in NAMES)
    batches = {f"data_batch_{n}.bin": (30_730_000, 30_730_000) for n in range(1, 6)}
    assert cifar._bounds(ten, ten.binary) == batches | {"test_batch.bin": (30_730_000, 30_730_000)}
    assert cifar._bounds(hundred, hundred.binary) == {"train.bin": (153_700_000,) * 2, "test.bin": (30_740_000,) * 2}
    published = {"data_batch_1": 31_035_704, "data_batch_3": 31_035_999, "test_batch": 31_035_526}
    published_hundred = {"train": 155_249_918, "test": 31_049_193}
    for kind, sizes in ((ten, published), (hundred, published_hundred)):
        for name, size in sizes.items():
            least, most = cifar._bounds(kind, kind.python)[name]
            assert least <= size <= most


def refusal(name, folder, kind=DataError):
    with pytest.raises(kind) as caught:
        load_dataset(name, None if folder is None else str(folder))
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_without_the_files_it_says_where_to_get_them(tmp_path):
    for text in (
        refusal("cifar10", None, InputError),
        refusal("cifar10", tmp_path),
        refusal("cifar10", tmp_path / "a"),
    ):
        says(text, "https://www.cs.toronto.edu/~kriz/cifar.html", "CIFAR-10", "--data-dir")
        says(text, "cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")


@pytest.mark.parametrize("python", [False, True])
def test_a_missing_or_truncated_file_is_named(tmp_path, python):
    place = files.write(tmp_path, "cifar10", python=python)
    last = place / ("data_batch_4" if python else "data_batch_4.bin")
    content = last.read_bytes()
    last.write_bytes(content[:50_000])
    expected = "61,440 to 1,171,456" if python else "61,460"
    says(refusal("cifar10", tmp_path), last, "truncated", "50,000 bytes", expected)
    last.write_bytes(content[:-5])
    assert f"{last} is " in refusal("cifar10", tmp_path)
    last.write_bytes(content + bytes(2**21))
    says(refusal("cifar10", tmp_path), last, "not the published file")
    last.unlink()
    says(refusal("cifar10", tmp_path), last, "missing", f"{expected} bytes", "https://")
    last.mkdir()
    assert f"{last} is missing" in refusal("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("python", "name", "label"), [(False, "cifar10", 10), (False, "cifar100", 100), (True, "cifar10", 255)]
)
def test_a_label_beyond_the_classes_is_refused(tmp_path, python, name, label):
    written = files.content(name)
    stem = cifar.PUBLISHED[name].test
    written[stem][2][5] = label
    place = files.write(tmp_path, name, python=python, files=written)
    text = refusal(name, tmp_path)
    says(text, f"{place / stem}{'' if python else '.bin'} is damaged", f"label {label}")


def of_test(tmp_path, content, name="cifar10"):
    """The refusal of a data set whose test file has this content."""
    place = files.write(tmp_path, name, python=True)
    (place / cifar.PUBLISHED[name].test).write_bytes(content)
    return refusal(name, tmp_path)


PIXELS = np.zeros((12, 3072), np.uint8)
LABELS = files.numbers([1] * 12)
ARRAY = files.array(PIXELS)


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ({b"data": ARRAY}, "it has no data or no labels"),
        ({b"labels": LABELS, b"data": files.text(bytes(36864))}, "it has no data or no labels"),
        ({b"labels": files.numbers([1] * 11), b"data": ARRAY}, "its labels are not 12 whole numbers"),
        ({b"labels": b"](" + b"K\1" * 11 + b"Ne", b"data": ARRAY}, "its labels are not 12 whole numbers"),
        ({b"labels": b"](" + b"K\1" * 11 + b"\x8a\x09" + b"\1" * 9 + b"e", b"data": ARRAY}, "are not 12 whole"),
        ({b"labels": LABELS, b"data": files.array(PIXELS.reshape(24, 1536))}, "not an array of 12 x 3072 bytes"),
        ({b"labels": LABELS, b"data": ARRAY.replace(b"U\x02u1", b"U\x02O8")}, "not an array of 12 x 3072 bytes"),
        ({b"labels": LABELS, b"data": ARRAY[:-2] + b"Ntb"}, "its data is not an array"),
        ({b"labels": LABELS, b"data": ARRAY.replace(b"\x89T\0\x90\0\0" + bytes(36864), b"\x89U\0")}, "cannot reshape"),
    ],
)
def test_a_pickle_of_something_else_is_refused(tmp_path, entries, text):
    padding = {b"padding": files.text(bytes(40_000))}
    assert text in of_test(tmp_path, files.python2(entries | padding))


def test_a_damaged_archive_is_named(tmp_path):
    archive = tmp_path / "cifar-100-binary.tar.gz"
    good = {
        f"cifar-100-binary/{stem}.bin": files.binary("cifar100", *parts)
        for stem, parts in files.content("cifar100").items()
    }
    files.pack(archive, good)
    whole = archive.read_bytes()
    for content in (whole[:-5000], whole[:3000] + bytes(100) + whole[3100:], b"no archive"):
        archive.write_bytes(content)
        assert f"{archive} is damaged (" in refusal("cifar100", tmp_path)
    files.pack(archive, good | {"cifar-100-binary/train.bin": b"short"})
    file = f"{archive}:cifar-100-binary/train.bin"
    says(refusal("cifar100", tmp_path), file, "truncated", "5 bytes", "61,480")
    files.pack(archive, {"cifar-100-binary/train.bin": good["cifar-100-binary/train.bin"]})
    assert f"{archive} has no cifar-100-binary/test.bin" in refusal("cifar100", tmp_path)
    with tarfile.open(archive, "w:gz") as tar:
        info = tarfile.TarInfo("cifar-100-binary/train.bin")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    assert f"{archive} has no cifar-100-binary/train.bin" in refusal("cifar100", tmp_path)


def test_an_archive_is_not_unpacked_beyond_what_was_published(tmp_path):
    files.pack(tmp_path / "cifar-10-binary.tar.gz", {"bomb": bytes(64 * 2**20)})
    tracemalloc.start()
    try:
        assert "it is larger than the published archive" in refusal("cifar10", tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()
