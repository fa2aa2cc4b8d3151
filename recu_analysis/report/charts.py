"""The data of the interactive charts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recu_analysis.analysis.column_names import group_of, statistic
from recu_analysis.analysis.deadness import totals
from recu_analysis.analysis.final_windows import LONG_ENOUGH
from recu_analysis.analysis.histogram import score_counts_query
from recu_analysis.analysis.logged import as_numbers
from recu_analysis.analysis.magnitude import bin_sums_query, means
from recu_analysis.analysis.markup import in_unicode
from recu_analysis.analysis.query import attempt, gather, gathered
from recu_analysis.analysis.selection import window_epochs
from recu_analysis.errors import InputError
from recu_analysis.report.lines import at, numbers, pooled
from recu_analysis.report.movement import movement_query
from recu_analysis.report.run_summary import value_text
from recu_analysis.report.sampling import evenly

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.histogram import Counts
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.report.lines import Line, Lists
    from recu_analysis.report.sampling import Sample
    from recu_analysis.store.run import Run

    Values = NDArray[np.float64]
    Finals = Mapping[str, WindowSpan]

#: The histograms go from -REACH to REACH standard deviations, in BINS bins of equal width.
REACH = 5.0
BINS = 80
#: Charts of accuracy and loss show at most this many marks of a run.
MAX_MARKS = 1_000
#: Points of charts against abs(z); each is a twentieth of a layer's weights.
MAGNITUDE_BINS = 20


@dataclass(frozen=True, slots=True)
class Chart:
    """One interactive chart of some columns of the tables; the vocabulary has their names, units and factors.

    `against` is the horizontal axis: "time" and "magnitude" (abs(z)) for the selected layer, "epoch" for the whole
    training. A title is given only where no column has it.
    """

    name: str
    against: str
    columns: tuple[str, ...]
    caption: str
    title: str = ""

    def words(self) -> dict[str, Any]:
        """The chart's text on the page: title, unit, whether in per cent, caption, and names of lines for a legend."""
        first = self.columns[0]
        group = group_of(first)
        known = statistic(first.removesuffix(f"_{group}") if group else first)
        against = " against |z|" if self.against == "magnitude" else ""
        names = [group_of(column) or statistic(column).label for column in self.columns]
        return {
            "name": self.name,
            "title": self.title or f"{known.label.capitalize()}{against}",
            "unit": "share of the weights" if known.is_share else in_unicode(known.unit),
            "against": self.against,
            "lines": dict(zip(self.columns, names if len(names) > 1 else [""], strict=True)),
            "caption": self.caption,
            "percent": known.is_share,
            "cautious": any(each in column for column in self.columns for each in ("silent", "dead")),
        }


CHARTS = (
    Chart(
        "mobility",
        "time",
        ("mobility_tail", "mobility_core"),
        "How far the standard score z of a weight moves in one update, on average.",
    ),
    Chart("flips", "time", ("flip_ratio_tail", "flip_ratio_core"), "How often a binary weight changes its sign."),
    Chart(
        "silence",
        "time",
        ("silent_fraction_tail", "silent_fraction_core"),
        "Weights that did not change their sign in the window. In a short window, many weights are silent only because "
        "there was no time to flip. Compare each line with the pale dotted line beside it: noise alone.",
    ),
    Chart(
        "dead",
        "time",
        ("dead_fraction",),
        "Weights that are in the tail at the start of the window and do not change their sign in it. Dotted, pale: "
        "noise alone.",
    ),
    Chart(
        "autocorrelation",
        "time",
        ("autocorrelation",),
        "1 if no weight moved, 0 if nothing is left of the start. Dotted, pale: noise alone. Where that is above 0.5, "
        "the window is too short to tell dead weights from slow ones.",
    ),
    Chart(
        "mobility-by-z",
        "magnitude",
        ("mobility",),
        "Over the windows of the layer table. Each point is a twentieth of the layer's weights, in the order of |z| at "
        "the start of these windows.",
    ),
    Chart(
        "silence-by-z",
        "magnitude",
        ("silent_fraction",),
        "The share of the same weights that do not change their sign in these windows.",
    ),
    Chart(
        "accuracy",
        "epoch",
        ("val_top1", "train_top1"),
        "As logged with each mark, for the whole network, whichever layer is chosen.",
        title="Accuracy",
    ),
    Chart(
        "loss",
        "epoch",
        ("val_loss", "train_loss"),
        "As logged with each mark, for the whole network, whichever layer is chosen.",
        title="Loss",
    ),
)


