"""The paper's tables: reported values beside values measured in runs, never mixed."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from recu_analysis.analysis.arm_names import scale_text
from recu_analysis.analysis.arms import arms, settings
from recu_analysis.analysis.kinds import Kind, kind_of
from recu_analysis.analysis.logged import last_logged, logged
from recu_analysis.analysis.query import value
from recu_analysis.analysis.run_arguments import as_runs
from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from recu_analysis.analysis.arms import Arm
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.store.run import Run

    Row = tuple[str, ...]

#: The values of the column `source`.
REPORTED, OURS = "reported (Xu et al., 2021)", "ours"
_NETWORKS = {
    "cifar10": {"resnet18": "ResNet-18", "resnet20": "ResNet-20", "vgg_small": "VGG-small"},
    "imagenet": {"resnet18_imagenet": "ResNet-18", "resnet34_imagenet": "ResNet-34"},
}


@dataclass(frozen=True, slots=True)
class PaperTable:
    """One table of the paper.

    Attributes
    ----------
    file : str
        The file with its reported values, in the folder reported.
    title : str
        Its subject, for a list and a caption.
    reported_on : str
        Network and data set of the reported values.
    keys : dict of str to str
        The columns that name a row, and their headings in LaTeX.
    row_of : callable
        From a run to the name of its row; None if the run has no row.
    varied : frozenset of str
        The settings that the rows state. Runs that differ in any other setting are kept apart.
    how : str
        How to measure a value of our own.
    runs : bool
        Whether it needs runs, as in `FigureSpec`. False: it shows the reported values without any run.
    """

    runs: ClassVar[bool] = False
    takes: ClassVar[tuple[str, ...]] = ()
    file: str
    title: str
    reported_on: str
    keys: Mapping[str, str]
    row_of: Callable[[Run], Row | None]
    varied: frozenset[str]
    how: str

    def query(self, runs: Runs, _: Asked) -> Query[pd.DataFrame]:
        """The reported values and the values of runs; see `paper_table`."""
        return value(_filled(self, runs))


def _levels(configuration: Mapping[str, Any]) -> tuple[float, float]:
    """Start and end of the level; NaN if the configuration has no such pair, because it may hold anything."""
    match configuration.get("tau"):
        case [float() | int() as low, float() | int() as high]:
            return float(low), float(high)
    return math.nan, math.nan


def _level(tau: float) -> str:
    return f"{tau:.2f}" if math.isclose(tau, round(tau, 2)) else f"{tau:g}"


def _fixed_tau(run: Run) -> Row | None:
    """Table 1: the fixed level. At tau = 1 nothing is clamped, so runs without a clamp are in that row."""
    if kind_of(run) is Kind.NO_CLAMP and run.configuration.get("recu") is False:
        return ("1.00",)
    low, high = _levels(run.configuration)
    return (_level(low),) if kind_of(run) is Kind.RECU and low == high else None


def _schedule(run: Run) -> Row | None:
    """Table 2: the level's start and end."""
    low, high = _levels(run.configuration)
    return (_level(low), _level(high)) if kind_of(run) is Kind.RECU and low < high else None


def _scale(run: Run) -> Row | None:
    """Table 3: the scale b*."""
    scale = run.configuration.get("scale")
    if kind_of(run) is not Kind.RECU or not isinstance(scale, float | int):
        return None
    return (scale_text(scale).replace("√2", "sqrt(2)"),)


def _method(dataset: str) -> Callable[[Run], Row | None]:
    """Tables 4 and 5: network and method, for runs on the paper's data set only."""

    def row(run: Run) -> Row | None:
        configuration = run.configuration
        network, _, real = str(configuration.get("network", "")).partition("-")
        name = _NETWORKS[dataset].get(network)
        if name is None or str(configuration.get("dataset", "")).replace("-", "") != dataset:
            return None
        if real:
            return (name, "FP", "32", "32")
        return (name, "ReCU", "1", "1") if kind_of(run) is Kind.RECU else None

    return row


_RESNET20 = "ResNet-20 on CIFAR-10"
_BITS = {"network": "network", "method": "method", "bits_w": "W", "bits_a": "A"}
TABLES: dict[str, PaperTable] = {
    "table1": PaperTable(
        "table1_fixed_tau.csv",
        "fixed levels tau, 1.00 without clamp (the paper's Table 1)",
        _RESNET20,
        {"tau": r"$\tau$"},
        _fixed_tau,
        frozenset({"tau", "recu", "mask"}),
        "train with a fixed level, as in recu-analyze train --tau 0.94 0.94",
    ),
    "table2": PaperTable(
        "table2_schedule.csv",
        "schedules of tau (the paper's Table 2)",
        _RESNET20,
        {"tau_start": r"$\tau_s$", "tau_end": r"$\tau_e$"},
        _schedule,
        frozenset({"tau"}),
        "train with a schedule, as in recu-analyze train --tau 0.85 0.99",
    ),
    "table3": PaperTable(
        "table3_scale.csv",
        "scales b* (the paper's Table 3)",
        _RESNET20,
        {"b_star": "$b^*$"},
        _scale,
        frozenset({"scale"}),
        "train with ReCU, as in recu-analyze train --scale 2",
    ),
    "table4": PaperTable(
        "table4_cifar10.csv",
        "methods on CIFAR-10 (the paper's Table 4)",
        "CIFAR-10",
        _BITS,
        _method("cifar10"),
        frozenset({"network", "recu", "mask"}),
        "train on CIFAR-10, as in recu-analyze train --dataset cifar10",
    ),
    "table5": PaperTable(
        "table5_imagenet.csv",
        "methods on ImageNet (the paper's Table 5)",
        "ImageNet",
        _BITS,
        _method("imagenet"),
        frozenset({"network", "recu", "mask"}),
        "give a run whose configuration names the dataset imagenet and the network resnet18_imagenet",
    ),
}


