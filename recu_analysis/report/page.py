"""The page: from runs to the text of one HTML file, in which all text from runs is escaped."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
from markupsafe import Markup

from recu_analysis.analysis.arm_names import experiments
from recu_analysis.analysis.channel_errors import channel_errors_query, standard_errors
from recu_analysis.analysis.claims import claims_query
from recu_analysis.analysis.column_names import statistic
from recu_analysis.analysis.deadness import dead_weights_query
from recu_analysis.analysis.final_windows import LONG_ENOUGH, FinalWindows, common_final_windows, null_query
from recu_analysis.analysis.finite import constant_query
from recu_analysis.analysis.kinds import Kind, kind_of, sides
from recu_analysis.analysis.markup import in_unicode
from recu_analysis.analysis.query import attempt, gather, gathered, value
from recu_analysis.analysis.rendering import of_claim
from recu_analysis.analysis.selection import moving_windows, select_windows, span_of
from recu_analysis.analysis.window_text import windows_text
from recu_analysis.errors import InputError, RecuError
from recu_analysis.report.answer import answer, next_steps
from recu_analysis.report.charts import chart_query
from recu_analysis.report.embedded_figures import embedded_figures, figures_query
from recu_analysis.report.lines import LAYER_WIDTH, RUN_WIDTH, lines, names
from recu_analysis.report.run_summary import configuration, recorded, unlike, warnings
from recu_analysis.report.sampling import sample
from recu_analysis.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows, WindowSpan
    from recu_analysis.report.lines import Line, Name
    from recu_analysis.report.sampling import Sample
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
#: The title names at most this many runs.
MOST_IN_TITLE = 3
#: Characters that are escaped inside the script element, since they could end that element or a line.
_ESCAPED = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def report(
    runs: Mapping[str, Run],
    baseline: Mapping[str, Run] | None = None,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    claims: bool = False,
) -> str:
    """Make one self-contained HTML page about runs; the same runs give the same page.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels on the page.
    baseline : mapping of str to Run, optional
        Trainings without clamp, for the claims; they are shown too. By default those of `runs` that do not clamp, if
        others do.
    windows, layers, claims
        As in `recu_analysis.write_report`.

    Returns
    -------
    str
        Less than 8 MB; large runs are shown in part, and the page says so.

    Raises
    ------
    InputError
        If there is no run, two runs have the same label, or `windows` or `layers` is not valid.
    LayerNotFoundError
        If a pattern matches no layer of a run.
    WindowNotFoundError
        If a run holds no window with updates, or none of the windows.
    """
    if not runs or set(runs) & set(baseline or {}):
        raise InputError("a report needs at least one run, and a different label for every run")
    everything = {**runs, **(baseline or {})}
    for run in everything.values():
        moving_windows(run)
    clamping, _ = sides(list(runs.values()))
    tested = {label: run for label, run in runs.items() if run in clamping}
    others = {**(baseline or {}), **{label: run for label, run in runs.items() if label not in tested}}
    method = any(kind_of(run) is Kind.RECU for run in everything.values())
    return _page_query(_Page(everything, tested, others, windows, layers, method, claims or method)).run()


@dataclass(frozen=True, slots=True)
class _Page:
    """What a page is about: all runs, those that are tested and their baseline, and what was asked for.

    `method` is whether a run is of ReCU, `claims` whether the paper's claims are shown.
    """

    runs: Mapping[str, Run]
    tested: Mapping[str, Run]
    others: Mapping[str, Run]
    windows: Windows | None
    layers: Sequence[str] | str | None
    method: bool
    claims: bool


def _page_query(asked: _Page) -> Query[str]:
    """The query for all data of the page; its result is the page."""
    samples = sample(asked.runs, asked.windows, asked.layers)
    runs = {label: each.run for label, each in samples.items()}
    chosen = _spans(asked.runs, asked.windows)  # of whole networks, also where the page shows some layers
    shown = lines(runs)
    parts = gather(
        gathered({label: dead_weights_query(run, chosen[label]) for label, run in runs.items()}),
        gathered(
            {label: channel_errors_query(run, chosen[label]).then(standard_errors) for label, run in runs.items()}
        ),
        gathered({label: _final_query(run, chosen[label]) for label, run in runs.items()}),
        gathered({label: constant_query(run) for label, run in runs.items()}),
        _claims_query(asked),
        chart_query(samples, shown, chosen),
        figures_query(samples, asked.windows, method=asked.claims),
    )
    return parts.then(lambda found: _page(asked, samples, shown, found))


def _page(asked: _Page, samples: Mapping[str, Sample], shown: Sequence[Line], found: tuple[Any, ...]) -> str:
    """The page, from the answers of its query."""
    tables, errors, finals, constant, claims, data, figures = found
    runs = {label: each.run for label, each in samples.items()}
    arms = experiments(runs)
    drawings, missing = embedded_figures(samples, figures, asked.windows)
    nonfinite = {label: int(table["nonfinite"].sum()) for label, table in tables.items()}
    unvarying = {label: sum(counts.values()) for label, counts in constant.items()}
    for line, each in zip(shown, data["runs"], strict=True):
        each["short"] = not all(finals[label].long for label in line.runs)
    return _render(
        title=_title(shown),
        answer=answer(arms, tables, finals, errors),
        steps=next_steps(
            arms,
            tables,
            finals,
            lacks_baseline=asked.method and not asked.others,
            windows_chosen=asked.windows is not None,
        ),
        lines=shown,
        recorded=recorded(samples, shown),
        configuration=configuration(asked.runs, shown),
        warnings=warnings(samples, nonfinite, unvarying),
        claims=claims,
        pooling=[*unlike(asked.tested), *unlike(asked.others)],
        tested=names(asked.tested, RUN_WIDTH),
        baseline=names(asked.others, RUN_WIDTH),
        columns=[statistic(name) for name in LAYER_COLUMNS],
        layer_rows=_layer_rows(tables, shown),
        windows=_windows(runs, {label: final.span for label, final in finals.items()}),
        drawings=drawings,
        missing=missing,
        data=data,
    )


def _spans(runs: Mapping[str, Run], windows: Windows | None) -> dict[str, WindowSpan]:
    """The windows of the tables by run: those that were chosen, else final windows."""
    if windows is None:
        return common_final_windows(runs)
    return {label: span_of(run, windows) for label, run in runs.items()}


def _title(shown: Sequence[Line]) -> str:
    """The title with the names of the runs; with their number if there are many."""
    every = [label for line in shown for label in line.runs]
    if len(every) > MOST_IN_TITLE:
        arms = f" in {len(shown)} arms" if len(shown) < len(every) else ""
        return f"Latent weights of {len(every)} runs{arms}"
    *first, last = (line.name.short for line in shown)
    return f"Latent weights of {', '.join(first)} and {last}" if first else f"Latent weights of {last}"


def _windows(runs: Mapping[str, Run], spans: Mapping[str, WindowSpan]) -> list[tuple[str, list[Name]]]:
    """The windows of the tables in words, each with its runs."""
    found: dict[str, list[Name]] = {}
    for name in names(runs, RUN_WIDTH):
        found.setdefault(windows_text(runs[name.full], spans[name.full]), []).append(name)
    return list(found.items())


def _final_query(run: Run, chosen: WindowSpan) -> Query[FinalWindows]:
    """The query whether the windows chosen for a run are long enough."""
    windows = select_windows(run, chosen)
    null = null_query(run, run.header.layers, windows[0].number, windows[-1].number)
    return null.then(lambda found: FinalWindows(chosen, found, long=found <= LONG_ENOUGH))


def _claims_query(asked: _Page) -> Query[dict[str, Any] | None]:
    """The query for the claims table as texts, or the reason why there is none; None if claims are not shown."""
    if not asked.claims:
        return value(None)
    tested, others = list(asked.tested.values()), list(asked.others.values())
    return attempt(lambda: claims_query(tested, others), RecuError).then(_claims)


def _claims(table: pd.DataFrame | RecuError) -> dict[str, Any]:
    if isinstance(table, RecuError):
        return {"rows": [], "why": str(table)}
    rows = [
        row | {"value": of_claim(row["estimate"], row["low"], row["high"])} for row in table.to_dict(orient="records")
    ]
    return {"rows": rows, "why": ""}


def _layer_rows(tables: Mapping[str, pd.DataFrame], shown: Sequence[Line]) -> list[dict[str, Any]]:
    """One row per line and layer: names, and numbers with their sort keys; means where a line has several runs."""
    known = {line.name: _over_runs([tables[label] for label in line.runs]) for line in shown}
    layers = dict.fromkeys(layer for table in known.values() for layer in table.index)
    short = dict(zip(layers, names(layers, LAYER_WIDTH), strict=True))
    return [
        {"run": name, "layer": short[layer], "cells": [_cell(column, float(row[column])) for column in LAYER_COLUMNS]}
        for name, table in known.items()
        for layer, row in table.iterrows()
    ]


def _over_runs(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The means of some runs' tables by layer, with the mobility ratio."""
    taken = [name for name in LAYER_COLUMNS if name in tables[0]]
    table = pd.concat(tables).groupby("layer", sort=False)[taken].mean()
    return table.assign(mobility_ratio=table["mobility_tail"] / table["mobility_core"])


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
    environment.filters |= {"embedded": embedded, "unicode": in_unicode}
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
