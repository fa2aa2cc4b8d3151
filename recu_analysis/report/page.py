"""The page: runs in, the text of one HTML file out, everything from a run escaped."""

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
from recu_analysis.analysis.claims import asked_claims, claims
from recu_analysis.analysis.claims.table import masks
from recu_analysis.analysis.deadness import asked_dead_weights, dead_weights
from recu_analysis.analysis.engine import answering
from recu_analysis.analysis.finite import asked_constant, constant
from recu_analysis.analysis.horizon import LONG_MEMORY, Stretch, asked_memory, common_stretch, memory_between
from recu_analysis.analysis.rendering import heading, in_unicode, of_claim
from recu_analysis.analysis.selection import moving_windows, select_windows
from recu_analysis.analysis.vocabulary import statistic
from recu_analysis.errors import InputError, RecuError
from recu_analysis.report.charts import asked_charts, chart_data
from recu_analysis.report.drawings import asked_drawings, drawings
from recu_analysis.report.facts import configuration, recorded, unlike, value_text, warnings
from recu_analysis.report.sampling import sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from recu_analysis.analysis.engine import Asked
    from recu_analysis.analysis.selection import WindowRange
    from recu_analysis.report.sampling import Sample
    from recu_analysis.store.run import Run

#: What the layer table shows: columns of `dead_weights`, and the ratio of two.
LAYER_COLUMNS = (
    "weights",
    "dead_fraction",
    "silent_fraction_tail",
    "silent_fraction_core",
    "mobility_tail",
    "mobility_core",
    "mobility_ratio",
    "memory",
)
#: What the page does not show as itself inside its script element: whatever could end that element or a line.
_ESCAPED = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def report(runs: Mapping[str, Run], baseline: Mapping[str, Run] | None = None) -> str:
    """One HTML page that shows runs, with nothing to load from elsewhere; the same runs give the same page.

    Parameters
    ----------
    runs : mapping of str to Run
        By the labels that the page gives them.
    baseline : mapping of str to Run, optional
        Trainings without clamp, for the claims; shown beside the others. Without it, those of `runs` that do not
        clamp, where others do.

    Returns
    -------
    str
        Less than 8 MB: large runs are shown in part, and the page says so.

    Raises
    ------
    InputError
        If there is no run, or a label names two.
    WindowNotFoundError
        If a run holds no window with updates.
    """
    if not runs or set(runs) & set(baseline or {}):
        raise InputError("a report needs at least one run, and every label once")
    everything = {**runs, **(baseline or {})}
    for run in everything.values():
        moving_windows(run)
    tested, unasked = _without_clamp(runs)
    others = {**(baseline or {}), **unasked}
    samples = sample(everything)
    chosen = common_stretch({label: each.run for label, each in samples.items()})
    asked = [*_asked(samples, chosen), *asked_drawings(samples), *asked_charts(samples, chosen)]
    with answering([*asked, *_asked_claims(tested, others)]):
        return _page(everything, tested, others, samples, chosen)


def _page(
    everything: Mapping[str, Run],
    tested: Mapping[str, Run],
    others: Mapping[str, Run],
    samples: Mapping[str, Sample],
    chosen: Mapping[str, WindowRange],
) -> str:
    stretches = {label: _stretch(each.run, chosen[label]) for label, each in samples.items()}
    tables = {label: dead_weights(each.run, window=chosen[label]) for label, each in samples.items()}
    pictures, missing = drawings(samples)
    nonfinite = {label: int(table["nonfinite"].sum()) for label, table in tables.items()}
    unvarying = {label: sum(constant(each.run).values()) for label, each in samples.items()}
    return _render(
        title=f"Latent weights of {_listed(everything)}",
        labels=list(everything),
        recorded=recorded(samples),
        configuration=configuration(everything),
        warnings=[*warnings(samples, stretches, nonfinite, unvarying), *unlike(tested), *unlike(others)],
        claims=_claims(tested, others),
        layer_columns=[in_unicode(heading(name)) for name in LAYER_COLUMNS],
        layer_rows=_layer_rows(tables),
        stretches=chosen,
        drawings=pictures,
        missing=missing,
        data=chart_data(samples, chosen),
    )


def _asked(samples: Mapping[str, Sample], chosen: Mapping[str, WindowRange]) -> list[Asked[Any]]:
    """What the layer table and the sentences about each run ask."""
    asked: list[Asked[Any]] = []
    for label, each in samples.items():
        asked += [asked_dead_weights(each.run, chosen[label]), _asked_memory(each.run, chosen[label])]
        asked.append(asked_constant(each.run))
    return asked


def _asked_memory(run: Run, chosen: WindowRange) -> Asked[Any]:
    windows = select_windows(run, chosen)
    return asked_memory(run, run.header.layers, windows[0].number, windows[-1].number)


def _asked_claims(runs: Mapping[str, Run], baseline: Mapping[str, Run]) -> list[Asked[Any]]:
    try:
        return asked_claims(list(runs.values()), list(baseline.values()))
    except RecuError:  # which the page says in their place
        return []


def _without_clamp(runs: Mapping[str, Run]) -> tuple[dict[str, Run], dict[str, Run]]:
    """The runs that clamp and those that do not; all of them where there is but one kind."""
    clamped = {label: run for label, run in runs.items() if masks(run)}
    tested = clamped or dict(runs)
    return tested, {label: run for label, run in runs.items() if label not in tested}


def _listed(labels: Iterable[str]) -> str:
    *first, last = labels
    return f"{', '.join(first)} and {last}" if first else last


def _stretch(run: Run, chosen: WindowRange) -> Stretch:
    """A stretch, and whether it is long enough."""
    windows = select_windows(run, chosen)
    memory = memory_between(run, run.header.layers, windows[0].number, windows[-1].number)
    return Stretch(chosen, memory, long=memory <= LONG_MEMORY)


def _claims(runs: Mapping[str, Run], baseline: Mapping[str, Run]) -> dict[str, Any]:
    """The claims table as texts, or why there is none."""
    names = {"runs": ", ".join(runs), "baseline": ", ".join(baseline)}
    try:
        table = claims(list(runs.values()), list(baseline.values()))
    except (RecuError, LookupError) as error:
        return names | {"rows": [], "why": str(error)}
    rows = [
        row | {"value": of_claim(row["estimate"], row["low"], row["high"])} for row in table.to_dict(orient="records")
    ]
    return names | {"rows": rows, "why": ""}


def _layer_rows(tables: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """One row a run and layer: what it is, and its numbers with what to sort them by."""
    rows = []
    for label, table in tables.items():
        known = table.assign(mobility_ratio=table["mobility_tail"] / table["mobility_core"])
        for row in known.to_dict(orient="records"):
            cells = [_cell(name, float(row[name])) for name in LAYER_COLUMNS]
            rows.append({"run": label, "layer": value_text(row["layer"]), "cells": cells})
    return rows


def _cell(name: str, value: float) -> tuple[str, str]:
    """What a cell shows, and what it is sorted by; nothing where the value is not known."""
    known = statistic(name)
    printed = known.factor * value
    return ("-", "") if pd.isna(value) else (f"{printed:,.{known.digits or 0}f}", f"{printed:.9g}")


def embedded(value: Any) -> Markup:
    """JSON that is safe inside a script element: no character of markup is left in it."""
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
    """Our own style or script, which goes into the page as it is."""
    return Markup(f"\n{text}")  # noqa: S704 - from this package


def _hash(text: str) -> str:
    """How a Content-Security-Policy names the one style or script that it allows."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
