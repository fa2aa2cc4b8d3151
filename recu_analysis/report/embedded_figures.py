"""Figures of the registry inside the page: a picture of each, which can be saved."""

from __future__ import annotations

import struct
import tempfile
from base64 import b64encode
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.arm_names import experiments
from recu_analysis.analysis.query import gathered
from recu_analysis.errors import InputError
from recu_analysis.figures import FIGURES, figure_query
from recu_analysis.figures.captions import in_plain_text
from recu_analysis.figures.drawing import OWN_PAGE, channels_sentence, write_figure
from recu_analysis.figures.spec import Asked, FigureSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.report.sampling import Sample
    from recu_analysis.store.run import Run

#: The figures of a page, without those that its charts already show. The first that the runs have is beside the answer.
FIGURES_SHOWN = ("fig2", "magnitude", "fliplaw", "fig5")
#: Figures about the method of the paper; they are shown with the claims.
OF_THE_METHOD = ("fig3",)
#: Figures that read every window, which takes too long for runs that are not shown in full.
EVERY_WINDOW = ("fliplaw",)
#: Figures with a panel for each run, and how many panels fit side by side.
PANEL_EACH = ("fig2",)
MAX_PANELS = 2


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure in a page: its name, its texts, its picture as a data URI, and whether it is wide."""

    name: str
    title: str
    caption: str
    png: str
    wide: bool


def figures_query(samples: Mapping[str, Sample], windows: Windows | None, *, method: bool) -> Query[dict[str, Any]]:
    """The query for the data of each figure by name, or why these runs do not have it; see `figure_query`.

    Parameters
    ----------
    samples : mapping of str to Sample
    windows : int, slice, str, WindowSpan or None
        The windows of figures that take windows; None is the figure's own choice.
    method : bool
        Whether the figures about the method are shown too.
    """
    runs = {label: each.run for label, each in samples.items()}
    names = [name for name in (*FIGURES_SHOWN, *(OF_THE_METHOD if method else ())) if _allowed(name, samples)]
    return gathered({name: figure_query(name, _some(name, runs), _asked(name, windows)) for name in names})


def embedded_figures(
    samples: Mapping[str, Sample], found: Mapping[str, Any], windows: Windows | None
) -> tuple[list[Drawing], list[str]]:
    """The figures of these runs, and a sentence for each figure that is left out.

    Parameters
    ----------
    samples : mapping of str to Sample
    found : mapping of str to figure data
        The result of `figures_query`.
    windows : int, slice, str, WindowSpan or None
        As in `figures_query`.

    Returns
    -------
    tuple of list of Drawing and list of str
    """
    runs = {label: each.run for label, each in samples.items()}
    made = []
    missing = [
        f"The figure {name} is left out, since it reads every window; draw it with recu-analyze figures --only {name}."
        for name in FIGURES_SHOWN
        if name not in found
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name, data in found.items():
            some = _some(name, runs)
            try:
                picture, *_ = write_figure(
                    name,
                    some,
                    data,
                    _asked(name, windows),
                    OWN_PAGE,
                    directory=folder,
                    formats=("png",),
                    command="recu-analyze report",
                )
            except (InputError, LookupError) as error:
                missing.append(f"The figure {name} is left out: {error}.")
            else:
                made.append(_drawing(name, data, picture, some, len(some) < len(runs)))
    return made, missing


def _asked(name: str, windows: Windows | None) -> Asked:
    """The windows, if the figure takes any."""
    return Asked(windows=windows if "windows" in FIGURES[name].takes else None)


def _allowed(name: str, samples: Mapping[str, Sample]) -> bool:
    return name not in EVERY_WINDOW or all(each.whole for each in samples.values())


def _some(name: str, runs: dict[str, Run]) -> dict[str, Run]:
    """The runs that fit into a figure; of several arms rather than of one."""
    if name not in PANEL_EACH or len(runs) <= MAX_PANELS:
        return runs
    by_seed = zip_longest(*(arm.runs for arm in experiments(runs).values()))
    labels = [label for labels in by_seed for label in labels if label is not None]
    return {label: runs[label] for label in labels[:MAX_PANELS]}


def _drawing(name: str, data: Any, picture: Path, runs: dict[str, Run], only: bool) -> Drawing:
    entry = FIGURES[name]
    assert isinstance(entry, FigureSpec)  # noqa: S101 - `FIGURES_SHOWN` names no table
    caption = in_plain_text(" ".join([entry.caption, entry.note(data), channels_sentence(runs)]).strip())
    content = picture.read_bytes()
    return Drawing(
        name=name,
        title=f"{entry.title[0].upper()}{entry.title[1:]}",
        caption=f"{caption} Only {' and '.join(runs)}." if only else caption,
        png=f"data:image/png;base64,{b64encode(content).decode()}",
        wide=_is_wide(content),
    )


def _is_wide(picture: bytes) -> bool:
    """Whether a PNG is more than twice as wide as high, by its header."""
    width, height = struct.unpack(">II", picture[16:24])
    return bool(width > 2 * height)
