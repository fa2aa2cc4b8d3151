"""The table of quantities: every row is written, read, checked, merged and thinned by what it says of itself."""

import contextlib
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from recu_analysis import WindowSpan, dead_weights, open_run
from recu_analysis.errors import DamagedError, InputError, NotRecordedError, StoreError
from recu_analysis.store.header import LayerSpec, LayerWindow
from recu_analysis.store.quantities import (
    ADDED,
    FITTING,
    KEPT,
    LAYER_DTYPES,
    LAYER_NUMBERS,
    OF,
    RULES,
    TABLE,
    TENSOR_DTYPES,
    UNION,
    Quantity,
    rows_of,
)
from recu_analysis.store.record import merged
from recu_analysis.store.state import LayerState, nothing
from recu_analysis.store.thin import thin
from recu_analysis.store.verify import verify
from recu_analysis.store.writer import RunWriter
from recu_analysis.theory.standardize import WeightTransform
from tests.editing import edit_run, run_json
from tests.messages import says
from tests.run_files import window_file

SPEC = LayerSpec("a", (3, 10), "float32", "test", WeightTransform(), traced=(3, 29))
#: Rows of no version, as a later one could write them.
STRANGE = {
    "warmth": Quantity("warmth", "weights", "float32", "sum", "default", "K", "how warm"),
    "visits": Quantity("visits", "flipped", "uint32", "count", "default"),
    "mood": Quantity("mood", "channels", "float32", "last", "known"),
}
ALL = TABLE | STRANGE


def test_the_table_is_consistent():
    for name, row in TABLE.items():
        assert row.name == name
        assert row.of in OF
        assert row.dtype in (LAYER_DTYPES if row.of == "layer" else TENSOR_DTYPES)
        assert row.kept in KEPT
        assert row.mergeable
        assert row.about
        assert row.decay == "" or TABLE[row.decay].of == "layer"
        assert Quantity.from_dict(row.to_dict()) is row
    assert set(LAYER_NUMBERS) == {field.name for field in fields(LayerWindow)} - {"more"}


def state(generator, first, updates, rows):
    """A window with a value for every row."""
    flipped = np.flatnonzero(generator.random(30) < 0.4).astype(np.uint32)
    shapes = {"weights": (3, 10), "flipped": flipped.shape, "channels": (3,), "groups": (3,), "states": (2, 2)}
    shapes |= {"traced": (updates, 2)}
    arrays = {}
    for row in rows.values():
        if row.of != "layer" and row.name != "effective":  # which layers with a transform do not have
            dtype, shape = row.dtype_in("float32"), shapes[row.of]
            values = generator.integers(1, 9, shape) if dtype.kind in "iu" else generator.random(shape)
            arrays[row.name] = flipped if row.merge == UNION else values.astype(dtype)
    if "traces" in arrays:
        arrays["traces"][-1] = arrays["weight"].reshape(-1)[list(SPEC.traced)]
    times = np.sort(generator.integers(first, first + updates, (2, flipped.size)), axis=0).astype(np.uint32)
    possible = {"first_flip": times[0], "last_flip": times[1], "flips": np.where(times[0] < times[1], updates, 1)}
    possible["reversals"] = possible["flips"] - 1
    arrays |= {name: each.astype(np.uint32) for name, each in possible.items() if name in arrays}
    if "transitions" in arrays:
        moved = int(possible["flips"].sum())
        arrays["transitions"] = np.array([[30 * updates - moved, moved], [0, 0]])
    numbers = {
        "map": generator.random((2, 2)).tolist(),
        "noise_decay": float(generator.random()),
        "earned_along": float(generator.normal()),
        "earned_variance": float(generator.random()),
        "weight_flips": int(generator.integers(9)),
        "threshold_flips": int(generator.integers(9)),
        "norm_start": float(generator.random()),
        "norm_end": float(generator.random()),
        "outside_updates": int(generator.integers(3)),
        "outside_weights": int(generator.integers(30)),
        "outside_step": float(generator.random()),
        "momentum_norm": float(generator.random()),
        "lr_radial": float(generator.normal()),
        "rule": [0.9, 1.0, 0.0, 1.0, 0.0],
        "rows": [0, 3],
    }
    return LayerState(LayerWindow(first, updates, 0.1, 0.2, 0.3, 0.9, numbers), arrays)


