"""The page: from runs to the text of one HTML file, in which all text from runs is escaped."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
from markupsafe import Markup

from recu_analysis import __version__
from recu_analysis.analysis.claims import claims_query
from recu_analysis.analysis.deadness import dead_weights_query
from recu_analysis.analysis.final_windows import LONG_ENOUGH, FinalWindows, autocorrelation_query, common_final_windows
from recu_analysis.analysis.finite import constant_query
from recu_analysis.analysis.kinds import sides
from recu_analysis.analysis.markup import in_unicode
from recu_analysis.analysis.query import attempt, gather, gathered
from recu_analysis.analysis.rendering import heading, of_claim
from recu_analysis.analysis.selection import moving_windows, select_windows
from recu_analysis.analysis.vocabulary import statistic
from recu_analysis.errors import InputError, RecuError
from recu_analysis.report.charts import chart_query
from recu_analysis.report.embedded_figures import embedded_figures, figures_query
from recu_analysis.report.run_summary import configuration, recorded, unlike, value_text, warnings
from recu_analysis.report.sampling import sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.store.run import Run

#: The columns of the layer table: from `dead_weights`, and the ratio of two of them.
LAYER_COLUMNS = (
    "weights",
    "dead_fraction",
    "silent_fraction_tail",
    "silent_fraction_core",
    "mobility_tail",
    "mobility_core",
    "mobility_ratio",
    "autocorrelation",
)
#: Characters that are escaped inside the script element, since they could end that element or a line.
_ESCAPED = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def report(runs: Mapping[str, Run], baseline: Mapping[str, Run] | None = None) -> str:
    """Make one self-contained HTML page about runs; the same runs give the same page.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels on the page.
    baseline : mapping of str to Run, optional
        Trainings without clamp, for the claims; they are shown too. By default those of `runs` that do not clamp, if
        others do.

    Returns
    -------
    str
        Less than 8 MB; large runs are shown in part, and the page says so.

    Raises
    ------
    InputError
        If there is no run, or two runs have the same label.
    WindowNotFoundError
        If a run holds no window with updates.
    """
    if not runs or set(runs) & set(baseline or {}):
        raise InputError("a report needs at least one run, and a different label for every run")
    everything = {**runs, **(baseline or {})}
    for run in everything.values():
        moving_windows(run)
    clamping, _ = sides(list(runs.values()))
    tested = {label: run for label, run in runs.items() if run in clamping}
    others = {**(baseline or {}), **{label: run for label, run in runs.items() if label not in tested}}
    return _page_query(everything, tested, others).run()


def _page_query(everything: Mapping[str, Run], tested: Mapping[str, Run], others: Mapping[str, Run]) -> Query[str]:
    """The query for all data of the page; its result is the page."""
    samples = sample(everything)
    chosen = common_final_windows({label: each.run for label, each in samples.items()})
    parts = gather(
        gathered({label: dead_weights_query(each.run, chosen[label]) for label, each in samples.items()}),
        gathered({label: _final_query(each.run, chosen[label]) for label, each in samples.items()}),
        gathered({label: constant_query(each.run) for label, each in samples.items()}),
        _claims_query(tested, others),
        chart_query(samples, chosen),
        figures_query(samples),
    )

    def page(found: tuple[Any, ...]) -> str:
        tables, finals, constant, claims, data, figures = found
        drawings, missing = embedded_figures(samples, figures)
        nonfinite = {label: int(table["nonfinite"].sum()) for label, table in tables.items()}
        unvarying = {label: sum(counts.values()) for label, counts in constant.items()}
        return _render(
            title=f"Latent weights of {_listed(everything)}",
            labels=list(everything),
            recorded=recorded(samples),
            configuration=configuration(everything),
            warnings=[*warnings(samples, finals, nonfinite, unvarying), *unlike(tested), *unlike(others)],
            claims={"runs": ", ".join(tested), "baseline": ", ".join(others)} | claims,
            layer_columns=[in_unicode(heading(name)) for name in LAYER_COLUMNS],
            layer_rows=_layer_rows(tables),
            spans=chosen,
            drawings=drawings,
            missing=missing,
            data=data,
        )

    return parts.then(page)


def _listed(labels: Iterable[str]) -> str:
    *first, last = labels
    return f"{', '.join(first)} and {last}" if first else last


def _final_query(run: Run, chosen: WindowSpan) -> Query[FinalWindows]:
    """The query whether the windows chosen for a run are long enough."""
    windows = select_windows(run, chosen)
    autocorrelation = autocorrelation_query(run, run.header.layers, windows[0].number, windows[-1].number)
    return autocorrelation.then(lambda found: FinalWindows(chosen, found, long=found <= LONG_ENOUGH))


def _claims_query(runs: Mapping[str, Run], baseline: Mapping[str, Run]) -> Query[dict[str, Any]]:
    """The query for the claims table as texts, or the reason why there is none."""
    table = attempt(lambda: claims_query(list(runs.values()), list(baseline.values())), RecuError)
    return table.then(_claims)


def _claims(table: pd.DataFrame | RecuError) -> dict[str, Any]:
    if isinstance(table, RecuError):
        return {"rows": [], "why": str(table)}
    rows = [
        row | {"value": of_claim(row["estimate"], row["low"], row["high"])} for row in table.to_dict(orient="records")
    ]
    return {"rows": rows, "why": ""}


def _layer_rows(tables: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """One row per run and layer: names, and numbers with their sort keys."""
    rows = []
    for label, table in tables.items():
        known = table.assign(mobility_ratio=table["mobility_tail"] / table["mobility_core"])
        for row in known.to_dict(orient="records"):
            cells = [_cell(name, float(row[name])) for name in LAYER_COLUMNS]
            rows.append({"run": label, "layer": value_text(row["layer"]), "cells": cells})
    return rows


def _cell(name: str, value: float) -> tuple[str, str]:
    """The text of a cell and its sort key; a dash and an empty key if the value is unknown."""
    known = statistic(name)
    shown_value = known.factor * value
    return ("-", "") if pd.isna(value) else (f"{shown_value:,.{known.digits or 0}f}", f"{shown_value:.9g}")


def embedded(value: Any) -> Markup:
    """JSON that is safe inside a script element: all characters of markup are escaped."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.translate(_ESCAPED))  # noqa: S704 - just made safe


def _render(**content: Any) -> str:
    folder = files("recu_analysis.report")
    style = _asset(folder.joinpath("page.css").read_text(encoding="utf-8"))
    names = ("chart.js", "page.js")
    script = _asset("\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names))
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["embedded"] = embedded
    template = environment.from_string(folder.joinpath("page.html").read_text(encoding="utf-8"))
    return template.render(
        **content, style=style, style_hash=_hash(style), script=script, script_hash=_hash(script), version=__version__
    )


def _asset(text: str) -> Markup:
    """Our own style or script, inserted into the page unchanged."""
    return Markup(f"\n{text}")  # noqa: S704 - from this package


def _hash(text: str) -> str:
    """The hash by which a Content-Security-Policy allows one style or script."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
