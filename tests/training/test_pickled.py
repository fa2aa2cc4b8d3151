"""Pickles that would run something, or take up much memory, or are nonsense: none of them gets to do it."""

from __future__ import annotations

import os
import pickle
import struct
import tracemalloc

import pytest

from recu_analysis.errors import DataError
from recu_analysis.training.data import pickled
from recu_analysis.training.data.pickled import read_pickle


class Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def refused(content):
    with pytest.raises(DataError) as caught:
        read_pickle(content, "data_batch_1")
    text = str(caught.value)
    assert text.startswith("data_batch_1 ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "nested", [lambda call: call, lambda call: {"data": [1, (2, call)]}, lambda call: [{"a": call}]]
)
def test_nothing_that_a_pickle_names_is_run(tmp_path, protocol, nested):
    witness = tmp_path / "witness"
    for call in (
        Calls(os.system, f"touch {witness}"),
        Calls(eval, f"__import__('pathlib').Path({str(witness)!r}).touch()"),
    ):
        content = pickle.dumps(nested(call), protocol)
        text = refused(content)
        if protocol in (2, 4):
            named = "system" if call.call[0] is os.system else "eval"
            assert f".{named}, which no CIFAR file does" in text
        assert not witness.exists()
        pickle.loads(content)  # it would have been run
        assert witness.exists()
        witness.unlink()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"numpy\nload\n", "names numpy.load,"),
        (b"numpy.core.multiarray\nscalar\n", "names numpy.core.multiarray.scalar,"),
        (b"numpy\nndarray.tofile\n", "names numpy.ndarray.tofile,"),
        (b"_codecs\nlookup\n", "names _codecs.lookup,"),
        (b"builtins\ngetattr\n", "names builtins.getattr,"),
        (b"a b\nc d\n", "names a.b c d,"),
        (b"\n\n", "names ."),
    ],
)
def test_only_four_names_are_known(name, text):
    for kind in (b"c", b"(i"):
        assert text in refused(b"\x80\x02" + kind + name + b".")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b".",
        b"}",
        b"N.",
        b"0.",
        b"2.",
        b"}(K\1K\2u.",
        b"}(U\1au.",
        b"}U\1as.",
        b"](K\1u.",
        b"}(K\1e.",
        b"h\5.",
        b"t.",
        b"\x85.",
        b"K\1)R.",
        b"cnumpy\ndtype\nK\1R.",
        b"cnumpy\ndtype\n)\x81.",
        b"cnumpy\ndtype\n}b.",
        b"cnumpy\ndtype\n)R}b.",
        b"c_codecs\nencode\n)R.",
        b"c_codecs\nencode\nU\1aU\3zip\x86R.",
        b"c_codecs\nencode\nK\1U\6latin1\x86R.",
        b"P1\n.",
        b"\x82\1.",
        b"\x95" + struct.pack("<Q", 2**60) + b"N.",
        b"T" + struct.pack("<i", 2**31 - 1) + b"a.",
        b"\x8e" + struct.pack("<Q", 2**60) + b"a.",
        b"Nr\xff\xff\xff\xff.",
        b"S'a'\n.",
        b"I99\n.",
        b"K\1K\2\x93.",
        b"\xff.",
        b"}" * 40,
        b"X\2\0\0\0\xff\xff.",
    ],
)
def test_nonsense_is_refused_in_one_sentence(body):
    tracemalloc.start()
    try:
        refused(b"\x80\x02" + body)
        refused(body)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_instructions_are_counted(monkeypatch):
    monkeypatch.setattr(pickled, "MOST_STEPS", 50)
    assert read_pickle(b"\x80\x02" + b"]" * 46 + b"}.", "a") == {}
    assert "more than 50 instructions" in refused(b"\x80\x02" + b"]" * 49 + b"}.")


def test_plain_values_come_back():
    values = {
        "a": [1, -2, 300, 70_000, 2**40],
        "b": (None, True, False, ()),
        "c": {"ä": "日本"},
        "d": (1,),
        "e": "x" * 300,
    }
    for protocol in (2, 3, 4):
        assert read_pickle(pickle.dumps(values, protocol), "a") == values
        assert read_pickle(pickle.dumps({"raw": bytes(range(256))}, protocol), "a")["raw"].encode("latin-1") == bytes(
            range(256)
        )
