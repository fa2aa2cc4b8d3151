"""Runs of format 1 give the tables that the version which wrote them computed."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

import recu_analysis as ra
from recu_analysis.errors import DamagedError, StoreError
from recu_analysis.store.format1 import RENAMED
from recu_analysis.store.quantities import QUANTITIES, requests_of
from recu_analysis.store.run import open_run
from recu_analysis.store.thin import thin
from recu_analysis.store.verify import verify
from recu_analysis.store.writer import RunWriter
from tests.cli_runner import refusal
from tests.messages import facts, says
from tests.run_files import contents, window_file
from tests.trajectory import merge, trajectory

CORPUS = Path(__file__).parents[1] / "data/format-1"


def assert_rows(frame, expected):
    """Texts and whole numbers are equal; sums may be added in another order on another processor."""
    rows = frame.to_dict("records")
    assert len(rows) == len(expected) > 0
    for row, wanted in zip(rows, expected, strict=True):
        assert wanted.keys() <= row.keys()
        for name, value in ((name, row[name]) for name in wanted):
            if isinstance(value, float | np.floating):
                assert value == pytest.approx(float(wanted[name]), rel=1e-12, nan_ok=True), name
            else:
                assert (value if value is None else str(value)) == wanted[name], name


def without_zpath(expected):
    """Tables without what that version made of the zpath of layer odd, which was not that of its effective weights."""
    mobility = ("mobility", "mobility_tail", "mobility_core", "still_fraction", "tail_still_fraction")
    for table in ("dead_weights", "layer_table", "flip_table"):
        for row in expected[table]:
            unknown = (*mobility, "flip_ratio_predicted") if row["layer"] == "odd" else ()
            row.update({name: "nan" for name in unknown if name in row})
    for row in expected["by_magnitude"]:  # over all layers
        row.update(dict.fromkeys(("mobility", "flips_per_path", "mobility_low", "mobility_high"), "nan"))
    return expected


def with_words_of_today(expected):
    """The same tables, their columns called what they are now."""
    words = RENAMED | {
        "memory": "autocorrelation",
        "memory_to_end": "autocorrelation_to_end",
        "oscillations": "reversals",
    }
    return {
        name: [{words.get(key, key): value for key, value in row.items()} for row in rows]
        if isinstance(rows, list)
        else rows
        for name, rows in expected.items()
    }


@pytest.mark.parametrize("name", ["whole", "thinned"])
def test_tables_are_those_of_the_version_that_wrote_the_run(name):
    run = open_run(CORPUS / name)
    expected = with_words_of_today(without_zpath(json.loads((CORPUS / f"{name}.json").read_text())))
    assert run.header.version == 1
    assert run.problems == ()
    assert_rows(run.layers, expected["layers"])
    assert_rows(run.metrics, expected["metrics"])
    assert_rows(verify(run.path), expected["verify"])
    assert_rows(ra.dead_weights(run, windows=expected["windows"]), expected["dead_weights"])
    layers = ra.layer_table(run, windows=expected["windows"])
    flat = [row.pop("gennorm_shape") == "nan" for row in expected["layer_table"]]
    assert_rows(layers, expected["layer_table"])
    # That version found no shape for flat weights; now one is found wherever the likelihood has a maximum.
    assert layers["gennorm_shape"].iloc[0] == pytest.approx(4.0819759798929125, rel=1e-6)
    assert flat[0]
    assert layers["gennorm_shape"][~np.array(flat)].item() == pytest.approx(6.82553044218229, rel=1e-9)
    assert_rows(ra.flip_table(run), expected["flip_table"])
    assert_rows(ra.by_magnitude(run, windows=expected["windows"]), expected["by_magnitude"])


def test_its_words_are_those_of_today():
    run = open_run(CORPUS / "whole")
    assert requests_of(run.header.quantities) == ("path", "zpath", "flip_times", "ema", "grad")
    assert run.configuration["binarizer"] == "recu"
    assert run.configuration["center"] is True
    assert run.configuration["nested"] == {"centre": 1}
    assert run.header.layers[0].transform.center


def test_a_run_that_does_not_say_what_it_keeps_has_the_usual(tmp_path):
    shutil.copytree(CORPUS / "whole", tmp_path / "run")
    file = tmp_path / "run/run.json"
    content = json.loads(file.read_text())
    del content["quantities"]
    file.write_text(json.dumps(content))
    assert requests_of(open_run(tmp_path / "run").header.quantities) == QUANTITIES


@pytest.mark.parametrize(
    "change",
    [
        {"quantities": ["path", "speed"]},
        {"quantities": [[]]},
        {"layers": 3},
        {"layers": [3]},
        {"layers": [{}]},
        {"configuration": []},
        {"configuration": None},
    ],
    ids=str,
)
def test_what_no_version_wrote_is_damage(tmp_path, change):
    shutil.copytree(CORPUS / "whole", tmp_path / "run")
    file = tmp_path / "run/run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DamagedError, match=r"run\.json is damaged: "):
        open_run(tmp_path / "run")


def test_every_flipped_bit_of_a_header_is_found(tmp_path):
    shutil.copytree(CORPUS / "whole", tmp_path / "run")
    file = window_file(tmp_path / "run", 2)
    content = bytearray(file.read_bytes())
    at = content.index(b"seal") - 40
    content[at] ^= 4
    file.write_bytes(content)
    assert len(open_run(tmp_path / "run").problems) == 1


def test_thinned_it_is_a_run_of_today_and_loses_nothing(tmp_path):
    run = open_run(CORPUS / "whole")
    thinned = thin(run, windows=[0, 2, 3, 5, 6], output=tmp_path / "thin")
    assert thinned.header.version == 2
    assert set(verify(thinned.path)["verdict"]) <= {"whole", "partial"}
    old = open_run(CORPUS / "thinned")
    for window, wanted in zip(thinned.windows, old.windows, strict=True):
        assert (window.number, window.partial) == (wanted.number, wanted.partial)
        for name in run.layer_names:
            assert window[name].summary == wanted[name].summary
            for row in window.quantities.values():
                if row.of != "layer":
                    left, right = (each[name].array(row.name) for each in (window, wanted))
                    np.testing.assert_array_equal(left, right)
    assert list(thinned.marks()) == list(old.marks())
    assert thinned.configuration == run.configuration


def test_a_field_called_seal_is_not_taken_for_one(tmp_path):
    shutil.copytree(CORPUS / "whole", tmp_path / "run")
    file = tmp_path / "run/run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"seal": "abc", "color": "red"}))
    thinned = thin(open_run(tmp_path / "run"), windows=[0, 6], output=tmp_path / "thin")
    assert thinned.header.more == {"color": "red"}


def test_its_windows_merge_as_ever():
    run = open_run(CORPUS / "whole")
    for name in run.layer_names:
        parts = [trajectory(window[name]) for window in run.windows[1:3]]
        whole, small = merge(*parts), trajectory(open_run(CORPUS / "thinned").windows[1][name])
        np.testing.assert_array_equal(whole.flips, small.flips)
        np.testing.assert_allclose(whole.path, small.path, rtol=1e-6)
        assert math.isclose(whole.decay_time, small.decay_time)


def test_a_training_does_not_go_on_with_it(tmp_path):
    shutil.copytree(CORPUS / "whole", tmp_path / "run")
    says(refusal("train", "--run-dir", tmp_path / "run", "--resume"), tmp_path / "run", "format 1")


def test_it_cannot_be_resumed(tmp_path):
    shutil.copytree(CORPUS / "whole", tmp_path / "run")
    before = contents(tmp_path / "run")
    layers = open_run(tmp_path / "run").header.layers
    with pytest.raises(StoreError, match=facts("format 1", "another")):
        RunWriter(tmp_path / "run", layers, configuration={}, environment={}, resume=10)
    assert contents(tmp_path / "run") == before
