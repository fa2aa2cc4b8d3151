"""How figures look in print: sizes of the venue and fonts, as a context manager over rcParams."""

from __future__ import annotations

import logging
import math
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import matplotlib as mpl
from matplotlib.figure import Figure
from tueplots import figsizes

from recu_analysis.errors import InputError, unknown

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from matplotlib.axes import Axes

Width: TypeAlias = Literal["column", "page"] | float

#: Wider than a poster, and small enough to be drawn in memory.
MOST_INCHES = 100

# A little higher than the golden ratio, because axis labels and ticks reduce the height, not the width.
_ASPECT: Final = 0.66


@dataclass(frozen=True, slots=True)
class Venue:
    """Where a figure is printed.

    Attributes
    ----------
    column, page : float
        Widths of a text column and of the text of a page, in inches; equal if the page has one column.
    height : float
        Height of the text of a page, in inches. No figure is higher.
    font_size : float
        Font size of labels, in points. Ticks and legends are one point smaller.
    sans : bool
        Whether the font has no serifs, as on slides.
    """

    column: float
    page: float
    height: float
    font_size: float
    sans: bool = False


def _known(layout: Any, whole: Any, height: float, font_size: float, *, sans: bool = False) -> Venue:
    """A venue with widths from tueplots: of the layout of a column and of the whole page."""
    column, page = (round(each()["figure.figsize"][0], 4) for each in (layout, whole))
    return Venue(column, page, height, font_size, sans)


# The heights are those of the classes' text blocks.
VENUES: Final[Mapping[str, Venue]] = {
    # ICCV prints in the template of CVPR.
    "iccv": _known(figsizes.cvpr2024_half, figsizes.cvpr2024_full, 8.875, 8.0),
    "cvpr": _known(figsizes.cvpr2024_half, figsizes.cvpr2024_full, 8.875, 8.0),
    "neurips": _known(figsizes.neurips2024, figsizes.neurips2024, 9.0, 9.0),
    "icml": _known(figsizes.icml2024_half, figsizes.icml2024_full, 9.0, 8.0),
    "iclr": _known(figsizes.iclr2024, figsizes.iclr2024, 9.0, 9.0),
    # IEEEtran: columns of 252 pt, a text of 516 pt by 696 pt.
    "ieee": Venue(column=3.4869, page=7.1399, height=9.63, font_size=8.0),
    # Lecture Notes in Computer Science, the format of ECCV: 122 mm by 193 mm.
    "springer": _known(figsizes.eccv2024, figsizes.eccv2024, 7.6, 8.0),
    "thesis": _known(figsizes.tue_ai_thesis, figsizes.tue_ai_thesis, 8.0, 9.0),
    # A 16:9 slide of LaTeX beamer, 90 mm high: 70 % and all of the text width. Letters without serifs look larger.
    "talk": _known(
        partial(figsizes.beamer_169, rel_width=0.7), partial(figsizes.beamer_169, rel_width=1.0), 2.8, 8.0, sans=True
    ),
}

# Settings of every file: TrueType fonts, text as text, no scaling, the same bytes each time.
OUTPUT: Final[dict[Any, Any]] = {
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "recu-analysis",
    "savefig.bbox": None,
    "savefig.dpi": 300,
}

