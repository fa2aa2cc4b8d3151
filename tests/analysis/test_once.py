"""Every array of every window is read once, whatever is asked; memory does not grow with the windows."""

import math
import tracemalloc
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from recu_analysis import claims, dead_weights, layer_table, open_run
from recu_analysis.analysis import horizon
from recu_analysis.analysis.claims import asked_claims
from recu_analysis.analysis.cohorts import cohorts, transitions
from recu_analysis.analysis.compare import compare
from recu_analysis.analysis.deadness import asked_dead_weights
from recu_analysis.analysis.differences import curves, layer_differences
from recu_analysis.analysis.distance import asked_sums, asked_tails, tails
from recu_analysis.analysis.engine import Asked, ahead, answering, ask, over
from recu_analysis.analysis.fits import fit_table
from recu_analysis.analysis.flips import asked_flips, flip_table
from recu_analysis.analysis.layers import asked_layer_table
from recu_analysis.analysis.magnitude import by_magnitude
from recu_analysis.analysis.mask import signs_changed
from recu_analysis.analysis.measured import measured_tradeoff
from recu_analysis.analysis.parallel import processes
from recu_analysis.analysis.selection import WindowRange
from recu_analysis.cli import cli
from recu_analysis.errors import InputError
from recu_analysis.plots import export, fitting
from recu_analysis.report import drawings as report_drawings
from recu_analysis.report import report
from recu_analysis.report import sampling as report_sampling
from recu_analysis.store.tensors import TensorFile
from recu_analysis.store.window import Windows
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.standardize import WeightTransform
from tests.editing import edit_run