def chart_query(samples: Mapping[str, Sample], shown: Sequence[Line], finals: Finals) -> Query[dict[str, Any]]:
    """The query for the data of the page's charts, ready for JSON.

    Parameters
    ----------
    samples : mapping of str to Sample
    shown : sequence of Line
    finals : mapping of str to WindowSpan
        The windows that are merged in charts against abs(z), by run.

    Returns
    -------
    Query of dict
        Numbers have 5 digits; unknown numbers are None. In all lists by layer, index 0 is the whole network. The
        numbers of a line of several runs are means; those that end in _low and _high are its lowest and highest.

        - charts: see `Chart`
        - layers: names
        - time: "epoch" or "window"
        - reach, bins: of the histograms
        - enough: the highest null autocorrelation of windows that are long enough
        - runs: for each line label, name, color, time and series (by quantity, layer and window) of the charts against
          time, magnitude (by quantity, layer and bin), histogram (windows, and counts by layer and window), metrics;
          series with _null are what noise alone would give
    """
    layers = list(dict.fromkeys(name for each in samples.values() for name in each.every.layer_names))
    epochs = {label: window_epochs(each.run) for label, each in samples.items()}
    by_epoch = all(epochs.values())
    measured = {}
    for label, each in samples.items():
        times = epochs[label] if by_epoch else {window.number: window.number for window in each.run.windows}
        measured[label] = _run_query(each, layers, times, finals[label])
    logged = {name for each in samples.values() for name in each.run.metrics}
    constant = {
        "charts": [chart.words() for chart in CHARTS if chart.against != "epoch" or logged & set(chart.columns)],
        "layers": [value_text(name) for name in layers],
        "time": "epoch" if by_epoch else "window",
        "reach": REACH,
        "bins": BINS,
        "enough": LONG_ENOUGH,
    }
    return gathered(measured).then(
        lambda found: constant | {"runs": [_line(each, [found[label] for label in each.runs]) for each in shown]}
    )


@dataclass(frozen=True, slots=True)
class _Measured:
    """The numbers of one run: arrays by quantity, with one row for the whole network and one for each layer."""

    windows: list[int]
    time: list[float]
    series: dict[str, Values]
    magnitude: dict[str, Values]
    histogram: dict[int, list[list[int] | None]]
    histogram_time: dict[int, float]
    metrics: pd.DataFrame


def _run_query(each: Sample, layers: list[str], times: Mapping[int, float], span: WindowSpan) -> Query[_Measured]:
    """The numbers of one run."""
    by_layer = {
        spec.name: attempt(partial(bin_sums_query, each.run, [spec], span, MAGNITUDE_BINS), InputError)
        for spec in each.run.header.layers
    }
    rows = movement_query(each.every, each.shown)
    counts = score_counts_query(each.every, each.shown, REACH, BINS)

    def measured(found: tuple[Any, ...]) -> _Measured:
        table, sums, scores = found
        windows, series = _over_time(table, layers)
        return _Measured(
            windows=windows,
            time=[times.get(number, math.nan) for number in windows],
            series=series,
            magnitude=_against_magnitude(sums, layers),
            histogram=_histograms(each, scores, layers),
            histogram_time={number: times.get(number, math.nan) for number in each.shown},
            metrics=_metrics(each.run),
        )

    return gather(rows, gathered(by_layer), counts).then(measured)


def _line(line: Line, runs: Sequence[_Measured]) -> dict[str, Any]:
    """The data of one line of the charts: of a run, or of the seeds of an arm."""
    times = _shared([run.time for run in runs])
    epochs = _shared([[float(epoch) for epoch in run.metrics.index] for run in runs])
    logged = [name for name in _columns("epoch") if any(name in run.metrics for run in runs)]
    curves = {
        name: [
            at(epochs, list(run.metrics.index), run.metrics.reindex(columns=[name]).to_numpy(float).T) for run in runs
        ]
        for name in logged
    }
    return {
        "label": line.name.short,
        "name": line.name.full,
        "color": line.color,
        "time": numbers(times),
        "series": _all_pooled(
            {name: [at(times, run.time, run.series[name]) for run in runs] for name in runs[0].series}
        ),
        "magnitude": _all_pooled({name: [run.magnitude[name] for run in runs] for name in runs[0].magnitude}),
        "histogram": _summed(runs),
        "metrics": {"epoch": numbers(epochs)} | {name: rows[0] for name, rows in _all_pooled(curves).items()},
    }


def _shared(times: Sequence[list[float]]) -> list[float]:
    """The times of the only run; else all times of the runs, ascending."""
    return times[0] if len(times) == 1 else sorted({time for each in times for time in each if math.isfinite(time)})