def paper_table(number: int, runs: SeveralRuns | None = None) -> pd.DataFrame:
    """A table of the paper: its reported values, and below them the values of runs.

    Parameters
    ----------
    number : int
        1 to 5.
    runs : run or path, sequence, or mapping of labels to runs, optional
        The table takes the runs whose configuration belongs to a row, and averages over the seeds
        of an experiment (see `recu_analysis.analysis.arms.arms`).

    Returns
    -------
    DataFrame
        The columns that name a row (text), source ("reported (Xu et al., 2021)" or "ours"), setting (of ours),
        accuracies in percent: top1_mean, top1_std (over seeds, n - 1; NaN for one seed) and, in Table 5, top5_mean,
        top5_std (NaN if a seed did not log it), seeds, and runs (labels). Our accuracy is the last validation accuracy
        that a run logged.

    Raises
    ------
    InputError
        If the paper has no such table, or two runs have the same experiment and seed.
    """
    table = TABLES.get(f"table{number}")
    if table is None:
        raise InputError(f"the paper's tables are 1 to 5, not {number}")
    return _filled(table, {} if runs is None else as_runs(runs))


def _filled(table: PaperTable, runs: Runs) -> pd.DataFrame:
    """The table of `paper_table`."""
    reported = _reported(table)
    metrics = metrics_of(reported)
    ours = _measured(table, runs, metrics)
    columns = [*table.keys, "source", "setting", *(f"{name}_{end}" for name in metrics for end in ("mean", "std"))]
    return pd.concat([reported, ours], ignore_index=True).reindex(columns=[*columns, "seeds", "runs"])


def metrics_of(data: pd.DataFrame) -> list[str]:
    """The accuracies of a table: top1, and top5 if it has that."""
    return [name for name in ("top1", "top5") if f"{name}_mean" in data]


def _reported(table: PaperTable) -> pd.DataFrame:
    with (files("recu_analysis.figures") / "reported" / table.file).open(encoding="utf-8") as file:
        values = pd.read_csv(file, dtype=dict.fromkeys(table.keys, str))
    single = {name: f"{name}_mean" for name in ("top1", "top5")}
    return values.rename(columns=single).assign(source=REPORTED)


def _measured(table: PaperTable, runs: Runs, metrics: list[str]) -> pd.DataFrame:
    """One row per experiment of the table; experiments with the same description also name their runs."""
    found = arms(
        {label: run for label, run in runs.items() if table.row_of(run) is not None and len(logged(run, "val_top1"))}
    )
    encoded = [json.dumps(settings(arm.first, table.varied), sort_keys=True) for arm in found]
    descriptions = _settings(set(encoded))
    rows = [_row(arm, table, metrics) for arm in found]
    keys = [(descriptions[text], *(row[key] for key in table.keys)) for text, row in zip(encoded, rows, strict=True)]
    for row, key in zip(rows, keys, strict=True):
        row["setting"] = f"{key[0]}, run {row['runs']}" if keys.count(key) > 1 else key[0]
    return pd.DataFrame(rows)


def _row(arm: Arm, table: PaperTable, metrics: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(table.keys, table.row_of(arm.first) or (), strict=True))
    row |= {"source": OURS, "setting": "", "seeds": len(arm.runs), "runs": " ".join(arm.runs)}
    for name in metrics:
        last = pd.Series([last_logged(run, f"val_{name}") for run in arm.runs.values()], dtype=float)
        # NaN if a seed did not log it: the mean would be over fewer seeds than the row states.
        row |= {f"{name}_mean": last.mean(skipna=False), f"{name}_std": last.std(skipna=False)}
    return row


def _settings(encoded: set[str]) -> dict[str, str]:
    """A few words for each setting: network, data set, epochs, b*, tau, and what distinguishes it from the others."""
    known = {text: json.loads(text) for text in sorted(encoded)}
    telling = _differing(known.values())
    return {text: _words(each, telling) for text, each in known.items()}


def _differing(settings: Collection[Mapping[str, Any]]) -> list[str]:
    """Names of the settings that differ, except the usual ones."""
    names = sorted({name for each in settings for name in each} - {"network", "dataset", "epochs", "scale", "tau"})
    return [name for name in names if len({json.dumps(each.get(name)) for each in settings}) > 1]


def _words(setting: Mapping[str, Any], telling: list[str]) -> str:
    words = [str(setting[name]) for name in ("network", "dataset") if name in setting]
    words += [f"{setting['epochs']} epochs"] if "epochs" in setting else []
    words += [f"b* = {scale_text(setting['scale']).replace('√2', 'sqrt(2)')}"] if "scale" in setting else []
    levels = _levels(setting)
    words += ["tau = {:g} to {:g}".format(*levels)] if not math.isnan(levels[0]) else []
    return ", ".join([*words, *(f"{name.replace('_', ' ')} = {_plain(setting.get(name))}" for name in telling)])


def _plain(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
