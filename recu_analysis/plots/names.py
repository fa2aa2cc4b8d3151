"""Names from runs as text of a figure: shown letter by letter, never read as mathematics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, findfont, get_font

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.ft2font import FT2Font


def text_of(name: object, longest: int | None = None) -> str:
    """A name as matplotlib shows it letter by letter.

    Dollar signs are escaped. A space comes before a leading underscore, which would hide the name from legends. Control
    characters, and letters that no font of the style has, become their Python escapes.

    Parameters
    ----------
    name : object
        The name of a run, an arm, a layer or a setting.
    longest : int, optional
        Letters that are shown; a longer name loses its middle. By default all.
    """
    text = str(name)
    if longest is not None and len(text) > longest:
        half = (longest - 1) // 2
        text = f"{text[:half]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - half :]}"
    fonts = [get_font(findfont(FontProperties(family=[family]))) for family in mpl.rcParams["font.family"]]
    shown = "".join(letter if _drawable(letter, fonts) else ascii(letter)[1:-1] for letter in text)
    shown = shown.replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def _drawable(letter: str, fonts: Sequence[FT2Font]) -> bool:
    return (letter.isascii() and letter.isprintable()) or any(font.get_char_index(ord(letter)) for font in fonts)
