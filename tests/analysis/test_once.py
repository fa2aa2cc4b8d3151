"""Every array of every window is read once, whatever is asked; memory does not grow with the windows."""

import math
import tracemalloc
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import pandas as pd
import pytest

from recu_analysis import claims, dead_weights, layer_table, open_run
from recu_analysis.analysis import final_windows
from recu_analysis.analysis.claims import claims_query
from recu_analysis.analysis.cohorts import cohorts, transitions
from recu_analysis.analysis.compare import compare_query
from recu_analysis.analysis.deadness import dead_weights_query
from recu_analysis.analysis.differences import curves, layer_differences_query
from recu_analysis.analysis.distance import channel_sums_query, tails, tails_query
from recu_analysis.analysis.fits import fit_table
from recu_analysis.analysis.flips import flip_table, flip_table_query
from recu_analysis.analysis.layers import layer_table_query
from recu_analysis.analysis.magnitude import by_magnitude
from recu_analysis.analysis.mask import signs_changed
from recu_analysis.analysis.measured import measured_tradeoff
from recu_analysis.analysis.parallel import workers
from recu_analysis.analysis.query import answer, gather, gathered
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.figures.print import export, fitting
from recu_analysis.report import embedded_figures, report
from recu_analysis.report import sampling as report_sampling
from recu_analysis.store.tensors import TensorFile
from recu_analysis.store.window import Windows
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.standardize import WeightTransform
from tests.cli_runner import run_cli
from tests.editing import edit_run

SHAPES = {"a": (8, 3, 3, 3), "layer2.0.conv2": (16, 27)}
UPDATES, WINDOWS = 36, 12


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A run that clamps and one that does not, whose autocorrelation falls below 1/2 in some of their windows."""
    folder = tmp_path_factory.mktemp("once")
    for name, clamp in (("recu", True), ("baseline", False)):
        walks = {layer: random_walk(shape, UPDATES, step=0.4, seed=clamp) for layer, shape in SHAPES.items()}
        transform = WeightTransform(center=True, target=2.0, clamp=clamp)
        path = synthetic_run(folder / name, walks, windows=WINDOWS, transform=transform, decay_time=0.04).path
        edit_run(path, configuration={"seed": 0, "recu": clamp})
    return folder


@pytest.fixture
def reads(monkeypatch):
    """How often each array of each file is read, other than by the search for the final windows."""
    counts, searching = Counter(), []
    read, blocks, search = TensorFile.read, TensorFile.blocks, final_windows._find_final_windows

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
    monkeypatch.setattr(final_windows, "_find_final_windows", aside)
    return counts


def assert_once(counts):
    assert counts
    assert {name: count for name, count in counts.items() if count > 1} == {}


ANALYSES = {
    "dead_weights": dead_weights,
    "layer_table": layer_table,
    "layer_table of a range": lambda run: layer_table(run, windows=WindowSpan(3, 9)),
    "tails": tails,
    "flip_table": flip_table,
    "fit_table": fit_table,
    "by_magnitude": by_magnitude,
    "transitions": transitions,
    "cohorts": lambda run: cohorts(run, windows="2:"),
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
    monkeypatch.setattr(embedded_figures, "FIGURES_SHOWN", ("fig2", "magnitude", "fliplaw"))
    # What is drawn of what was read is not of interest here.
    monkeypatch.setattr(fitting, "fit_labels", lambda _: None)
    if arguments[0] == "figures":
        monkeypatch.setattr(export, "export", lambda *_, **__: (tmp_path / "figure.png",))
    places = {"recu": pair / "recu", "baseline": pair / "baseline", "OUT": tmp_path / "out", "OUT.html": tmp_path / "a"}
    done = run_cli(*(places.get(each, each) for each in arguments))
    assert done.exit_code == 0, done.stderr
    assert_once(reads)


def test_a_page_that_shows_some_of_the_windows_reads_every_array_once(pair, reads, monkeypatch):
    monkeypatch.setattr(report_sampling, "MAX_WINDOWS", 5)
    monkeypatch.setattr(embedded_figures, "FIGURES_SHOWN", ("fig2",))
    monkeypatch.setattr(fitting, "fit_labels", lambda _: None)
    report({"recu": open_run(pair / "recu")}, {"baseline": open_run(pair / "baseline")})
    assert_once(reads)


def test_processes_read_a_run_of_which_some_windows_are_looked_at(pair):
    """The windows that another process sees are those of the run that it is asked about, gaps and all."""
    run = open_run(pair / "recu")
    some = replace(run, windows=Windows([run.windows[at] for at in (0, 3, 4, 9)]))
    expected = layer_table(some)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool, workers(pool):
        pd.testing.assert_frame_equal(layer_table(some), expected, check_exact=True)
    assert expected["window"].unique().tolist() == [0, 3, 4, 9]
    revived = expected.groupby("window")["revived_fraction"].count()
    assert revived.tolist() == [0, 0, len(SHAPES), 0], "only of a window that follows on the one before"


def test_the_search_for_final_windows_reads_starts_once_and_the_end_once_a_batch(pair, monkeypatch):
    counts = Counter()
    read = TensorFile.read

    def counting(file, name, *digest):
        counts[file.path.parent.name, name] += 1
        return read(file, name, *digest)

    monkeypatch.setattr(TensorFile, "read", counting)
    run = open_run(pair / "baseline")
    found = final_windows.final_windows(run)
    length = found.span.last - found.span.start + 1
    assert 2 < length < WINDOWS, "several batches, not all windows"
    last = f"window-{WINDOWS:06}"
    ends = [count for (window, _), count in counts.items() if window == last]
    assert max(ends) <= math.ceil(math.log2(length + 1))
    assert {count for (window, _), count in counts.items() if window != last} == {1}
    assert len(counts) < 2 * len(SHAPES) * length, "few windows in vain"


def test_the_fewest_windows_are_found_whatever_the_batches(pair):
    run = open_run(pair / "baseline")
    for windows in range(1, WINDOWS + 1):
        part = type(run)(run.path, run.header, run.windows[: windows + 1], run.segments)
        first = next(
            (
                each
                for each in range(windows, 0, -1)
                if final_windows.null_query(part, run.header.layers, each, windows).run() <= 0.5
            ),
            None,
        )
        found = final_windows.final_windows(part)
        assert found.long == (first is not None)
        if first is not None:
            assert found.span == WindowSpan(first, windows + 1)


def test_answers_together_are_those_alone(pair):
    run, other = open_run(pair / "recu"), open_run(pair / "baseline")
    at, both = WindowSpan(4, 10), {"recu": run, "baseline": other}
    queries = {
        "layer_table": layer_table_query(run),
        "flips": flip_table_query(run),
        "tails": tails_query(run, at),
        "claims": claims_query([run], [other]),
        "dead_weights": dead_weights_query(run, at),
        "compare": compare_query(both),
        "differences": layer_differences_query(both),
    }
    together = gathered(queries).run()
    for name, query in queries.items():
        pd.testing.assert_frame_equal(together[name], query.run(), check_exact=True, obj=name)


def test_memory_does_not_grow_with_the_windows(tmp_path):
    peaks = {}
    walk = random_walk((64, 400), 48, step=0.1)
    for windows in (16, 48):
        run = open_run(synthetic_run(tmp_path / str(windows), {"a": walk}, windows=windows).path)
        at = WindowSpan(1, windows + 1)
        queries = [layer_table_query(run), flip_table_query(run), channel_sums_query(run, at), claims_query([run])]
        tracemalloc.start()
        answer(gather(*queries).leaves)
        peaks[windows] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[48] < 1.15 * peaks[16], peaks