def written(path, generator, lengths, rows):
    """A run with windows of so many updates, and their states."""
    writer = RunWriter(path, [SPEC], configuration={}, environment={}, quantities=rows)
    start = LayerState(
        LayerWindow(1, 0, 0.0, 0.0, 0.0, None),
        {row.name: nothing(row, SPEC) for row in rows.values() if row.of != "layer" and not row.optional},
    )
    writer.write_window({"a": start}, first_update=1, last_update=0)
    states, first = [], 1
    for updates in lengths:
        states.append(state(generator, first, updates, rows))
        writer.write_window({"a": states[-1]}, first_update=first, last_update=first + updates - 1)
        first += updates
    writer.close()
    return open_run(path), states


def dense(row, window):
    """The array of a quantity in the layer's shape, as its rule takes it."""
    array = window[row.name]
    if row.of != "flipped":
        return array.astype(row.total_dtype) if row.merge in ADDED else array
    whole = np.full(30, row.absent, np.int64)
    whole[window["flipped"]] = array
    return whole.reshape(3, 10)


def by_rule(row, states):
    """All windows as one, two by two, by the rule's name alone."""
    result = dense(row, states[0])
    for window in states[1:]:
        if row.merge == "decayed sum":
            result = result * window.summary.more[row.decay] + dense(row, window)
        else:
            result = RULES[row.merge](result, dense(row, window))
            if result is None:
                return None
    return result


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 4), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_every_row_is_read_checked_and_merged_by_its_rule(tmp_path_factory, lengths, seed):
    path = tmp_path_factory.mktemp("rows") / "run"
    run, states = written(path, np.random.default_rng(seed), lengths, ALL)
    assert set(verify(path)["verdict"]) == {"whole"}
    whole = merged(run.windows[1:], "a")
    for row in ALL.values():
        if row.of != "layer" and row.merge != UNION and row.name not in {"weight", "effective"}:
            wanted, got = by_rule(row, states), getattr(whole, row.name)
            assert (got is None) == (wanted is None), row.name
            if wanted is not None:
                np.testing.assert_allclose(got, wanted, rtol=1e-12, err_msg=row.name)
    thinned = thin(run, windows=[0, len(lengths)], output=path.with_name("thin"))
    assert set(verify(thinned.path)["verdict"]) == {"whole"}
    for row in ALL.values():
        if row.of != "layer" and row.merge != UNION:
            wanted, got = (
                getattr(whole, "end" if row.name == "weight" else row.name),
                getattr(thinned.windows[1]["a"], row.name),
            )
            assert (got is None) == (wanted is None), row.name
            if wanted is not None:
                np.testing.assert_allclose(got, wanted, rtol=1e-6, err_msg=row.name)
    assert thinned.windows[1]["a"].summary == whole.summary
    more = whole.summary.more
    maps = [window.summary.more["map"] for window in states]
    np.testing.assert_allclose(more["map"], np.linalg.multi_dot(maps[::-1]) if maps[1:] else maps[0])
    assert more["threshold_flips"] == sum(window.summary.more["threshold_flips"] for window in states)
    assert more["norm_start"] == states[0].summary.more["norm_start"]
    assert more["momentum_norm"] == states[0].summary.more["momentum_norm"]
    assert more["lr_radial"] == pytest.approx(sum(window.summary.more["lr_radial"] for window in states))
    assert more["rule"] == states[0].summary.more["rule"]
    assert more["norm_end"] == states[-1].summary.more["norm_end"]
    assert more["outside_weights"] == sum(window.summary.more["outside_weights"] for window in states)
    assert more["outside_step"] == max(window.summary.more["outside_step"] for window in states)
    assert more["rows"] == [0, 3]


def test_rows_of_a_later_version_survive_thin_and_verify(tmp_path):
    run, states = written(tmp_path / "run", np.random.default_rng(1), [2, 3, 1], rows_of(["path"]) | STRANGE)
    edit_run(tmp_path / "run", mascot="cat", layers=[run_json(tmp_path / "run")["layers"][0] | {"color": "red"}])
    run = open_run(tmp_path / "run")
    thinned = thin(run, windows=[0, 2, 3], output=tmp_path / "thin")
    assert thinned.header.more == {"mascot": "cat"}
    assert thinned.header.layers[0].more == {"color": "red"}
    assert thinned.header.quantities == run.header.quantities
    assert set(verify(thinned.path)["verdict"]) == {"whole"}
    record = thinned.windows[1]["a"]
    np.testing.assert_allclose(record.warmth, states[0]["warmth"] + states[1]["warmth"], rtol=1e-6)
    visits = [dense(STRANGE["visits"], each) for each in states[:2]]
    np.testing.assert_array_equal(record.visits, visits[0] + visits[1])
    np.testing.assert_array_equal(record.mood, states[1]["mood"])
    np.testing.assert_array_equal(thinned.windows[2]["a"].warmth, states[2]["warmth"])