_LOOK: Final[dict[Any, Any]] = {
    # At fewer dots, letters are rounded to whole pixels, and texts are up to 4 % wider on paper than in the layout.
    "figure.dpi": 300,
    # STIX comes with matplotlib. Its letters are as wide as those of Times, so an SVG looks similar without STIX.
    "font.serif": ["STIXGeneral", "Times New Roman", "Times"],
    "font.sans-serif": ["DejaVu Sans"],
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
    """Size of a figure in print.

    Parameters
    ----------
    width : {"column", "page"} or float
        A width of the venue, or one in inches.
    height : float, optional
        In inches. By default a height that suits `panels` panels side by side.
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
    known_venue(venue)
    known = {"column": VENUES[venue].column, "page": VENUES[venue].page}
    if isinstance(width, str) and width not in known:
        raise InputError(f"a figure's width must be column, page or a number of inches, not {width!r}")
    inches = known[width] if isinstance(width, str) else float(width)
    high = inches / panels * _ASPECT if height is None else float(height)
    if not (0 < inches <= MOST_INCHES and 0 < high <= MOST_INCHES):
        raise InputError(
            f"a figure's width and height must be positive and at most {MOST_INCHES} inches, not {inches:g} and "
            f"{high:g}"
        )
    return inches, high


def known_venue(name: str) -> Venue:
    """The venue of that name; InputError with similar names if there is none."""
    if name not in VENUES:
        raise unknown("venue", name, VENUES)
    return VENUES[name]


@dataclass(frozen=True, slots=True)
class _Print:
    """The settings of the innermost `style`: the venue, and the width that replaces the own width of every figure."""

    venue: str = "iccv"
    width: Width | None = None


_OUTSIDE: Final = _Print()
_PRINT: ContextVar[_Print] = ContextVar("recu_analysis.figures.print.style", default=_OUTSIDE)
# The least width of panels side by side, in inches for text of 8 points. Narrower panels are stacked. Panels that would
# leave an empty place in their last row may be as narrow as the second width.
_NARROWEST: Final = (1.75, 1.3)
# The most height of a row, in inches for text of 8 points: of the only row, of one of two, and of one of more. The only
# row is at least as high as the last number, since labels take as much room in narrow panels.
_HIGHEST: Final = (2.6, 1.7, 1.5)
_LOWEST: Final = 1.9


def current_venue() -> Venue:
    """The venue of the innermost `style`; ICCV outside of a style."""
    return VENUES[_PRINT.get().venue]


@contextmanager
def style(
    width: Width = "column",
    height: float | None = None,
    *,
    venue: str = "iccv",
    every: Width | None = None,
    sheet: str | os.PathLike[str] | None = None,
) -> Iterator[None]:
    """A context in which figures are drawn and saved for print: it sets rcParams, and the venue for `panels`.

    Settings of the user, from matplotlibrc or a style sheet, do not reach these figures.

    Parameters
    ----------
    width, height, venue
        Size and venue of figures without a size of their own, as in `figure_size`.
    every : {"column", "page"} or float, optional
        The width of all figures, also of figures of `panels` with a width of their own.
    sheet : path, optional
        A style sheet of matplotlib, whose settings replace those of the venue.

    Raises
    ------
    InputError
        As `figure_size`, or if the style sheet cannot be read.
    """
    size = figure_size(width if every is None else every, height, venue=venue)
    label, sans = VENUES[venue].font_size, VENUES[venue].sans
    fonts: dict[Any, Any] = {
        # DejaVu Sans, which comes with matplotlib, has the letters that STIX lacks.
        "font.family": ["sans-serif"] if sans else ["serif", "DejaVu Sans"],
        "mathtext.fontset": "dejavusans" if sans else "stix",
        "font.size": label,
        "axes.labelsize": label,
        "axes.titlesize": label,
        "xtick.labelsize": label - 1,
        "ytick.labelsize": label - 1,
        "legend.fontsize": label - 1,
        "legend.title_fontsize": label - 1,
    }
    before = _PRINT.set(_Print(venue, every))
    try:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update({**_LOOK, **OUTPUT, **fonts, "figure.figsize": size} | _settings(sheet))
            yield
    finally:
        _PRINT.reset(before)


def _settings(sheet: str | os.PathLike[str] | None) -> dict[str, Any]:
    """The settings of a style sheet; a setting that matplotlib would skip with a warning is an error."""
    if sheet is None:
        return {}
    with warnings.catch_warnings(), _messages() as messages:
        warnings.simplefilter("error")
        try:
            found = dict(mpl.rc_params_from_file(sheet, use_default_template=False))
        except OSError as error:
            messages.append(error.strerror or str(error))
        except (UnicodeDecodeError, UserWarning) as error:
            messages.append(str(error))
    if messages:
        # matplotlib's advice after the first line is about its own file.
        raise InputError(f"{sheet} is not a style sheet of matplotlib: {messages[0].strip().splitlines()[0]}")
    return {name: value for name, value in found.items() if name != "backend"}


@contextmanager
def _messages() -> Iterator[list[str]]:
    """What matplotlib logs about the settings that it skips."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("matplotlib")
    before = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield found
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def panels(
    count: int, width: Width = "page", aspect: float = _ASPECT, *, together: int | None = None
) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, or in rows if they would be too narrow; call it within `style`.

    pyplot does not know the figure, so it need not be closed.

    Parameters
    ----------
    count : int
        Number of panels, at least 1.
    width : {"column", "page"} or float
        Width of the whole figure, unless the style has a width for all figures.
    aspect : float
        Height of a panel over its width. Rows are lower where the figure would be too high.
    together : int, optional
        How many panels belong together; it divides `count`. They begin a new row, and share it if there is room. By
        default panels are independent, at most three in a row.

    Returns
    -------
    tuple of Figure and list of Axes

    Raises
    ------
    InputError
        As `figure_size`, or if there are too many rows for the page.
    """
    current = _PRINT.get()
    inches, _ = figure_size(width if current.width is None else current.width, venue=current.venue)
    group = together or count
    columns = _columns(inches, group, most=together or 3)
    rows_each = math.ceil(group / columns)
    rows = rows_each * (count // group)
    figure = Figure(figsize=(inches, rows * _row_height(inches / columns * aspect, rows)), layout="constrained")
    grid = figure.add_gridspec(rows, columns)
    places = [divmod(number, group) for number in range(count)]
    cells = [(block * rows_each + at // columns, at % columns) for block, at in places]
    return figure, [figure.add_subplot(grid[row, column]) for row, column in cells]


def _columns(inches: float, group: int, most: int) -> int:
    """How many panels of a group stand side by side; if possible, no place in the last row is empty."""
    usual, narrow = (min(group, most, max(1, int(inches / _scaled(width)))) for width in _NARROWEST)
    if narrow == group and group % usual:
        return group
    full = max(columns for columns in range(1, usual + 1) if group % columns == 0)
    return full if full > 1 else usual


def _row_height(wanted: float, rows: int) -> float:
    venue = current_venue()
    letters = venue.font_size / 8.0
    if venue.height / rows < letters:
        raise rows_do_not_fit(rows)
    least = _LOWEST if rows == 1 else 0.0
    return min(max(wanted, least * letters), _HIGHEST[min(rows, 3) - 1] * letters, venue.height / rows)


def rows_do_not_fit(rows: int) -> InputError:
    """The error that the page is too low for so many rows of panels."""
    return InputError(f"{rows} rows of panels do not fit on the page; give --width page, another --venue or fewer runs")


def _scaled(width: float) -> float:
    """A width for text of 8 points in the venue's size. Letters without serifs are a quarter wider."""
    venue = current_venue()
    return width * venue.font_size / 8.0 * (1.25 if venue.sans else 1.0)
