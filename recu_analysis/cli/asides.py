"""Notes of a table that LaTeX has no room for, and the notes that it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from recu_analysis.analysis.rendering import Column

#: What columns of noise alone hold, where each column has no sentence of its own.
NOISE_ALONE = "noise alone: the same of simulated weights, which only decay, momentum and noise move"
#: Why some of these values are missing.
NOT_KNOWN = "a dash where it is not known, or weights move less or more than it forecasts"


class Aside(str):
    """A sentence that LaTeX leaves out, unless the table has a column that the sentence is about.

    Parameters
    ----------
    text : str
    about : str
        A part of the names of the columns that it is about; empty if it is about none, such as a verdict.
    """

    __slots__ = ("about",)
    about: str

    def __new__(cls, text: str, about: str = "") -> Aside:
        """The sentence, with what it is about."""
        aside = super().__new__(cls, text)
        aside.about = about
        return aside


def of_run(label: str, sentence: str) -> str:
    """A sentence with the label of the run that it is about; an aside stays one."""
    told = f"{label}: {sentence}"
    return Aside(told, sentence.about) if isinstance(sentence, Aside) else told


def in_latex(notes: Iterable[str], rows: pd.DataFrame, columns: Sequence[Column]) -> list[str]:
    """The notes below a table in LaTeX with these rows and columns, each once."""
    names = [column.name for column in columns]
    kept = [
        note
        for note in notes
        if not isinstance(note, Aside) or (note.about and any(note.about in name for name in names))
    ]
    nulls = [name for name in names if name.endswith("_null")]
    dashes = f"; {NOT_KNOWN}" if rows[nulls].isna().any(axis=None) else ""
    return [*dict.fromkeys(kept), *([f"{NOISE_ALONE}{dashes}"] if nulls else [])]