def test_a_resumption_keeps_what_it_does_not_know(tmp_path):
    written(tmp_path / "run", np.random.default_rng(4), [1], rows_of(()))
    edit_run(tmp_path / "run", mascot="cat", layers=[run_json(tmp_path / "run")["layers"][0] | {"color": "red"}])
    before = (tmp_path / "run/run.json").read_bytes()
    RunWriter(tmp_path / "run", [SPEC], configuration={}, environment={}, quantities=rows_of(()), resume=1).close()
    assert (tmp_path / "run/run.json").read_bytes() == before
    run = open_run(tmp_path / "run")
    assert run.header.more == {"mascot": "cat"}
    assert len(run.segments) == 2
    edit_run(tmp_path / "run", quantities=[row.to_dict() for row in (rows_of(()) | STRANGE).values()])
    with pytest.raises(StoreError, match=r"warmth, visits.*\(none\).*visits, warmth"):
        RunWriter(tmp_path / "run", [SPEC], configuration={}, environment={}, quantities=rows_of(()), resume=1)


def test_a_rule_of_a_later_version_is_not_guessed(tmp_path):
    rows = rows_of(()) | {"warmth": Quantity("warmth", "weights", "float32", "hottest", "default")}
    run, states = written(tmp_path / "run", np.random.default_rng(2), [1, 1], rows)
    assert set(verify(run.path)["verdict"]) == {"whole"}
    assert len(thin(run, windows=[0, 1, 2], output=tmp_path / "all").windows) == 3
    np.testing.assert_array_equal(open_run(tmp_path / "all").windows[2]["a"].warmth, states[1]["warmth"])
    with pytest.raises(InputError, match="warmth"):
        thin(run, windows=[0, 2], output=tmp_path / "fewer")
    assert not (tmp_path / "fewer").exists()


def test_numbers_that_no_row_describes_are_kept_where_nothing_merges(tmp_path):
    rows = rows_of(())
    writer = RunWriter(tmp_path / "run", [SPEC], configuration={}, environment={}, quantities=rows)
    arrays = {row.name: nothing(row, SPEC) for row in rows.values() if row.of != "layer" and not row.optional}
    for first, more in ((1, {}), (1, {"storms": 3}), (2, {"storms": 3})):
        summary = LayerWindow(first, len(more), 0.0, 0.0, 0.0, None, more)
        last = first + len(more) - 1
        writer.write_window({"a": LayerState(summary, arrays)}, first_update=first, last_update=last, more={"tide": 3})
    writer.close()
    run = open_run(tmp_path / "run")
    copy = thin(run, windows=[0, 1, 2], output=tmp_path / "copy")
    assert [window["a"].summary.more for window in copy.windows] == [{}, {"storms": 3}, {"storms": 3}]
    assert copy.windows[2].header.more == {"tide": 3}
    with pytest.raises(InputError, match="'storms'"):
        thin(run, windows=[0, 2], output=tmp_path / "fewer")


def test_a_tensor_of_another_dtype_is_damage(tmp_path):
    writer = RunWriter(tmp_path / "run", [SPEC], configuration={}, environment={})
    kept = rows_of(["path", "zpath", "flip_times"]).values()
    arrays = {row.name: nothing(row, SPEC) for row in kept if row.of != "layer" and not row.optional}
    arrays["path"] = arrays["path"].astype(np.float64)
    summary = LayerWindow(1, 0, 0.0, 0.0, 0.0, None)
    writer.write_window({"a": LayerState(summary, arrays)}, first_update=1, last_update=0)
    writer.close()
    window = open_run(tmp_path / "run").windows[0]
    with pytest.raises(DamagedError, match=r"'path/a'.*float32"):
        _ = window["a"].path
    assert "damaged" in set(verify(tmp_path / "run")["verdict"])
    with pytest.raises(NotRecordedError, match="gradient-stats"):
        _ = window["a"].momentum
    with pytest.raises(AttributeError, match="has no attribute 'speed'"):
        _ = window["a"].speed
    assert {"weight", "path", "flips", "start"} <= set(dir(window["a"]))
    assert "momentum" not in dir(window["a"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"of": "weights", "dtype": "float32", "merge": "count"},
        {"of": "weights", "dtype": "int64", "merge": "count"},
        {"of": "weights", "dtype": "uint32", "merge": "sum"},
        {"of": "weights", "dtype": "float32", "merge": "joined"},
        {"of": "weights", "dtype": "float32", "merge": "decayed sum"},
        {"of": "weights", "dtype": "float32", "merge": "sum", "decay": "noise_decay"},
        {"of": "flipped", "dtype": "latent", "merge": "first known"},
        {"of": "flipped", "dtype": "uint32", "merge": "last"},
        {"of": "channels", "dtype": "float32", "merge": "product"},
        {"of": "layer", "dtype": "number", "merge": "last known"},
        {"of": "layer", "dtype": "list", "merge": "joined"},
        {"of": "layer", "dtype": "numbers", "merge": "sum"},
    ],
    ids=str,
)
def test_rules_that_do_not_fit_what_a_quantity_is_are_refused(wrong):
    with pytest.raises(TypeError, match="kind, dtype or rule that this version does not know"):
        Quantity.from_dict({"name": "odd", "kept": "default"} | wrong)


