"""The figures of the registry as a page holds them: pictures inside the page, each with its print form to download."""

from __future__ import annotations

import tempfile
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recu_analysis.errors import InputError
from recu_analysis.figures import FIGURES, draw_figure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from recu_analysis.report.sampling import Sample

#: The figures of a page, and whether they read every window, which takes too long for runs that are not shown whole.
FIGURES_SHOWN = {"accuracy": False, "fig2": False, "magnitude": False, "silence": True, "fliplaw": True, "fig3": False}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure in a page: its name, words, and its files as data URIs."""

    name: str
    title: str
    caption: str
    png: str
    pdf: str


def drawings(samples: Mapping[str, Sample]) -> tuple[list[Drawing], list[str]]:
    """The figures that these runs allow, and a sentence for each that they do not.

    Parameters
    ----------
    samples : mapping of str to Sample

    Returns
    -------
    tuple of list of Drawing and list of str
    """
    runs = {label: each.run for label, each in samples.items()}
    whole = all(each.whole for each in samples.values())
    made, missing = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, every_window in FIGURES_SHOWN.items():
            if every_window and not whole:
                missing.append(f"The figure {name} reads every window; recu-analyze figures --only {name} draws it.")
                continue
            try:
                files = draw_figure(name, runs, folder, command="recu-analyze report")
            except (InputError, LookupError) as error:
                missing.append(f"The figure {name} is left out: {error}.")
            else:
                made.append(_drawing(name, files))
    return made, missing


def _drawing(name: str, files: tuple[Path, ...]) -> Drawing:
    contents = {file.suffix: b64encode(file.read_bytes()).decode() for file in files[:2]}
    entry = FIGURES[name]
    return Drawing(
        name=name,
        title=f"{entry.title[0].upper()}{entry.title[1:]}",
        caption=plain(entry.caption),
        png=f"data:image/png;base64,{contents['.png']}",
        pdf=f"data:application/pdf;base64,{contents['.pdf']}",
    )


def plain(caption: str) -> str:
    """A caption's mathematics in plain characters."""
    for written, character in (("$", ""), ("\\tau", "τ"), ("\\ln", "ln"), ("^2", "²"), ("^3", "³")):
        caption = caption.replace(written, character)
    return caption
