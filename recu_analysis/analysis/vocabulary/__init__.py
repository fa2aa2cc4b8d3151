"""One entry a statistic: name, label, unit, factor, digits and meaning, for tables, plots, pages and the glossary."""

from __future__ import annotations

from typing import Final

from recu_analysis.analysis.vocabulary.movement import DEAD, FLIPPING, MOVEMENT, SURVIVAL, TRACED
from recu_analysis.analysis.vocabulary.reasons import CAUSES, INTERVENED, PLANNED
from recu_analysis.analysis.vocabulary.rows import COMPARED, COUNTS, LOGGED, TIME, WHERE
from recu_analysis.analysis.vocabulary.states import CLAMP, ERRORS, FITS, LEVELS, TERNARY

#: Every column of the public tables, by its name without endings.
STATISTICS: Final = {
    each.name: each
    for part in (
        WHERE,
        COUNTS,
        TIME,
        PLANNED,
        CAUSES,
        LOGGED,
        DEAD,
        SURVIVAL,
        MOVEMENT,
        FLIPPING,
        FITS,
        CLAMP,
        TERNARY,
        LEVELS,
        ERRORS,
        TRACED,
        INTERVENED,
        COMPARED,
    )
    for each in part
}
#: Columns of sentences; tables in LaTeX omit them by default.
PROSE: Final = frozenset({"claim", "why", "note", "detail"})