def accepted_rows(of):
    """Every rule with every dtype that a quantity of this may have."""
    for rule, merge in enumerate([*RULES, "decayed sum"]):
        for at, dtype in enumerate(TENSOR_DTYPES):
            entry = {"name": f"q{rule}_{at}", "of": of, "dtype": dtype, "merge": merge, "kept": "default"}
            with contextlib.suppress(TypeError):
                yield Quantity.from_dict(entry | ({"decay": "noise_decay"} if merge == "decayed sum" else {}))


@pytest.mark.parametrize("of", [each for each in OF if each != "layer"])
def test_what_is_accepted_is_merged_as_its_rule_says_and_can_be_thinned(tmp_path, of):
    accepted = {row.name: row for row in accepted_rows(of)}
    assert {row.merge for row in accepted.values()} == set(FITTING[of]) - {UNION}
    run, states = written(tmp_path / "run", np.random.default_rng(6), [2, 1, 3], rows_of(()) | accepted)
    thinned = thin(run, windows=[0, 3], output=tmp_path / "thin")
    assert set(verify(thinned.path)["verdict"]) == {"whole"}
    for name, row in accepted.items():
        wanted, got = by_rule(row, states), thinned.windows[1]["a"].array(name)
        assert (wanted is None) == (got is None)
        if wanted is not None:
            np.testing.assert_allclose(got, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["operand", "z_start", "windows", "spec", "summary", "parts", "exact", "_arrays", "once"]
)
def test_a_quantity_may_be_called_like_something_else(tmp_path, name):
    rows = rows_of(()) | {name: Quantity(name, "weights", "float32", "sum", "default")}
    run, states = written(tmp_path / "run", np.random.default_rng(7), [1, 2], rows)
    thinned = thin(run, windows=[0, 2], output=tmp_path / "thin")
    np.testing.assert_allclose(thinned.windows[1]["a"].array(name), states[0][name] + states[1][name], rtol=1e-6)
    dead_weights(thinned, criterion="silent", windows=WindowSpan(2, 3))


@pytest.mark.parametrize("name", ["start", "end", "silent", "two words", ""])
def test_names_that_a_quantity_cannot_have(name):
    with pytest.raises(TypeError, match=r"entry of quantity .* is not valid"):
        Quantity.from_dict({"name": name, "of": "weights", "dtype": "float32", "merge": "sum", "kept": "default"})


def test_counts_of_states_and_channels_are_exact_or_the_largest():
    grid = TABLE["transitions"]
    large = np.full((2, 2), 2**62)
    assert (grid.merged([large, large, large]) == np.iinfo(np.int64).max).all()
    visits = Quantity("visits", "channels", "uint16", "count", "default")
    assert visits.merged([np.full(3, 40_000, np.uint16)] * 4).tolist() == [160_000] * 3
    total = Quantity("total", "channels", "float32", "sum", "default")
    parts = [np.full(1, value, np.float32) for value in (1e8, 1.0, 1.0, -1e8)]
    assert total.merged(parts).tolist() == [2.0]


def test_a_map_that_overflows_is_not_known():
    large = [[1e200, 0.0], [0.0, 1.0]]
    assert TABLE["map"].merged([large, large, large]) is None
    assert TABLE["noise_decay"].merged([1e200, 1e200]) is None


