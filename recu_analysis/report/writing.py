"""Write the report to a file, which is complete or not there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from recu_analysis.analysis.arms import labeled
from recu_analysis.analysis.run_arguments import as_runs
from recu_analysis.errors import InputError, kind_of_value
from recu_analysis.report.page import report
from recu_analysis.store.durable import as_store_error, write_text
from recu_analysis.store.places import local

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.run import Run


def write_report(
    runs: SeveralRuns,
    path: str | os.PathLike[str] = "report.html",
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    baseline: SeveralRuns | None = None,
    claims: bool = False,
) -> Path:
    """Write a report about runs: one self-contained HTML page to read, send or print.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        The page shows the labels of a mapping, else the names of the folders.
    path : str or path-like
        File of the page. It is replaced only by a complete page; its folder is created.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, such as "8:13" (without 13), for tables, charts and figures. By default the tables are
        of the final windows, and charts show every window.
    layers : str or sequence of str, optional
        Patterns of layer names.
    baseline : run or path, sequence, or mapping, optional
        Trainings without clamp, for the claims; they are shown too. By default those of `runs` that do not clamp, if
        others do.
    claims : bool
        Test the paper's claims also if no run is of ReCU. They are tested on all layers, in the final windows.

    Returns
    -------
    Path
        The page, of less than 8 MB; large runs are shown in part, and the page says so.

    Raises
    ------
    InputError
        If a value is not a run or path, a run or a label is given twice, or `windows` or `layers` is not valid.
    LayerNotFoundError
        If a pattern matches no layer of a run.
    WindowNotFoundError
        If a run holds no window with updates, or none of the windows.
    StoreError
        If the page cannot be written.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path must be the file of the page, such as 'report.html', not {kind_of_value(path)}")
    page = local(path, "a report")
    shown, others = as_runs(runs), {} if baseline is None else as_runs(baseline)
    text = report(*_told_apart(shown, others), windows=windows, layers=layers, claims=claims)
    with as_store_error(page, "cannot be written"):
        page.parent.mkdir(parents=True, exist_ok=True)
        write_text(page, text)
    return page


def _told_apart(shown: Mapping[str, Run], others: Mapping[str, Run]) -> tuple[Mapping[str, Run], Mapping[str, Run]]:
    """Runs and baseline by unique labels; folders with the same name get longer ends of their paths as labels."""
    if not shown.keys() & others.keys():
        return shown, others
    every = list(labeled([*shown.values(), *others.values()]).items())
    return dict(every[: len(shown)]), dict(every[len(shown) :])
