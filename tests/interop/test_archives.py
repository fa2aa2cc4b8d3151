"""Archives of torch.save: their checksums, and archives of other writers."""

import zipfile

import numpy as np
import pytest
import torch

from recu_analysis.errors import CheckpointError
from recu_analysis.interop.pytorch import read_file
from tests.messages import says


def refusal(path, **options):
    with pytest.raises(CheckpointError) as caught:
        read_file(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def flip(path, at, bit=0):
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def test_a_flipped_bit_changes_no_number_unseen(tmp_path):
    """Every bit at the distance of a prime, in tensors, names, numbers and the directory of the archive."""
    whole = {"epoch": 3, "w": torch.arange(128.0), "b": torch.ones(3, dtype=torch.float64)}
    path = tmp_path / "a.pth"
    torch.save(whole, path)
    clean, refused = path.read_bytes(), 0
    for bit in range(0, 8 * len(clean), 149):
        path.write_bytes(clean)
        flip(path, bit // 8, bit % 8)
        try:
            found = read_file(path)
        except CheckpointError:
            refused += 1
            continue
        assert list(found) == list(whole)
        assert found["epoch"] == 3
        assert all(torch.equal(found[name], whole[name]) for name in "wb")
    assert refused > 30


@pytest.mark.parametrize("unsafe", [False, True])
def test_the_damaged_part_is_named(tmp_path, unsafe):
    path = tmp_path / "model_best.pth.tar"
    torch.save({"state_dict": {"conv.weight": torch.full((40,), 1 / 3)}}, path)
    flip(path, path.read_bytes().rindex(np.full(40, 1 / 3, np.float32).tobytes()) + 81)
    says(refusal(path, unsafe_load=unsafe), path, "damaged", "checksum", "data/0", "get the file again")


def test_an_archive_without_checksums_is_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": torch.ones(3)}, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_file(tmp_path / "a.pt")["w"], torch.ones(3))


def test_archives_of_other_writers_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "traced.pth", "w", zipfile.ZIP_DEFLATED) as archive:  # its code is compressed
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"traced/{name}", "x" * 400)
    says(refusal(tmp_path / "traced.pth", unsafe_load=True), "traced.pth", "TorchScript", "state_dict()", "torch.save")
    with zipfile.ZipFile(tmp_path / "exported.pt", "w") as archive:
        archive.writestr("exported/archive_format", "pt2")
        archive.writestr("exported/models/model.json", "{}")
    says(refusal(tmp_path / "exported.pt"), "exported.pt", "torch.export", "state_dict()")
    np.savez(tmp_path / "arrays.npz", w=np.ones(3))
    (tmp_path / "arrays.npz").rename(tmp_path / "arrays.ckpt")
    says(refusal(tmp_path / "arrays.ckpt"), "arrays.ckpt", "zip archive of another kind")
