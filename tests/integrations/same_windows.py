"""Whether a recording by a callback is that of the same training by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from recu_analysis.store.run import Run

QUANTITIES = ("weight", "path", "zpath", "flips", "first_flip", "last_flip")


def assert_same_windows(run: Run, expected: Run) -> None:
    """Two runs of the one layer net.1 have bitwise the same windows, and flips in the last one."""
    assert run.layer_names == expected.layer_names == ["net.1"]
    shape = [(window.first_update, window.last_update, window.partial) for window in expected.windows]
    assert [(window.first_update, window.last_update, window.partial) for window in run.windows] == shape
    for ours, theirs in zip(run.windows, expected.windows, strict=True):
        for quantity in QUANTITIES:
            np.testing.assert_array_equal(getattr(ours["net.1"], quantity), getattr(theirs["net.1"], quantity))
        assert ours["net.1"].summary == theirs["net.1"].summary
    assert run.windows[-1]["net.1"].flips.sum() > 0, "a test without flips would say nothing"
