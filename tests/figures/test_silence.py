"""Silence over time: epochs where any was marked, else windows."""

from __future__ import annotations

from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.figures.silence import query
from recu_analysis.testing import synthetic_run


def test_windows_without_epoch_are_left_out(tmp_path):
    path = synthetic_run(tmp_path / "run").path
    file = path / "history/segment-0000/metrics.jsonl"
    file.write_text("".join(line + "\n" for line in file.read_text().splitlines()[:3]))
    timed = query({"a": ra.open_run(path)}).run()["a"]
    assert timed.table["epoch"].unique().tolist() == [0, 1, 2]
    assert timed.by_epoch


def test_without_any_epoch_windows_are_counted_and_the_axis_says_so(tmp_path):
    path = synthetic_run(tmp_path / "run").path
    (path / "history/segment-0000/metrics.jsonl").unlink()
    run = ra.open_run(path)
    assert query({"a": run}).run()["a"].table["epoch"].unique().tolist() == [1, 2, 3, 4]
    for plot in (ra.plot_silence, ra.plot_lock_in, ra.plot_heat_map):
        assert plot(run, ax=Figure().subplots()).get_xlabel() == "window"
