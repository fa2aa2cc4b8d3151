"""The heading of a table: which windows, epochs and updates it was taken over."""

import pytest

import recu_analysis as ra
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.analysis.window_text import end_text, windows_text
from recu_analysis.errors import WindowNotFoundError
from recu_analysis.testing import synthetic_run

SHIPPED = "checkpoints/fashion/recu-0"


def test_windows_epochs_and_updates(run, tmp_path):
    shipped = ra.open_run(SHIPPED)  # windows 4, 8 and 12, of four epochs each
    texts = {
        (5, 13): "windows 8 and 12, epochs 4 to 11, 3,752 updates",
        (0, 5): "window 4, epochs 0 to 3, 1,876 updates",
        (4, 13): "windows 4, 8 and 12, epochs 0 to 11, 5,628 updates",
    }
    for bounds, text in texts.items():
        assert windows_text(shipped, WindowSpan(*bounds)) == text
    assert windows_text(run, WindowSpan(2, 3)) == f"window 2, epoch 1, {run.window(2).updates} updates"
    assert end_text(shipped, 8) == "window 8, epoch 7, update 3,752"
    assert end_text(shipped, 0) == "window 0, update 0"
    with pytest.raises(WindowNotFoundError, match="no updates"):
        windows_text(run, WindowSpan(0, 1))
    unmarked = synthetic_run(tmp_path / "run").path
    for file in unmarked.glob("history/*/metrics.jsonl"):
        file.unlink()
    assert windows_text(ra.open_run(unmarked), WindowSpan(1, 3)).startswith("windows 1 to 2, ")
    assert "epoch" not in windows_text(ra.open_run(unmarked), WindowSpan(1, 3))
