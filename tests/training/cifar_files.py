"""Small CIFAR archives as they are published: the binary form, and pickles as Python 2 wrote them."""

from __future__ import annotations

import io
import struct
import tarfile
from dataclasses import replace

import numpy as np

from recu_analysis.training.data import cifar

#: Images of a training file and of the test file.
IMAGES, TESTED = 20, 12


def shrink(monkeypatch):
    """Files of a few images pass as the published ones."""
    for name, kind in cifar.PUBLISHED.items():
        monkeypatch.setitem(cifar.PUBLISHED, name, replace(kind, images=IMAGES, tested=TESTED))


def content(name):
    """Pixels (N, 3072), coarse and fine labels of each file, by its name without an ending."""
    kind = cifar.PUBLISHED[name]
    draw = np.random.default_rng(len(kind.train))
    files = {}
    for stem, count in (*((stem, IMAGES) for stem in kind.train), (kind.test, TESTED)):
        pixels = draw.integers(0, 256, (count, 3072), dtype=np.uint8)
        files[stem] = (pixels, draw.integers(0, 20, count), draw.integers(0, kind.classes, count))
    return files


def binary(name, pixels, coarse, fine):
    """The file in the binary form, record by record."""
    records = []
    for image, rough, label in zip(pixels, coarse, fine, strict=True):
        labels = [int(label)] if name == "cifar10" else [int(rough), int(label)]
        records.append(bytes(labels) + image.tobytes())
    return b"".join(records)


def text(value):
    """A str of Python 2: SHORT_BINSTRING or BINSTRING."""
    return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value


def number(value):
    return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)


def array(pixels, memo=(b"q\x60", b"q\x61", b"q\x62")):
    """A numpy array of uint8 as numpy 1.x on Python 2 pickled it."""
    made = b"cnumpy.core.multiarray\n_reconstruct\n" + memo[0] + b"cnumpy\nndarray\n" + memo[1] + b"K\0\x85U\x01b\x87R"
    kind = b"cnumpy\ndtype\nU\x02u1K\0K\x01\x87R" + memo[2] + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    shape = number(pixels.shape[0]) + number(pixels.shape[1]) + b"\x86"
    return made + b"(K\x01" + shape + kind + b"\x89" + text(pixels.tobytes()) + b"tb"


def numbers(values):
    return b"](" + b"".join(number(int(value)) for value in values) + b"e"


def python2(entries):
    """A dictionary as cPickle of Python 2 wrote it in protocol 2, from the instructions that make its values."""
    return b"\x80\x02}q\x01(" + b"".join(text(key) + value for key, value in entries.items()) + b"u."


def pickled(name, pixels, coarse, fine):
    """The file in the Python form."""
    names = b"](" + b"".join(text(b"image_%04d.png" % n) + b"r" + struct.pack("<I", 300 + n) for n in range(len(fine)))
    labels = {b"labels": numbers(fine)} if name == "cifar10" else {}
    both = {} if labels else {b"coarse_labels": numbers(coarse), b"fine_labels": numbers(fine)}
    return python2(
        {b"batch_label": text(b"a batch")} | labels | both | {b"data": array(pixels), b"filenames": names + b"e"}
    )


def form_of(name, python):
    kind = cifar.PUBLISHED[name]
    return kind.python if python else kind.binary


def write(folder, name, *, python, files=None):
    """All files of a data set in their own folder, which is returned."""
    form = form_of(name, python)
    place = folder / form.folder
    place.mkdir()
    for stem, parts in (files or content(name)).items():
        (place / (stem + form.ending)).write_bytes((pickled if python else binary)(name, *parts))
    return place


def pack(archive, members):
    """A .tar.gz of these files, by their names."""
    with tarfile.open(archive, "w:gz") as tar:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
