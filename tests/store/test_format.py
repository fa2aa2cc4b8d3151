"""Names and headers: what was written is read again, and nothing else is taken for it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recu_analysis.errors import DamagedError
from recu_analysis.store import format as names
from recu_analysis.store.header import LayerSpec, LayerWindow, RunHeader
from recu_analysis.store.sealing import digest, dump_json, seal
from recu_analysis.store.shard import ShardHeader
from recu_analysis.theory.standardize import WeightTransform

FORMAT = f"{names.SHARD_FORMAT}{names.FORMAT_VERSION}"
CONTENT = {
    "run_id": "r",
    "segment": 0,
    "window": 1,
    "first_update": 1,
    "last_update": 4,
    "exact": True,
    "partial": False,
    "layers": {},
    "digests": {},
}
LAYER = {"first_update": 1, "updates": 4, "lr": 0.4, "lr_decay": 0.1, "decay_time": 1.0, "tau": None}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SPECS = st.builds(
    LayerSpec,
    name=TEXTS,
    shape=st.lists(st.integers(1, 2**31), min_size=1, max_size=5).map(tuple),
    dtype=st.sampled_from(["float32", "float64"]),
    adapter=TEXTS,
    transform=st.none()
    | st.builds(WeightTransform, center=st.booleans(), target=st.none() | st.floats(0.1, 9), clamp=st.booleans()),
)
WHOLE = st.integers(0, 2**62)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def shard(**change):
    """The header with some fields changed, sealed as a forger would."""
    header = dump_json(CONTENT | change)
    return ShardHeader.from_metadata({"format": FORMAT, "header": header, "seal": seal(header)}, "shard")


@settings(deadline=None)
@given(
    st.lists(SPECS, unique_by=lambda spec: spec.name, min_size=1, max_size=3), st.dictionaries(TEXTS, FINITE | TEXTS)
)
def test_run_headers_come_back(layers, configuration):
    header = RunHeader("0123", tuple(layers), configuration, {"python": "3"})
    assert RunHeader.from_json(header.to_json(), "run.json") == header


@settings(deadline=None)
@given(
    st.dictionaries(
        TEXTS,
        st.builds(LayerWindow, st.integers(3, 9), st.integers(0, 2**62), FINITE, FINITE, FINITE, st.none() | FINITE),
    ),
    st.dictionaries(TEXTS, TEXTS),
)
def test_shard_headers_come_back(layers, digests):
    header = ShardHeader("0123", 1, 2, 3, 2**63 - 1, True, False, layers, digests, marks=5)
    assert ShardHeader.from_metadata(header.to_metadata(), "shard") == header


def test_sums_that_are_not_finite_come_back_as_nan():
    summary = LayerWindow(3, 2, math.inf, math.nan, 1.0, None)
    header = ShardHeader("0123", 1, 2, 3, 4, True, False, {"a": summary}, {})
    result = ShardHeader.from_metadata(header.to_metadata(), "shard").layers["a"]
    assert math.isnan(result.lr)
    assert math.isnan(result.lr_decay)
    assert result.decay_time == 1.0


@pytest.mark.parametrize(
    "change",
    [
        {"last_update": "4"},
        {"first_update": None},
        {"window": True},
        {"digests": []},
        {"layers": []},
        {"layers": {"a": 3}},
        {"layers": {"a": {}}},
        {"layers": {"a": LAYER | {"map": [[1.0, 0.0]]}}},
        {"layers": {"a": LAYER | {"map": [["1"]]}}},
        {"layers": {"a": LAYER | {"map": np.eye(3).tolist()}}},
        {"layers": {"a": LAYER | {"map": [[1.0, 0.0], [0.0, math.nan]]}}},
        {"layers": {"a": LAYER | {"map": [[1.0, 0.0], [0.0, None]]}}},
        {"layers": {"a": LAYER | {"map": [[1.0, 0.0], [0.0, 10**400]]}}},
        {"layers": {"a": LAYER | {"map": None}}},
        {"layers": {"a": LAYER | {"rule": [0.9, 1.0, 0.0, 1.0]}}},
        {"layers": {"a": LAYER | {"rule": [0.9, 1.0, 0.0, 1.0, math.inf]}}},
        {"layers": {"a": LAYER | {"rule": "SGD"}}},
        {"layers": {"a": LAYER | {"norm_start": -1.0}}},
        {"layers": {"a": LAYER | {"momentum_norm": [1.0]}}},
        {"layers": {"a": LAYER | {"outside_updates": True}}},
        {"layers": {"a": LAYER | {"rows": [0, "4"]}}},
        {"layers": {"a": LAYER | {"norm_end": "long"}}},
        {"layers": {"a": LAYER | {"updates": 1.5}}},
        {"layers": {"a": LAYER | {"lr": "0.4"}}},
        {"layers": {"a": LAYER | {"tau": []}}},
        {"exact": 1},
        {"last_update": 10**400},
        {"layers": {"a": LAYER | {"decay_time": 10**400}}},
    ],
    ids=str,
)
def test_a_sealed_header_of_wrong_types_is_damage(change):
    assert shard().last_update == 4
    assert shard(layers={"a": LAYER}).layers["a"].lr == 0.4
    with pytest.raises(DamagedError, match=r"shard.*header"):
        shard(**change)


def test_a_header_of_half_a_surrogate_is_damage():
    with pytest.raises(DamagedError, match="does not match its seal"):
        ShardHeader.from_metadata({"format": FORMAT, "header": "\ud800", "seal": ""}, "shard")
    with pytest.raises(DamagedError, match="the entry of a layer cannot be read"):
        LayerSpec.from_dict(LayerSpec("\ud800", (1,), "float32", "x", None).to_dict(), "run.json")


def test_metadata_of_another_format():
    with pytest.raises(DamagedError, match=r"shard.*'pt'"):
        ShardHeader.from_metadata({"format": "pt"}, "shard")


def test_digests_tell_name_dtype_shape_and_bytes_apart():
    zeros = np.zeros((2, 3), np.float32)
    variants = [
        digest("a", zeros),
        digest("b", zeros),
        digest("a", zeros.reshape(3, 2)),
        digest("a", zeros.view(np.uint32)),
        digest("a", -zeros),
        digest("a", np.zeros((0, 3), np.float32)),
        digest("a", np.zeros((3, 0), np.float32)),
    ]
    assert len(set(variants)) == len(variants)


def test_follows_is_decided_by_every_layer():
    def header(**layers):
        windows = {name: LayerWindow(*span, 0.0, 0.0, 0.0, None) for name, span in layers.items()}
        return ShardHeader("r", 0, 0, 1, 0, True, False, windows, {})

    assert header(a=(5, 4), b=(3, 2)).counts_on(header(a=(1, 4), b=(1, 2)))
    assert not header(a=(5, 4), b=(5, 2)).counts_on(header(a=(1, 4), b=(1, 2)))
