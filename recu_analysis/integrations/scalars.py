"""Scalars per layer and window for a dashboard, and a logger that follows a run while it is recorded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from recu_analysis.analysis.layers import layer_table
from recu_analysis.errors import unknown
from recu_analysis.store.places import as_place
from recu_analysis.store.run import open_run

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window

#: Columns of `recu_analysis.layer_table` that are logged by default.
COLUMNS = (
    "mobility",
    "mobility_tail",
    "flip_ratio",
    "silent_fraction",
    "dead_fraction",
    "autocorrelation",
    "update_magnitude",
    "b_hat",
)
#: Further columns that can be logged.
OTHERS = (
    "tau",
    "quantile",
    "clamped_fraction",
    "alpha",
    "qe_measured",
    "qe_exact",
    "qe_printed",
    "entropy",
    "entropy_bound",
    "sign_entropy",
    "gennorm_shape",
    "ks_laplace",
    "update_magnitude_tail",
    "update_magnitude_core",
    "mobility_core",
    "flip_ratio_tail",
    "flip_ratio_core",
    "silent_fraction_tail",
    "silent_fraction_core",
    "still_fraction",
    "tail_fraction",
    "net_displacement",
    "c2i",
    "lr",
    "lr_decay",
    "decay_time",
    "nonfinite",
    "constant_channels",
)


def scalars(
    run: Run, window: Window, columns: Sequence[str] = COLUMNS, layers: Sequence[str] | str | None = None
) -> dict[str, float]:
    """Numbers of one window of a run, named ``column/layer``, without NaN and infinity.

    Parameters
    ----------
    run : Run
    window : Window
        A window with updates. It, the state before it and the state of window 0 are read, one layer at a time.
    columns : sequence of str
        Columns of `recu_analysis.layer_table`.
    layers : str or sequence of str, optional
        Patterns of layer names.

    Returns
    -------
    dict of str to float

    Raises
    ------
    InputError, LayerNotFoundError, WindowNotFoundError
        If a column is not known, a pattern matches no layer, or the window before is missing.
    """
    check_columns(columns)
    table = layer_table(run, windows=window.number, layers=layers)
    values = {
        f"{column}/{layer}": float(value)
        for column in columns
        for layer, value in zip(table["layer"], table[column], strict=True)
    }
    return {name: value for name, value in values.items() if math.isfinite(value)}


def check_columns(columns: Sequence[str]) -> None:
    """Raise InputError if one of the columns cannot be logged."""
    for column in columns:
        if column not in {*COLUMNS, *OTHERS}:
            raise unknown("column to log", column, (*COLUMNS, *OTHERS))


class WindowLogger:
    """Sends each window of a run to a dashboard once, also while the run is being recorded.

    Parameters
    ----------
    run_dir : str or path-like
        The run directory; it may be created later.
    send : callable
        Called with the number of a window's last update and its `scalars`.
    columns, layers
        As for `scalars`.
    after : int
        Skip windows that end at or before this update, which a resumed training has already sent.

    Raises
    ------
    InputError
        If a column cannot be logged.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        send: Callable[[int, Mapping[str, float]], object],
        columns: Sequence[str] = COLUMNS,
        *,
        layers: Sequence[str] | str | None = None,
        after: int = 0,
    ) -> None:
        check_columns(columns)
        self._run_dir, self._send = as_place(run_dir), send
        self._columns, self._layers, self._after = columns, layers, after
        self._sent: set[tuple[int, int]] = set()

    def update(self) -> int:
        """Send the windows on disk that were not sent yet, one at a time; return their number.

        Windows without updates, such as the initial state, have no movement and are skipped. A window is on disk
        shortly after its mark. `Recorder.flush` waits for it; otherwise the next call sends it.

        Raises
        ------
        NotARunError
            If there is no run in the folder.
        RecuError
            As in `scalars`.
        """
        run = open_run(self._run_dir)
        new = [window for window in run.windows if self._is_new(window)]
        for window in new:
            self._send(window.last_update, scalars(run, window, self._columns, self._layers))
            self._sent.add((window.header.segment, window.number))
        return len(new)

    def _is_new(self, window: Window) -> bool:
        sent = (window.header.segment, window.number) in self._sent
        return window.updates > 0 and window.last_update > self._after and not sent