def test_what_only_some_layers_have_merges_where_it_is(tmp_path):
    rows = rows_of(()) | {"extra": Quantity("extra", "weights", "float32", "sum", "known")}
    specs = [SPEC, LayerSpec("b", (3, 10), "float32", "test", WeightTransform())]
    writer = RunWriter(tmp_path / "run", specs, configuration={}, environment={}, quantities=rows)
    generator = np.random.default_rng(8)
    nothings = {row.name: nothing(row, SPEC) for row in rows.values() if row.of != "layer" and not row.optional}
    begin = LayerState(LayerWindow(1, 0, 0.0, 0.0, 0.0, None), nothings)
    writer.write_window({"a": begin, "b": begin}, first_update=1, last_update=0)
    kept = []
    for update in (1, 2):
        whole = state(generator, update, 1, rows)
        less = LayerState(whole.summary, {name: each for name, each in whole.arrays.items() if name != "extra"})
        writer.write_window({"a": whole, "b": less}, first_update=update, last_update=update)
        kept.append(whole["extra"].astype(np.float64))
    writer.close()
    thinned = thin(open_run(tmp_path / "run"), windows=[0, 2], output=tmp_path / "thin")
    np.testing.assert_allclose(thinned.windows[1]["a"].extra, kept[0] + kept[1], rtol=1e-6)
    assert thinned.windows[1]["b"].extra is None
    assert set(verify(thinned.path)["verdict"]) == {"whole"}


def test_a_decay_that_is_not_known_leaves_nothing_known(tmp_path):
    rows = rows_of(()) | {"noise": TABLE["noise"]}
    run, states = written(tmp_path / "run", np.random.default_rng(9), [1, 1], rows)
    del states
    shard = window_file(run.path, 2)
    window = run.windows[2]
    header = replace(window.header, layers={"a": replace(window["a"].summary, more={"noise_decay": None})})
    arrays = load_file(shard)
    save_file(arrays, shard, metadata=header.to_metadata())
    assert np.isnan(merged(open_run(run.path).windows[1:], "a").noise).all()


def test_what_a_resumption_may_lack(tmp_path):
    rows = rows_of(["path"]) | {"mood": STRANGE["mood"]}
    written(tmp_path / "run", np.random.default_rng(4), [1], rows)
    RunWriter(
        tmp_path / "run", [SPEC], configuration={}, environment={}, quantities=rows_of(["path"]), resume=1
    ).close()
    assert "mood" in open_run(tmp_path / "run").header.quantities


def test_what_does_not_fit_together_is_damage(tmp_path):
    product = Quantity("odd", "layer", "matrix", "product", "default")
    with pytest.raises(DamagedError, match=r"windows.*'odd'"):
        product.merged(["a", [[1.0]]])
    with pytest.raises(DamagedError, match=r"windows.*'map'"):
        TABLE["map"].merged([np.eye(2).tolist(), np.eye(3).tolist()])
    grid = TABLE["transitions"]
    with pytest.raises(DamagedError, match=r"windows.*'transitions'"):
        grid.merged([np.zeros((2, 2)), np.zeros((3, 3))])


def test_numbers_of_weights_that_flipped_keep_their_fractions(tmp_path):
    rows = rows_of(()) | {"odds": Quantity("odds", "flipped", "float32", "likeliest", "default")}
    run, states = written(tmp_path / "run", np.random.default_rng(5), [1], rows)
    np.testing.assert_array_equal(run.windows[1]["a"].odds.reshape(-1)[states[0]["flipped"]], states[0]["odds"])


def test_counts_that_do_not_fit_are_the_largest(tmp_path):
    row = TABLE["small_grads"]
    assert row.stored(np.array([3, 70_000]), "float32").tolist() == [3, 65_535]
    assert row.stored(np.array([3]), "float32").dtype == np.uint16


def test_a_run_that_its_recording_refused_says_so_to_every_reader(tmp_path):
    run, _ = written(tmp_path / "run", np.random.default_rng(3), [1], rows_of(()))
    writer = RunWriter(run.path, [SPEC], configuration={}, environment={}, quantities=rows_of(()), resume=1)
    writer.refuse("weights moved without an update")
    writer.close()
    (reason,) = open_run(run.path).problems
    says(reason, run.path, "refused", "weights moved without an update")
    table = verify(run.path).set_index("file")
    assert table.loc["refused.json", "verdict"] == "damaged"
    assert table.loc["refused.json", "detail"] == reason
    (run.path / "refused.json").write_text("{")
    assert "refused.json is damaged" in open_run(run.path).problems[0]
