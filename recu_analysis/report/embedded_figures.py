"""Figures of the registry inside the page: a picture of each, with its print form to download."""

from __future__ import annotations

import struct
import tempfile
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.query import gathered
from recu_analysis.errors import InputError
from recu_analysis.figures import FIGURES, figure_query
from recu_analysis.figures.captions import in_plain_text
from recu_analysis.figures.drawing import FORMATS, OWN_PAGE, write_figure
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from recu_analysis.analysis.query import Query
    from recu_analysis.report.sampling import Sample
    from recu_analysis.store.run import Run

#: The figures of a page, without those that its charts already show.
FIGURES_SHOWN = ("fig5", "fig2", "magnitude", "fliplaw", "fig3")
#: Figures that read every window, which takes too long for runs that are not shown in full.
EVERY_WINDOW = ("fliplaw",)
#: Figures with a panel for each run, and how many panels fit side by side.
PANEL_EACH = ("fig2",)
MAX_PANELS = 2


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure in a page: its name, its texts, its files as data URIs, and whether it is as wide as a paper's page."""

    name: str
    title: str
    caption: str
    png: str
    pdf: str
    wide: bool


def figures_query(samples: Mapping[str, Sample]) -> Query[dict[str, Any]]:
    """The query for the data of each figure by name, or why these runs do not have it; see `figure_query`.

    Parameters
    ----------
    samples : mapping of str to Sample
    """
    runs = {label: each.run for label, each in samples.items()}
    names = [name for name in FIGURES_SHOWN if _allowed(name, samples)]
    return gathered({name: figure_query(name, _some(name, runs)) for name in names})


def embedded_figures(samples: Mapping[str, Sample], found: Mapping[str, Any]) -> tuple[list[Drawing], list[str]]:
    """The figures of these runs, and a sentence for each figure that is left out.

    Parameters
    ----------
    samples : mapping of str to Sample
    found : mapping of str to figure data
        The result of `figures_query`.

    Returns
    -------
    tuple of list of Drawing and list of str
    """
    runs = {label: each.run for label, each in samples.items()}
    made, missing = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name in FIGURES_SHOWN:
            if name not in found:
                missing.append(
                    f"The figure {name} is left out, since it reads every window; draw it with recu-analyze figures "
                    f"--only {name}."
                )
                continue
            some = _some(name, runs)
            try:
                files = write_figure(
                    name,
                    some,
                    found[name],
                    OWN_CHOICE,
                    OWN_PAGE,
                    directory=folder,
                    formats=FORMATS,
                    command="recu-analyze report",
                )
            except (InputError, LookupError) as error:
                missing.append(f"The figure {name} is left out: {error}.")
            else:
                made.append(_drawing(name, files, [] if len(some) == len(runs) else list(some)))
    return made, missing


def _allowed(name: str, samples: Mapping[str, Sample]) -> bool:
    return name not in EVERY_WINDOW or all(each.whole for each in samples.values())


def _some(name: str, runs: dict[str, Run]) -> dict[str, Run]:
    """The runs that fit into a figure."""
    return dict(list(runs.items())[:MAX_PANELS]) if name in PANEL_EACH else runs


def _drawing(name: str, files: tuple[Path, ...], only: list[str]) -> Drawing:
    contents = {file.suffix: b64encode(file.read_bytes()).decode() for file in files[:2]}
    entry = FIGURES[name]
    assert isinstance(entry, FigureSpec)  # noqa: S101 - `FIGURES_SHOWN` names no table
    of_which = f" Only {' and '.join(only)}." if only else ""
    return Drawing(
        name=name,
        title=f"{entry.title[0].upper()}{entry.title[1:]}",
        caption=f"{in_plain_text(entry.caption)}{of_which}",
        png=f"data:image/png;base64,{contents['.png']}",
        wide=_is_wide(files[1]),
        pdf=f"data:application/pdf;base64,{contents['.pdf']}",
    )


def _is_wide(picture: Path) -> bool:
    """Whether a PNG is more than twice as wide as high, by its header."""
    width, height = struct.unpack(">II", picture.read_bytes()[16:24])
    return bool(width > 2 * height)
