"""One safetensors file from elsewhere: every part of it is checked before memory is taken for it."""

import contextlib
import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from recu_analysis.errors import DamagedError
from recu_analysis.store.sealing import digest
from recu_analysis.store.tensors import BLOCK_BYTES, TensorFile, read_small

ARRAYS = {
    "a": np.array([[1, -0.0, np.nan], [np.inf, 1e-45, -np.inf]], np.float32),
    "b": np.arange(5, dtype=np.float64) / 3,
    "c": np.array([2**32 - 1], np.uint32),
    "d": np.array([], np.float32),
    "e": np.array(-(2**63), np.int64),
}


def raw(path, entries, body=b""):
    header = json.dumps(entries).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + body)
    return path


def test_every_dtype_comes_back_read_only(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file(ARRAYS, path, metadata={"key": "value"})
    file = TensorFile(path, "the file")
    assert file.metadata == {"key": "value"}
    for name, array in ARRAYS.items():
        result = file.read(name)
        assert (result.dtype, result.shape, result.tobytes()) == (array.dtype, array.shape, array.tobytes())
        assert not result.flags.writeable


def test_every_truncation_is_found(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file(ARRAYS, path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(DamagedError, match="the file is"):
            TensorFile(path, "the file")


@pytest.mark.parametrize("shape", [[0, 2**70], [0, 2**40, 2**40], [1] * 100 + [0]])
def test_shapes_that_no_array_has(tmp_path, shape):
    path = raw(tmp_path / "x", {"t": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}})
    with pytest.raises(DamagedError, match="tensor 't' has an impossible shape"):
        TensorFile(path, "the file").read("t")


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_file_cut_after_it_was_opened(tmp_path, size):
    path = raw(tmp_path / "x", {"t": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4))
    file = TensorFile(path, "the file")
    os.truncate(path, path.stat().st_size - 4 + size)
    with pytest.raises(DamagedError, match=r"cut short.*'t'"):
        file.read("t")


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 200_000])
def test_blocks_are_the_whole_tensor_and_its_digest_is_checked_after_them(tmp_path, size):
    array, path = np.random.default_rng(0).normal(size=size).astype(np.float32), tmp_path / "x.safetensors"
    save_file({"t": array, "u": array}, path)
    known = digest("t", array)
    file = TensorFile(path, "the file")
    found = [block.copy() for block in file.blocks("t", known)]
    np.testing.assert_array_equal(np.concatenate([array[:0], *found]), array)
    assert all(block.nbytes <= BLOCK_BYTES for block in found)
    with pytest.raises(DamagedError, match=r"damaged.*'u'.*checksum"):
        list(file.blocks("u", known))
    with pytest.raises(DamagedError, match=r"damaged.*'v'"):
        list(file.blocks("v", known))


def test_blocks_of_a_file_cut_after_it_was_opened(tmp_path):
    array, path = np.zeros(100_000, np.float32), tmp_path / "x.safetensors"
    save_file({"t": array}, path)
    file = TensorFile(path, "the file")
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(DamagedError, match=r"cut short.*'t'"):
        list(file.blocks("t", digest("t", array)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "U32", "F16"]) | JSON,
        "shape": st.lists(st.integers(-1, 4) | st.just(2**63), max_size=3) | JSON,
        "data_offsets": st.lists(st.integers(-1, 20), min_size=2, max_size=2) | JSON,
    }
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.dictionaries(st.sampled_from(["a", "b", "__metadata__"]), ENTRIES | JSON, max_size=3) | JSON,
    st.binary(max_size=20),
)
def test_whatever_a_file_says_it_is_read_or_called_damaged(tmp_path, entries, body):
    path = raw(tmp_path / "x", entries, body)
    sizes = [len(body)]
    with contextlib.suppress(DamagedError):
        file = TensorFile(path, "the file")
        sizes = [file.read(name).nbytes for name in file.entries]
    assert sum(sizes) == len(body)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=60))
def test_whatever_bytes_a_file_has(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(DamagedError, match="the file is"):
        TensorFile(path, "the file")


def test_small_files_are_small(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(10))
    assert read_small(path, "the file", limit=10) == bytes(10)
    with pytest.raises(DamagedError, match="the file is damaged: it is larger than 9 bytes"):
        read_small(path, "the file", limit=9)
    with pytest.raises(DamagedError, match="it is not a regular file"):
        read_small(tmp_path, "the file")
    with pytest.raises(DamagedError, match="No such file"):
        read_small(tmp_path / "y", "the file")
