"""A table of the paper as LaTeX: reported values and ours in separate columns."""

from __future__ import annotations

import math
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

from recu_analysis.figures.captions import quoted
from recu_analysis.figures.paper_tables import OURS, REPORTED, metrics_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    import pandas as pd

    from recu_analysis.figures.paper_tables import PaperTable


def latex_table(table: PaperTable, data: pd.DataFrame, escape: Callable[[str], str]) -> tuple[str, str]:
    """A table of the paper as a tabular, and its caption.

    Parameters
    ----------
    table : PaperTable
    data : DataFrame
        A table as `paper_table` gives it.
    escape : callable
        Escapes text for LaTeX.
    """
    settings = list(data.loc[data["source"] == OURS, "setting"].unique())
    return _tabular(table, data, settings, escape), _caption(table, settings)


def _tabular(table: PaperTable, data: pd.DataFrame, settings: list[str], escape: Callable[[str], str]) -> str:
    """A tabular with the rules of booktabs: one row per name; reported values, then the settings of ours, if any."""
    shown = [name for name in metrics_of(data) if data[f"{name}_mean"].notna().any()]
    sources = [(REPORTED, ""), *((OURS, setting) for setting in settings)]
    cells = {
        (source, "" if source == REPORTED else row["setting"], *(row[key] for key in table.keys)): row
        for source, rows in data.groupby("source", sort=False)
        for row in rows.to_dict(orient="records")
    }
    names = data[list(table.keys)].drop_duplicates().itertuples(index=False, name=None)
    lines = [
        " & ".join(
            [
                *(_key(text, escape) for text in name),
                *(_cell(cells.get((*source, *name)), metric) for source in sources for metric in shown),
            ]
        )
        for name in names
    ]
    widths = "l" * len(table.keys) + "c" * (len(sources) * len(shown))
    body = [*_header(table, sources, shown), r"\midrule", *(f"{line} \\\\" for line in lines)]
    return "\n".join([f"\\begin{{tabular}}{{{widths}}}", r"\toprule", *body, r"\bottomrule", r"\end{tabular}"])


def _header(table: PaperTable, sources: list[tuple[str, str]], metrics: list[str]) -> list[str]:
    """The header: the source of the values, a rule, and the accuracy."""
    count, first = len(metrics), len(table.keys) + 1
    whose = ["Reported", *(["Ours"] if len(sources) == 2 else [f"Ours ({letter})" for letter in _letters(sources)])]
    groups = [f"\\multicolumn{{{count}}}{{c}}{{{text}}}" for text in whose]
    rules = [f"\\cmidrule(lr){{{first + count * at}-{first + count * (at + 1) - 1}}}" for at in range(len(sources))]
    return [
        " & ".join([*([""] * len(table.keys)), *groups]) + r" \\",
        "".join(rules),
        " & ".join([*table.keys.values(), *(f"top-{name.removeprefix('top')}" for _ in sources for name in metrics)])
        + r" \\",
    ]


def _letters(sources: list[tuple[str, str]]) -> str:
    return ascii_lowercase[: len(sources) - 1]


def _key(text: str, escape: Callable[[str], str]) -> str:
    return text.replace("sqrt(2)", r"$\sqrt{2}$") if "sqrt" in text else escape(text)


def _cell(row: Mapping[Hashable, Any] | None, metric: str) -> str:
    """Mean and standard deviation; for our values also the number of seeds. Empty if nothing was measured."""
    if row is None or math.isnan(row[f"{metric}_mean"]):
        return ""
    ours = row["source"] == OURS
    deviation = row[f"{metric}_std"]
    digits = 2 if ours or not math.isnan(deviation) else 1
    spread = "" if math.isnan(deviation) else f" \\pm {deviation:.2f}"
    return f"${row[f'{metric}_mean']:.{digits}f}{spread}$" + (f" ({row['seeds']:.0f})" if ours else "")


def _caption(table: PaperTable, settings: list[str]) -> str:
    opening = (
        f"Validation accuracy (%), {table.title}. Reported: values of Xu et al. (ICCV 2021), {table.reported_on}, not "
        "measured by us."
    )
    if not settings:
        return f"{opening} No value of ours is shown, because no run belongs to this table. To add one, {table.how}."
    named = [quoted(text) for text in settings]
    own = named if len(named) == 1 else [f"({a}) {text}" for a, text in zip(ascii_lowercase, named, strict=False)]
    return (
        f"{opening} Ours: {'; '.join(own)}. Values of the last epoch: mean and standard deviation over seeds, and the "
        "number of seeds in parentheses. An empty cell was not measured. Data and lengths of training differ: do not "
        "compare across columns."
    )
