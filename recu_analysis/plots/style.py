"""How figures look in print: sizes of the venue, fonts, colours, as a context manager over rcParams."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import matplotlib as mpl
from matplotlib.figure import Figure

from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matplotlib.axes import Axes

Width: TypeAlias = Literal["column", "page"] | float

CORE: Final = "#a3a3a3"
TAIL: Final = "#f6c4ba"
DEAD: Final = "#b2182b"
# One run each, from Okabe and Ito's palette without its reds, which mean dead; neighbours differ in grey too.
RUN_COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#000000", "#56b4e9")
RUN_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
# A white rim keeps neighbouring markers apart.
MARKER_RIM: Final[dict[str, Any]] = {"markeredgecolor": "white", "markeredgewidth": 0.4}
# Dashes that also show in the short line of a legend.
DASHED: Final = (0.0, (3.5, 1.2))

# Panels are a little higher than golden: axis labels and ticks take from the height, not from the width.
_ASPECT: Final = 0.66


@dataclass(frozen=True, slots=True)
class Venue:
    """Where a figure is printed.

    Attributes
    ----------
    column, page : float
        Widths of the text column and of the whole page's text, in inches; equal where there is one column.
    font_size : float
        Of labels, in points; ticks and legends are one point smaller.
    """

    column: float
    page: float
    font_size: float


VENUES: Final[Mapping[str, Venue]] = {
    "iccv": Venue(column=3.25, page=6.875, font_size=8.0),
    "thesis": Venue(column=5.9, page=5.9, font_size=9.0),
}

# How a file is written, whatever it shows: TrueType fonts, text as text, no scaling, the same bytes each time.
OUTPUT: Final[dict[Any, Any]] = {
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "recu-analysis",
    "savefig.bbox": None,
    "savefig.dpi": 300,
}

_LOOK: Final[dict[Any, Any]] = {
    # STIX ships with matplotlib and has the widths of Times: a browser that lacks it shows an SVG nearly alike.
    "font.family": "serif",
    "font.serif": ["STIXGeneral", "Times New Roman", "Times"],
    "mathtext.fontset": "stix",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.wspace": 0.06,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlepad": 4.0,
    "axes.labelpad": 3.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.handletextpad": 0.5,
    "legend.labelspacing": 0.3,
    "legend.borderaxespad": 0.2,
}


def figure_size(
    width: Width = "column", height: float | None = None, *, panels: int = 1, venue: str = "iccv"
) -> tuple[float, float]:
    """Size of a figure as it is printed.

    Parameters
    ----------
    width : {"column", "page"} or float
        A width of the venue, or one in inches.
    height : float, optional
        In inches; by default what suits `panels` panels side by side.
    panels : int
        Number of panels side by side, at least 1.
    venue : str
        A key of `VENUES`.

    Returns
    -------
    tuple of float
        Width and height in inches.

    Raises
    ------
    InputError
        If the venue or the width's name is unknown, or a size is not positive.
    """
    if venue not in VENUES:
        raise InputError(f"no venue is called {venue!r}; known are {', '.join(VENUES)}")
    known = {"column": VENUES[venue].column, "page": VENUES[venue].page}
    if isinstance(width, str) and width not in known:
        raise InputError(f"a figure's width is column, page or a number of inches, not {width!r}")
    inches = known[width] if isinstance(width, str) else float(width)
    high = inches / panels * _ASPECT if height is None else float(height)
    if not (inches > 0 and high > 0):
        raise InputError(f"a figure's width and height must be positive, not {inches:g} and {high:g} inches")
    return inches, high


@contextmanager
def style(width: Width = "column", height: float | None = None, *, venue: str = "iccv") -> Iterator[None]:
    """Within this context figures are drawn and saved for print; it sets rcParams and nothing else.

    Parameters
    ----------
    width, height, venue
        Of figures that do not give their own size, as `figure_size` takes them.

    Raises
    ------
    InputError
        As `figure_size`.
    """
    size = figure_size(width, height, venue=venue)
    label = VENUES[venue].font_size
    fonts: dict[Any, Any] = {
        "font.size": label,
        "axes.labelsize": label,
        "axes.titlesize": label,
        "xtick.labelsize": label - 1,
        "ytick.labelsize": label - 1,
        "legend.fontsize": label - 1,
        "legend.title_fontsize": label - 1,
    }
    with mpl.rc_context({**_LOOK, **OUTPUT, **fonts, "figure.figsize": size}):
        yield


def panels(
    count: int, width: Width = "page", height: float | None = None, *, venue: str = "iccv"
) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side; call it within `style`.

    The figure is not pyplot's: nothing has to close it.

    Parameters
    ----------
    count : int
        Number of panels, at least 1.
    width, height, venue
        Of the whole figure, as `figure_size` takes them.

    Returns
    -------
    tuple of Figure and list of Axes

    Raises
    ------
    InputError
        As `figure_size`.
    """
    figure = Figure(figsize=figure_size(width, height, panels=count, venue=venue), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])