def _all_pooled(parts: Mapping[str, Sequence[Values]]) -> Lists:
    return {key: rows for name, each in parts.items() for key, rows in pooled(name, each).items()}


def _columns(against: str) -> list[str]:
    return [name for chart in CHARTS if chart.against == against for name in chart.columns]


def _measured_columns(table: pd.DataFrame) -> list[str]:
    """The columns of the charts against time, each followed by what noise alone would give where the table has it."""
    return [each for name in _columns("time") for each in (name, f"{name}_null") if each in table]


def _over_time(table: pd.DataFrame, layers: list[str]) -> tuple[list[int], dict[str, Values]]:
    """Windows with updates, and their quantities for the whole network and each layer."""
    whole = pd.DataFrame([totals(part) for _, part in table.groupby("window", sort=False)])
    windows = table["window"].unique()
    series = {}
    for name in _measured_columns(table):
        grid = table.pivot_table(index="layer", columns="window", values=name, dropna=False)
        grid = grid.reindex(index=layers, columns=windows)
        series[name] = _factor(name) * np.vstack([whole[name].to_numpy(float), grid.to_numpy(float)])
    return [int(number) for number in windows], series


def _against_magnitude(sums: Mapping[str, list[Values] | InputError], layers: list[str]) -> dict[str, Values]:
    """Mobility and silence against abs(z), of the whole network and of each layer; NaN for small layers."""
    tables: dict[str, pd.DataFrame] = {}
    for name, found in sums.items():
        if isinstance(found, InputError):  # fewer weights than bins
            continue
        total = found[0].sum(axis=0)
        tables[name] = means(total).assign(weights=total[:, 0])
    unknown = pd.DataFrame(np.nan, index=range(MAGNITUDE_BINS), columns=list(_OF_BINS))
    rows = [_together(list(tables.values())) if tables else unknown, *(tables.get(name, unknown) for name in layers)]
    return {
        "abs_z": np.stack([row["abs_z"] for row in rows]),
        "mobility": _factor("mobility") * np.stack([row["mobility"] for row in rows]),
        "silent_fraction": 1.0 - np.stack([row["flip_probability"] for row in rows]),
    }


#: The columns of the charts against abs(z), as `means` names them.
_OF_BINS = ("abs_z", "mobility", "flip_probability")


def _together(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Mean over several layers of each bin, by their weights."""
    weights = np.stack([table["weights"] for table in tables])
    values = {name: np.stack([table[name] for table in tables]) for name in _OF_BINS}
    return pd.DataFrame({name: np.average(each, axis=0, weights=weights) for name, each in values.items()})


def _histograms(each: Sample, found: Mapping[str, Counts], layers: list[str]) -> dict[int, list[list[int] | None]]:
    """Counts of z at the end of every window shown, of the whole network and of each layer."""
    result: dict[int, list[list[int] | None]] = {}
    for place, number in enumerate(each.shown):
        of_layers = [found[name][place] if name in found else None for name in layers]
        whole = np.sum([counts for counts in of_layers if counts is not None], axis=0).tolist()
        result[number] = [whole, *of_layers]
    return result


def _summed(runs: Sequence[_Measured]) -> dict[str, Any]:
    """The histograms of some runs, added; by layer and window."""
    windows = sorted({number for run in runs for number in run.histogram})
    times = {number: time for run in runs for number, time in run.histogram_time.items()}

    def counts(layer: int, number: int) -> list[int] | None:
        known = [run.histogram[number][layer] for run in runs if number in run.histogram]
        some = [each for each in known if each is not None]
        return np.sum(some, axis=0).tolist() if some else None

    layers = range(len(next(iter(runs[0].histogram.values()))))
    return {
        "windows": windows,
        "time": numbers(times[number] for number in windows),
        "counts": [[counts(layer, number) for number in windows] for layer in layers],
    }


def _metrics(run: Run) -> pd.DataFrame:
    """Numbers that were logged, by epoch."""
    metrics = run.metrics
    wanted = [name for name in _columns("epoch") if name in metrics]
    if "epoch" not in metrics or not wanted:
        return pd.DataFrame()
    known = as_numbers(metrics[["epoch", *wanted]]).dropna(subset="epoch")
    known = known.iloc[evenly(range(len(known)), MAX_MARKS)]
    by_epoch: pd.DataFrame = known.set_index("epoch").astype(float)
    return by_epoch


def _factor(name: str) -> float:
    """Factor from a column's value to the number on an axis; 1 for shares, since the page shows them in per cent."""
    known = statistic(name)
    return 1.0 if known.is_share else known.factor
