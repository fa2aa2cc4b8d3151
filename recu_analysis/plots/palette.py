"""Colors, markers and dashes of all plots: distinct for color-blind readers, and in gray."""

from __future__ import annotations

from typing import Any, Final

CORE: Final = "#a3a3a3"
TAIL: Final = "#f6c4ba"
DEAD: Final = "#b2182b"
# One per run, from Okabe and Ito's palette without its reds, which mean dead. Neighbors also differ in gray.
RUN_COLORS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#000000", "#56b4e9")
RUN_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
# A white rim keeps neighboring markers apart.
MARKER_RIM: Final[dict[str, Any]] = {"markeredgecolor": "white", "markeredgewidth": 0.4}
# Dashes that also show in the short line of a legend.
DASHED: Final = (0.0, (3.5, 1.2))
