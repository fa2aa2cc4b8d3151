"""Which output channels a sample has, and what run.json says of it."""

import json

import numpy as np
import pytest

from recu_analysis.errors import DamagedError
from recu_analysis.store.channels import Sampling, sampling_of
from recu_analysis.store.header import LayerSpec
from recu_analysis.theory.standardize import WeightTransform


def test_a_sample_depends_on_seed_name_and_number_of_channels_alone():
    """These numbers must never change: a run that is resumed elsewhere, or later, records the same channels."""
    assert Sampling(0.05, 0).of("layer1.0.conv1", 64).recorded == (3, 7, 18)
    assert Sampling(0.05, 7).of("layer1.0.conv1", 64).recorded == (26, 27, 48)
    few, more = (set(Sampling(share, 0).of("a", 200).recorded) for share in (0.05, 0.3))
    assert (len(few), len(more)) == (10, 60)
    assert few < more
    assert set(Sampling(0.05, 0).of("b", 200).recorded) != few


@pytest.mark.parametrize(
    ("channels", "share", "count"), [(64, 0.05, 3), (8, 0.05, 2), (2, 0.05, 2), (1, 0.05, 1), (10, 0.999, 10)]
)
def test_a_share_is_rounded_but_leaves_two_channels(channels, share, count):
    recorded = Sampling(share, 0).of("a", channels).recorded
    assert len(recorded) == count
    assert set(recorded) <= set(range(channels))


def test_every_channel_is_drawn_as_often():
    """10 of 100 channels for each of 4,000 seeds: a channel in 400, with a standard deviation of 19."""
    counts = np.zeros(100)
    for seed in range(4000):
        counts[list(Sampling(0.1, seed).of("a", 100).recorded)] += 1
    assert np.abs(counts - 400).max() < 5 * 19
    assert 0.6 * 19 < counts.std() < 1.4 * 19


def test_a_whole_share_is_no_sampling():
    assert sampling_of(1.0, 3) is None
    assert sampling_of(1, 0) is None
    assert sampling_of(np.float64(0.5), np.int64(2)) == Sampling(0.5, 2)


def entry(**changes):
    spec = LayerSpec("a", (3, 5), "float32", "sign", WeightTransform(), channels=Sampling(0.05, 0).of("a", 64))
    fields = json.loads(json.dumps(spec.to_dict()))
    fields["channels"] |= changes
    return spec, fields


def test_run_json_says_which_channels():
    spec, fields = entry()
    read = LayerSpec.from_dict(fields, "run.json")
    assert read == spec
    assert read.whole_shape == (64, 5)
    assert read.places(np.array([0, 14])).tolist() == [spec.channels.recorded[0] * 5, spec.channels.recorded[2] * 5 + 4]


@pytest.mark.parametrize("changes", [
    {"recorded": [1, 1, 2]}, {"recorded": [3, 2, 1]}, {"recorded": [0, 1, 64]}, {"recorded": [-1, 1, 2]},
    {"recorded": [1, 2]}, {"recorded": "abc"}, {"recorded": [0.0, 1, 2]}, {"recorded": None}, {"of": 2**70},
    {"of": True}, {"share": 0.0}, {"share": 2.0}, {"share": "a"}, {"seed": -1}, {"seed": None},
])  # fmt: skip
def test_a_damaged_sample_is_refused(changes):
    with pytest.raises(DamagedError, match=r"run\.json is damaged"):
        LayerSpec.from_dict(entry(**changes)[1], "run.json")
