"""A window in several shards reads as one in a single file, and what does not fit together is damaged."""

import json
import re

import numpy as np
import pytest

import recu_analysis as ra
from recu_analysis.errors import DamagedError
from recu_analysis.store.shard_writer import FirstShardWriter
from recu_analysis.store.thin import thin
from recu_analysis.store.verify import DAMAGE, check_window, verify
from recu_analysis.testing import random_walk, synthetic_run
from tests.run_files import window_folder
from tests.store.recording import SPEC
from tests.store.sharding import cut, edit_shard
from tests.store.test_starting import write

WALKS = {"a": random_walk((5, 3, 2), 12, seed=1), "b": random_walk((3, 40), 12, seed=2)}


@pytest.fixture(params=[2, 4])
def both(request, tmp_path):
    """The same run in one file a window, and in shards; with four, layer b has no rows in the last."""
    make = [synthetic_run(tmp_path / name, WALKS, traces=4, windows=3).path for name in ("whole", "cut")]
    return ra.open_run(make[0]), ra.open_run(cut(make[1], request.param))


def test_every_array_and_table_is_that_of_one_file(both):
    whole, shards = both
    assert not shards.problems
    for one, several in zip(whole.windows, shards.windows, strict=True):
        for name in whole.layer_names:
            for row in whole.header.quantities.values():
                if row.of != "layer" and one[name].holds(row.name):
                    array = one[name].array(row.name)
                    np.testing.assert_array_equal(several[name].array(row.name), array, strict=True)
            assert several[name].summary == one[name].summary
    for table in (ra.layer_table, ra.dead_weights, ra.traces):
        made = [table(each).drop(columns="run", errors="ignore") for each in both]
        assert made[0].equals(made[1])
    assert set(verify(shards.path)["verdict"]) == {"whole"}


def test_thinning_makes_one_file_a_window(both, tmp_path):
    made = [thin(each, windows=[0, 3], output=tmp_path / f"thin{at}") for at, each in enumerate(both)]
    digests = [[window.header.digests for window in each.windows] for each in made]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(("window", "marked", "found"), [(3, 2, "unfinished"), (3, 3, "missing"), (2, 3, "missing")])
def test_a_window_without_one_of_its_shards_does_not_exist(both, window, marked, found):
    path = both[1].path
    metrics = path / "history/segment-0000/metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:marked]))
    (metrics.parent / "end.json").unlink()  # as while the recording goes on
    sorted(window_folder(path, window).iterdir())[0].unlink()
    run = ra.open_run(path)
    assert [each.number for each in run.windows] == [each for each in range(4) if each != window]
    verdicts = verify(path)
    assert verdicts[verdicts["window"] == window]["verdict"].tolist() == [found]
    assert "has only" in verdicts[verdicts["window"] == window]["detail"].item()
    assert bool(run.problems) == (found == "missing")


def _rows(content, rows):
    content["layers"]["a"]["rows"] = rows


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda content: _rows(content, [4, 5]), r"rows \[4, 5\] of layer 'a', not rows from 3 on"),
        (lambda content: _rows(content, [3, 9]), "have 9 rows of layer 'a', not all"),
        (lambda content: content["layers"]["a"].update(updates=3, lr=1.0), "numbers of layer 'a' are not those of"),
        (lambda content: content.update(partial=True), "its partial is not that of"),
        (lambda content: content["layers"].pop("a"), "have 3 rows of layer 'a', not all"),
        (lambda content: content.update(run_id="other"), "belongs to another run"),
    ],
)
def test_shards_that_contradict_each_other_are_damaged(tmp_path, change, text):
    path = cut(synthetic_run(tmp_path / "run", WALKS, windows=3).path, 2)
    edit_shard(window_folder(path, 2) / "00002-of-00002.safetensors", change)
    run = ra.open_run(path)
    assert [each.number for each in run.windows] == [0, 1, 3]
    assert re.search(text, run.problems[0])


def test_only_the_damaged_shard_is_told(tmp_path):
    path = cut(synthetic_run(tmp_path / "run", WALKS, windows=3).path, 2)
    file = window_folder(path, 2) / "00002-of-00002.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    table = verify(path)
    assert table[table["verdict"].isin(DAMAGE)]["file"].tolist() == [str(file.relative_to(path))]
    with pytest.raises(DamagedError, match="00002-of-00002"):
        check_window(ra.open_run(path).windows[2])


def test_two_whole_sets_of_shards_are_damage(tmp_path):
    paths = [cut(synthetic_run(tmp_path / str(count), WALKS, windows=1).path, count) for count in (2, 3)]
    for file in window_folder(paths[1], 1).iterdir():
        file.rename(window_folder(paths[0], 1) / file.name)
    assert any("all of 2 shards and all of 3" in text for text in ra.open_run(paths[0]).problems)


def test_the_end_of_a_sharded_recording_is_the_last_window_that_all_processes_have(tmp_path):
    out = FirstShardWriter(tmp_path / "run", [SPEC], configuration={}, environment={}, shards=2)
    for first, last in ((1, 0), (1, 2), (3, 4)):
        write(out, first, last)
    out.confirm(1)
    out.close()
    end = json.loads((tmp_path / "run/history/segment-0000/end.json").read_text())
    assert (end["last_window"], end["marks"]) == (1, 2)