SHAPES = {"a": (8, 3, 3, 3), "layer2.0.conv2": (16, 27)}
UPDATES, WINDOWS = 36, 12


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A run that clamps and one that does not, whose memory falls below 1/2 in some of their windows."""
    folder = tmp_path_factory.mktemp("once")
    for name, clamp in (("recu", True), ("baseline", False)):
        walks = {layer: random_walk(shape, UPDATES, step=0.4, seed=clamp) for layer, shape in SHAPES.items()}
        transform = WeightTransform(center=True, target=2.0, clamp=clamp)
        path = synthetic_run(folder / name, walks, windows=WINDOWS, transform=transform).path
        edit_run(path, configuration={"seed": 0, "recu": clamp})
    return folder


@pytest.fixture
def reads(monkeypatch):
    """How often each array of each file is read, other than by the search for the final stretch."""
    counts, searching = Counter(), []
    read, blocks, search = TensorFile.read, TensorFile.blocks, horizon._find_final_stretch

    def counting(original):
        def wrapped(file, name, *digest):
            counts[file.path.parent.parent.parent.parent.name, file.path.parent.name, name] += not searching
            return original(file, name, *digest)

        return wrapped

    def aside(run):
        searching.append(run)
        try:
            return search(run)
        finally:
            searching.pop()

    monkeypatch.setattr(TensorFile, "read", counting(read))
    monkeypatch.setattr(TensorFile, "blocks", counting(blocks))
    monkeypatch.setattr(horizon, "_find_final_stretch", aside)
    return counts


def assert_once(counts):
    assert counts
    assert {name: count for name, count in counts.items() if count > 1} == {}


ANALYSES = {
    "dead_weights": dead_weights,
    "layer_table": layer_table,
    "layer_table of a range": lambda run: layer_table(run, window=WindowRange(3, 8)),
    "tails": tails,
    "flip_table": flip_table,
    "fit_table": fit_table,
    "by_magnitude": by_magnitude,
    "transitions": transitions,
    "cohorts": lambda run: cohorts(run, 2),
    "measured_tradeoff": measured_tradeoff,
    "signs_changed": signs_changed,
    "claims": claims,
    "curves": lambda run: curves({"run": run}),
}


@pytest.mark.parametrize("name", ANALYSES)
def test_an_analysis_reads_every_array_once(name, pair, reads):
    ANALYSES[name](open_run(pair / "baseline"))
    assert_once(reads)


@pytest.mark.parametrize(
    "arguments",
    [
        ["dead-weights", "recu"],
        ["updates", "recu"],
        ["flips", "recu"],
        ["fit", "recu"],
        ["claims", "recu", "--baseline", "baseline"],
        ["compare", "recu", "baseline"],
        ["compare", "recu", "baseline", "--by-layer"],
        ["compare", "recu", "baseline", "--curves"],
        ["compare", "recu", "baseline", "--seeds"],
        ["figures", "recu", "baseline", "--format", "png", "-o", "OUT"],
        ["report", "recu", "--baseline", "baseline", "-o", "OUT.html"],
    ],
    ids=" ".join,
)
def test_a_command_reads_every_array_once(arguments, pair, reads, tmp_path, monkeypatch):
    monkeypatch.setattr(report_drawings, "FIGURES_SHOWN", ("fig2", "magnitude", "fliplaw"))
    # What is drawn of what was read is not of interest here.
    monkeypatch.setattr(fitting, "fit_labels", lambda _: None)
    if arguments[0] == "figures":
        monkeypatch.setattr(export, "export", lambda *_, **__: (tmp_path / "figure.png",))
    places = {"recu": pair / "recu", "baseline": pair / "baseline", "OUT": tmp_path / "out", "OUT.html": tmp_path / "a"}
    result = CliRunner().invoke(cli, [str(places.get(each, each)) for each in arguments], prog_name="recu-analyze")
    assert result.exit_code == 0, result.output
    assert_once(reads)


def test_a_page_that_shows_some_of_the_windows_reads_every_array_once(pair, reads, monkeypatch):
    monkeypatch.setattr(report_sampling, "MAX_WINDOWS", 5)
    monkeypatch.setattr(report_drawings, "FIGURES_SHOWN", ("fig2",))
    monkeypatch.setattr(fitting, "fit_labels", lambda _: None)
    report({"recu": open_run(pair / "recu")}, {"baseline": open_run(pair / "baseline")})
    assert_once(reads)


def test_processes_read_a_run_of_which_some_windows_are_looked_at(pair):
    """The windows that another process sees are those of the run that it is asked about, gaps and all."""
    run = open_run(pair / "recu")
    some = replace(run, windows=Windows([run.windows[at] for at in (0, 3, 4, 9)]))
    expected = layer_table(some)
    with processes(2):
        pd.testing.assert_frame_equal(layer_table(some), expected, check_exact=True)
    assert expected["window"].unique().tolist() == [0, 3, 4, 9]
    revived = expected.groupby("window")["revived_fraction"].count()
    assert revived.tolist() == [0, 0, len(SHAPES), 0], "only of a window that follows on the one before"


def test_the_search_for_a_stretch_reads_starts_once_and_the_end_once_a_batch(pair, monkeypatch):
    counts = Counter()
    read = TensorFile.read

    def counting(file, name, *digest):
        counts[file.path.parent.name, name] += 1
        return read(file, name, *digest)

    monkeypatch.setattr(TensorFile, "read", counting)
    run = open_run(pair / "baseline")
    stretch = horizon.final_stretch(run)
    length = stretch.range.last - stretch.range.first + 1
    assert 2 < length < WINDOWS, "several batches, not all windows"
    last = f"window-{WINDOWS:06}"
    ends = [count for (window, _), count in counts.items() if window == last]
    assert max(ends) <= math.ceil(math.log2(length + 1))
    assert {count for (window, _), count in counts.items() if window != last} == {1}
    assert len(counts) < 2 * len(SHAPES) * length, "few windows in vain"


def test_the_shortest_stretch_is_found_whatever_the_batches(pair):
    run = open_run(pair / "baseline")
    for windows in range(1, WINDOWS + 1):
        part = type(run)(run.path, run.header, run.windows[: windows + 1], run.segments)
        first = next(
            (
                each
                for each in range(windows, 0, -1)
                if horizon.memory_between(part, run.header.layers, each, windows) <= 0.5
            ),
            None,
        )
        found = horizon.final_stretch(part)
        assert found.long == (first is not None)
        if first is not None:
            assert found.range == WindowRange(first, windows)


def test_answers_together_are_those_alone(pair):
    run, other = open_run(pair / "recu"), open_run(pair / "baseline")
    at = WindowRange(4, 9)
    analyses = {
        "layer_table": lambda: layer_table(run),
        "flips": lambda: flip_table(run),
        "tails": lambda: tails(run, window=at),
        "claims": lambda: claims(run, other),
        "dead_weights": lambda: dead_weights(run, window=at),
        "compare": lambda: compare({"recu": run, "baseline": other}),
        "differences": lambda: layer_differences({"recu": run, "baseline": other}),
    }
    alone = {name: analysis() for name, analysis in analyses.items()}
    asked = [asked_flips(run), asked_layer_table(run), asked_tails(run, at), *asked_claims(run, other)]
    with answering([*asked, asked_dead_weights(run, at)]):
        for name, analysis in analyses.items():
            pd.testing.assert_frame_equal(analysis(), alone[name], check_exact=True, obj=name)


def ends_of(run, spec, number):
    last = (yield ahead(run.windows[-1])).end.sum()
    first = (yield over([run.windows[number]], {"end"})).end.sum()
    return float(first), float(last)


def refusing(run, spec, number):
    yield over([run.windows[number]], {"end"})
    raise InputError(f"nothing of {spec.name}")


def backwards(run, spec):
    yield over([run.windows[3]], {"end"})
    yield over([run.windows[2]], {"end"})


def test_a_state_can_be_had_ahead_of_its_turn(pair):
    run = open_run(pair / "recu")
    found = ask(Asked(run, run.header.layers, ends_of, (3,)))
    for spec, (first, last) in zip(run.header.layers, found, strict=True):
        assert first == run.windows[3][spec.name].weight.sum()
        assert last == run.windows[-1][spec.name].weight.sum()


def test_a_question_that_fails_leaves_the_others_their_answers(pair):
    run = open_run(pair / "recu")
    bad, good = Asked(run, run.header.layers, refusing, (2,)), Asked(run, run.header.layers, ends_of, (5,))
    with answering([bad, good]):
        assert len(ask(good)) == len(SHAPES)
        with pytest.raises(InputError, match="nothing of a"):
            ask(bad)


def changing(run, spec):
    record = yield over(run.windows[1:3], {"zpath", "silent", "start"})
    for shared in (record.zpath, record.silent, record.start, record.z_start):
        with pytest.raises(ValueError, match="read-only"):
            shared[...] = 0
    return True


def test_what_questions_share_cannot_be_changed(pair):
    run = open_run(pair / "recu")
    assert ask(Asked(run, run.header.layers, changing)) == [True, True]


def test_a_question_cannot_go_back(pair):
    run = open_run(pair / "recu")
    with pytest.raises(AssertionError, match="went by"):
        ask(Asked(run, run.header.layers, backwards))


def test_memory_does_not_grow_with_the_windows(tmp_path):
    peaks = {}
    walk = random_walk((64, 400), 48, step=0.1)
    for windows in (6, 48):
        run = open_run(synthetic_run(tmp_path / str(windows), {"a": walk}, windows=windows).path)
        at = WindowRange(1, windows)
        asked = [asked_layer_table(run), asked_flips(run), asked_sums(run, at), *asked_claims(run)]
        tracemalloc.start()
        with answering(asked):
            pass
        peaks[windows] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[48] < 1.15 * peaks[6], peaks
    assert np.isfinite(peaks[6])
