"""The data of the interactive charts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recu_analysis.analysis.histogram import score_counts_query
from recu_analysis.analysis.layers import layer_table_query
from recu_analysis.analysis.magnitude import bin_sums_query, means
from recu_analysis.analysis.markup import in_unicode
from recu_analysis.analysis.network import network_table
from recu_analysis.analysis.query import attempt, gather, gathered
from recu_analysis.analysis.selection import window_epochs
from recu_analysis.analysis.vocabulary import group_of, statistic
from recu_analysis.errors import InputError
from recu_analysis.plots.arm_colors import of_runs
from recu_analysis.report.run_summary import value_text
from recu_analysis.report.sampling import evenly

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from recu_analysis.analysis.histogram import Counts
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.report.sampling import Sample
    from recu_analysis.store.run import Run

    Values = NDArray[np.float64]

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
        }


CHARTS = (
    Chart(
        "mobility",
        "time",
        ("mobility_tail", "mobility_core"),
        "How far the standard score z of a weight moves in one update, on average. The paper claims that the tail "
        "moves less than the core.",
    ),
    Chart("flips", "time", ("flip_ratio_tail", "flip_ratio_core"), "How often a binary weight changes its sign."),
    Chart(
        "silence",
        "time",
        ("silent_fraction_tail", "silent_fraction_core"),
        "Weights that did not change their sign in the window. Many weights of a short window are silent only because "
        "there was no time to flip, so compare the tail with the core.",
    ),
    Chart(
        "dead",
        "time",
        ("dead_fraction",),
        "Weights that are in the tail at the start of the window and do not change their sign in it.",
    ),
    Chart(
        "autocorrelation",
        "time",
        ("autocorrelation",),
        "1 if no weight moved, 0 if nothing is left of the start. Above 0.5 a window is too short to tell dead weights "
        "from slow ones.",
    ),
    Chart(
        "mobility-by-z",
        "magnitude",
        ("mobility",),
        "Over the final windows of the training. Each point is a twentieth of the layer's weights, ordered by |z| at "
        "the start of these windows.",
    ),
    Chart(
        "silence-by-z",
        "magnitude",
        ("silent_fraction",),
        "The share of the same weights that do not change their sign in the final windows.",
    ),
    Chart(
        "accuracy",
        "epoch",
        ("val_top1", "train_top1"),
        "As logged with each mark, for the whole network; the selected layer does not matter.",
        title="Accuracy",
    ),
    Chart(
        "loss",
        "epoch",
        ("val_loss", "train_loss"),
        "As logged with each mark, for the whole network; the selected layer does not matter.",
        title="Loss",
    ),
)


def chart_query(samples: Mapping[str, Sample], spans: Mapping[str, WindowSpan]) -> Query[dict[str, Any]]:
    """The query for the data of the page's charts, ready for JSON.

    Parameters
    ----------
    samples : mapping of str to Sample
    spans : mapping of str to WindowSpan
        The windows that are merged in charts against abs(z), by run.

    Returns
    -------
    Query of dict
        Numbers have 5 digits; unknown numbers are None. In all lists by layer, index 0 is the whole network.

        - charts: see `Chart`
        - layers: names
        - time: "epoch" or "window"
        - reach, bins: of the histograms
        - runs: for each run label, color (of its arm), windows and time of the charts against time, series (by
          quantity, layer and window), magnitude, histogram (windows, and counts by layer and window), metrics
    """
    layers = list(dict.fromkeys(name for each in samples.values() for name in each.every.layer_names))
    epochs = {label: window_epochs(each.run) for label, each in samples.items()}
    by_epoch = all(epochs.values())
    looks = of_runs({label: each.run for label, each in samples.items()})
    runs = []
    for label, each in samples.items():
        times = epochs[label] if by_epoch else {window.number: window.number for window in each.run.windows}
        runs.append(_run_query(label, each, looks[label].color, layers, times, spans[label]))
    constant = {
        "charts": [chart.words() for chart in CHARTS],
        "layers": [value_text(name) for name in layers],
        "time": "epoch" if by_epoch else "window",
        "reach": REACH,
        "bins": BINS,
    }
    return gather(*runs).then(lambda found: constant | {"runs": list(found)})


def _run_query(
    label: str, each: Sample, color: str, layers: list[str], times: Mapping[int, float], span: WindowSpan
) -> Query[dict[str, Any]]:
    """The data of one run."""
    by_layer = {
        spec.name: attempt(partial(bin_sums_query, each.run, [spec], span, MAGNITUDE_BINS), InputError)
        for spec in each.run.header.layers
    }
    rows = layer_table_query(each.every, numbers=each.shown)
    counts = score_counts_query(each.every, each.shown, REACH, BINS)
    metrics = _metrics(each.run)

    def shown(found: tuple[Any, ...]) -> dict[str, Any]:
        table, sums, scores = found
        return {
            "label": label,
            "color": color,
            **_over_time(table, layers, times),
            "magnitude": _against_magnitude(sums, layers),
            "histogram": _histograms(each, scores, layers, times),
            "metrics": metrics,
        }

    return gather(rows, gathered(by_layer), counts).then(shown)


def _over_time(table: pd.DataFrame, layers: list[str], times: Mapping[int, float]) -> dict[str, Any]:
    """Windows, their times, and their quantities for the whole network and each layer."""
    table = table[table["updates"] > 0]
    wanted = [name for chart in CHARTS if chart.against == "time" for name in chart.columns]
    numbers = table["window"].unique()
    whole = network_table(table).set_index("window")
    series = {}
    for quantity in wanted:
        factor = _factor(quantity)
        grid = table.pivot_table(index="layer", columns="window", values=quantity, sort=False, dropna=False)
        grid = grid.reindex(index=layers, columns=numbers)
        series[quantity] = [_numbers(factor * whole[quantity]), *(_numbers(factor * row) for row in grid.to_numpy())]
    return {
        "windows": [int(number) for number in numbers],
        "time": _numbers(times.get(int(number), math.nan) for number in numbers),
        "series": series,
    }


def _against_magnitude(sums: Mapping[str, list[Values] | InputError], layers: list[str]) -> list[dict[str, Any] | None]:
    """Mobility and silence against abs(z), of the whole network and of each layer; None for small layers."""
    tables: dict[str, pd.DataFrame] = {}
    for name, found in sums.items():
        if isinstance(found, InputError):  # fewer weights than bins
            continue
        total = found[0].sum(axis=0)
        tables[name] = means(total).assign(weights=total[:, 0])
    return [_bins(_together(list(tables.values()))), *(_bins(tables.get(name)) for name in layers)]


def _together(tables: list[pd.DataFrame]) -> pd.DataFrame | None:
    """Mean over several layers of each bin, by their weights."""
    if not tables:
        return None
    weights = np.stack([table["weights"] for table in tables])
    columns = ("abs_z", "mobility", "flip_probability")
    values = {name: np.stack([table[name] for table in tables]) for name in columns}
    return pd.DataFrame({name: np.average(each, axis=0, weights=weights) for name, each in values.items()})


def _bins(table: pd.DataFrame | None) -> dict[str, Any] | None:
    if table is None:
        return None
    return {
        "abs_z": _numbers(table["abs_z"]),
        "mobility": _numbers(_factor("mobility") * table["mobility"]),
        "silent_fraction": _numbers(1.0 - table["flip_probability"]),
    }


def _histograms(
    each: Sample, found: Mapping[str, Counts], layers: list[str], times: Mapping[int, float]
) -> dict[str, Any]:
    """Counts of z at the end of every window, of the whole network and of each layer."""
    whole = np.sum(list(found.values()), axis=0).tolist()
    missing = [None] * len(each.shown)
    return {
        "windows": list(each.shown),
        "time": _numbers(times.get(number, math.nan) for number in each.shown),
        "counts": [whole, *(found.get(name, missing) for name in layers)],
    }


def _metrics(run: Run) -> dict[str, list[float | None]]:
    """Epochs and the numbers that were logged with them."""
    metrics = run.metrics
    wanted = [name for chart in CHARTS if chart.against == "epoch" for name in chart.columns if name in metrics]
    if "epoch" not in metrics or not wanted:
        return {}
    known = metrics[["epoch", *wanted]].apply(pd.to_numeric, errors="coerce").dropna(subset="epoch")
    known = known.iloc[evenly(range(len(known)), MAX_MARKS)]
    return {str(name): _numbers(known[name]) for name in known}


def _factor(name: str) -> float:
    """Factor from a column's value to the number on an axis; 1 for shares, since the page shows them in per cent."""
    known = statistic(name)
    return 1.0 if known.is_share else known.factor


def _numbers(values: Iterable[float]) -> list[float | None]:
    """Numbers for JSON, with 5 digits."""
    return [float(f"{value:.5g}") if math.isfinite(value) else None for value in values]
