"""Folders of images in both layouts against images decoded one by one, and folders that are laid out otherwise."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from PIL import Image

from recu_analysis.errors import DataError, InputError
from recu_analysis.training.data import image_folder as module
from recu_analysis.training.data import load_dataset
from recu_analysis.training.data.images import read_square
from tests.messages import says

CLASSES = ("apple", "n01", "zebra")


def save(path, seed=0, size=(40, 32), mode="RGB"):
    """An image of smooth noise, as JPEG or PNG by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (6, 8) if mode == "L" else (6, 8, len(mode))
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8), mode=None)
    coarse.resize(size, Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def plain(tmp_path):
    """ImageNet's layout; the files in no order."""
    for number, name in enumerate(CLASSES):
        save(tmp_path / "train" / name / "b.png", seed=10 + number)
        save(tmp_path / "train" / name / "a.JPEG", seed=20 + number, size=(24, 60))
        save(tmp_path / "val" / name / "c.jpg", seed=30 + number)
        (tmp_path / "train" / name / "notes.txt").write_text("no image")
        (tmp_path / "train" / name / "._a.JPEG").write_text("what a file system leaves")
    (tmp_path / "train" / "readme.md").write_text("no class")
    return tmp_path


@pytest.fixture
def tiny(tmp_path):
    """Tiny-ImageNet's layout."""
    for number, name in enumerate(CLASSES):
        save(tmp_path / "train" / name / "images" / f"{name}_0.JPEG", seed=number, size=(64, 64))
        (tmp_path / "train" / name / f"{name}_boxes.txt").write_text("")
    lines = []
    for number, name in enumerate(["zebra", "apple", "n01", "apple"]):
        save(tmp_path / "val" / "images" / f"val_{number}.JPEG", seed=50 + number, size=(64, 64))
        lines.append(f"val_{number}.JPEG\t{name}\t0\t32\t44\t62\n")
    (tmp_path / "val" / "val_annotations.txt").write_text("".join(reversed(lines)))
    return tmp_path


def expected(path, size):
    """The image scaled as a whole, to sides that are whole numbers, then its middle square, in a loop over pixels."""
    image = Image.open(path).convert("RGB")
    width, height = (side * size // min(image.size) for side in image.size)
    scaled = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    rows, columns = range(top, top + size), range(left, left + size)
    return np.array([[[scaled.getpixel((x, y))[c] for x in columns] for y in rows] for c in range(3)])


@pytest.mark.parametrize("decoded", [1, 4, 64])
def test_imagenets_layout_is_read_in_the_order_of_the_names(plain, monkeypatch, decoded):
    monkeypatch.setattr(module, "DECODED", decoded)
    data = load_dataset("image-folder", str(plain), 16)
    assert data.classes == 3
    assert data.train_images.shape == (6, 3, 16, 16)
    assert data.train_images.dtype == data.val_images.dtype == torch.uint8
    assert data.train_labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.val_labels.tolist() == [0, 1, 2]
    names = [plain / "train" / name / file for name in CLASSES for file in ("a.JPEG", "b.png")]
    for image, path in zip(data.train_images.numpy(), names, strict=True):
        np.testing.assert_array_equal(image, expected(path, 16))
    pixels = data.train_images.numpy().astype(np.float64)
    assert data.mean == pytest.approx(pixels.mean(axis=(0, 2, 3)))
    assert data.std == pytest.approx(pixels.std(axis=(0, 2, 3)))


def test_tiny_imagenets_layout_takes_the_classes_from_its_annotations(tiny):
    data = load_dataset("image-folder", str(tiny))
    assert data.train_images.shape == (3, 3, 64, 64)
    assert data.train_labels.tolist() == [0, 1, 2]
    assert data.val_labels.tolist() == [2, 0, 1, 0]
    for number, image in enumerate(data.val_images.numpy()):
        np.testing.assert_array_equal(image, expected(tiny / "val" / "images" / f"val_{number}.JPEG", 64))


@pytest.mark.parametrize(("size", "box"), [((40, 30), (5, 0, 35, 30)), ((30, 40), (0, 5, 30, 35)), ((30, 30), None)])
def test_an_image_is_the_middle_of_its_long_side(tmp_path, size, box):
    path = save(tmp_path / "a.png", size=size)
    np.testing.assert_array_equal(read_square(path, 30), np.asarray(Image.open(path).crop(box)).transpose(2, 0, 1))


@pytest.mark.parametrize(("mode", "name"), [("L", "a.png"), ("L", "a.jpg"), ("RGBA", "a.png")])
def test_other_modes_become_three_channels(tmp_path, mode, name):
    image = read_square(save(tmp_path / name, mode=mode), 20)
    assert image.shape == (3, 20, 20)
    if mode == "L":
        assert (image[0] == image[1]).all()
        assert (image[0] == image[2]).all()


def refusal(folder, kind=DataError, size=16):
    with pytest.raises(kind) as caught:
        load_dataset("image-folder", None if folder is None else str(folder), size)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_without_the_layout_is_told_the_layout(tmp_path):
    layout = ("train/CLASS/*.jpg (or .jpeg, .png)", "val/CLASS/*.jpg")
    says(refusal(None, InputError), "image-folder", "--data-dir", *layout)
    says(refusal(tmp_path), f"{tmp_path}/train is missing", *layout)
    (tmp_path / "train").mkdir()
    says(refusal(tmp_path), f"{tmp_path}/train has no folder", *layout)
    (tmp_path / "train" / "a").mkdir()
    says(refusal(tmp_path), f"{tmp_path}/train/a has no image", *layout)
    save(tmp_path / "train" / "a" / "a.png")
    says(refusal(tmp_path), f"{tmp_path}/val is missing", *layout)
    (tmp_path / "val" / "a").mkdir(parents=True)
    says(refusal(tmp_path), f"{tmp_path}/val has no image", *layout)


def test_a_class_of_val_that_train_lacks_is_named(plain):
    save(plain / "val" / "yak" / "a.png")
    says(refusal(plain), f"{plain}/val/yak", "'yak'", f"{plain}/train")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("val_0.JPEG\tyak\t0", "val_0.JPEG has the class 'yak'"),
        ("../../train/n01/a.JPEG\tn01", "lists the image '../../train/n01/a.JPEG', but"),
        ("val_0.JPEG n01", "val_annotations.txt:5 is not a line of image, tab, class"),
    ],
)
def test_annotations_that_do_not_fit_are_refused(tiny, line, text):
    with (tiny / "val" / "val_annotations.txt").open("a") as file:
        file.write(line + "\n")
    assert text in refusal(tiny)


def test_an_image_without_annotation_and_annotations_that_are_no_text_are_refused(tiny, monkeypatch):
    save(tiny / "val" / "images" / "more.png")
    assert f"{tiny}/val/images/more.png has no line in" in refusal(tiny)
    (tiny / "val" / "val_annotations.txt").write_bytes(b"\xff\xfe")
    says(refusal(tiny), "val_annotations.txt", "UTF-8")
    monkeypatch.setattr(module, "MOST_ANNOTATIONS", 1)
    says(refusal(tiny), "val_annotations.txt", "1 bytes")


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: b"GIF89a" + raw[6:]])
@pytest.mark.parametrize("name", ["a.JPEG", "b.png"])
def test_a_damaged_image_is_named(plain, name, damage):
    path = plain / "train" / "n01" / name
    path.write_bytes(damage(path.read_bytes()))
    says(refusal(plain), path, "JPEG or PNG")


def test_images_of_16_bits_or_of_absurd_size_are_refused(plain, monkeypatch):
    path = plain / "val" / "n01" / "d.png"
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000).save(path)
    says(refusal(plain), path, "I;16")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1300)
    says(refusal(plain), "JPEG or PNG", "Image size")


@pytest.mark.parametrize("where", ["train/n01/x.png", "val/n01/x.png", "train/new", "val/n01/images"])
def test_a_link_out_of_the_folder_is_refused(plain, tmp_path_factory, where):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    save(elsewhere / "x.png")
    target = elsewhere / "x.png" if where.endswith("png") else elsewhere
    (plain / where).symlink_to(os.path.relpath(target, (plain / where).parent))
    says(refusal(plain), f"{plain}/{where} is a link", f"out of {plain}")


def test_a_link_to_nothing_is_named(plain):
    (plain / "val" / "n01" / "gone.png").symlink_to("nothing.png")
    says(refusal(plain), f"{plain}/val/n01/gone.png is a broken link")


def test_links_within_the_folder_and_to_it_are_followed(plain, tmp_path_factory):
    (plain / "val" / "n01" / "x.png").symlink_to("../../train/n01/b.png")
    (plain / "val" / "n01" / ".gone.png").symlink_to("nothing.png")
    link = tmp_path_factory.mktemp("link") / "data"
    link.symlink_to(plain)
    assert load_dataset("image-folder", str(link), 16).val_labels.tolist() == [0, 1, 1, 2]
    (plain / "val" / "n01" / "circle.png").symlink_to("circle.png")
    says(refusal(plain), f"{plain}/val/n01", "Too many levels of symbolic links")


def test_more_than_half_of_the_free_memory_is_refused_before_anything_is_decoded(plain, monkeypatch):
    needed = 9 * 3 * 16 * 16
    monkeypatch.setattr(module, "free_memory", lambda: 2 * needed)
    assert load_dataset("image-folder", str(plain), 16).classes == 3
    monkeypatch.setattr(module, "free_memory", lambda: 2 * needed - 1)
    (plain / "train" / "n01" / "b.png").write_bytes(b"")
    says(refusal(plain, InputError), "9 images of 16x16", "6.44e-06 GiB", "1.29e-05")


def test_free_memory_is_measured():
    assert 2**20 < module.free_memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("size", [0, 7, 1025])
def test_a_size_that_no_image_has_is_refused(plain, size):
    says(refusal(plain, InputError, size), "8 to 1024 pixels", f"not {size}")
