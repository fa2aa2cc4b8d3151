"""The public plot functions: one call for all, into the axes that they are given, of runs, paths and tables."""

from __future__ import annotations

import inspect

import pandas as pd
import pytest
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.analysis.histogram import weight_histogram
from recu_analysis.analysis.mobility import mobility_query
from recu_analysis.analysis.scores import score_histogram
from recu_analysis.errors import InputError, LayerNotFoundError
from recu_analysis.testing import synthetic_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ra.open_run(synthetic_run(tmp_path_factory.mktemp("plots") / "run", traces=3).path)


# Their own arguments beside the run, the table that they take in its place, and a property of what they draw.
OF_RUNS = {
    "plot_accuracy": ({}, lambda run: run.metrics, "alpha"),
    "plot_by_magnitude": ({"quantity": "mobility", "windows": "2:", "layers": "second"}, ra.by_magnitude, "lw"),
    "plot_claims": ({}, lambda run: ra.claims(run), "markersize"),
    "plot_dead_weights": (
        {"layer": "second", "windows": 3},
        lambda run: weight_histogram(run, layer="second"),
        "alpha",
    ),
    "plot_flip_law": ({"windows": "2:", "layers": "second"}, ra.flip_table, "markersize"),
    "plot_heat_map": ({"quantity": "mobility", "layers": "second"}, ra.layer_table, "alpha"),
    "plot_layer_errors": ({"layers": "second", "windows": 2}, ra.measured_tradeoff, "alpha"),
    "plot_lock_in": ({"layers": "second"}, ra.flip_table, "linewidth"),
    "plot_mobility": ({"layers": "second", "windows": "2:"}, lambda run: mobility_query(run).run(), "linewidth"),
    "plot_ridge": (
        {"layer": "second", "windows": "2:"},
        lambda run: score_histogram(run, layer="second", windows="2:"),
        "alpha",
    ),
    "plot_rho": ({"layers": "second", "tail_tau": 0.9}, ra.earned, "linewidth"),
    "plot_scores": (
        {"layer": "second", "windows": 2},
        lambda run: score_histogram(run, layer="second", windows=2),
        "alpha",
    ),
    "plot_silence": ({"layers": "second", "tail_tau": 0.9}, ra.layer_table, "linewidth"),
    "plot_split": ({"layers": "second", "windows": "2:"}, ra.earned, "alpha"),
    "plot_survival": ({"layers": "second", "tail_tau": 0.9}, ra.survival, "linewidth"),
    "plot_tradeoff": ({"epochs": 12, "layers": "second"}, ra.measured_tradeoff, "linewidth"),
    "plot_trajectories": (
        {"layer": "second", "windows": "2:"},
        lambda run: ra.traces(run, layers="second"),
        "linewidth",
    ),
    "plot_training": ({"quantity": "val_top1"}, lambda run: run.metrics, "linewidth"),
}
OF_CLOSED_FORMS = {
    "plot_entropy": {},
    "plot_quantization_error": {"b": [2.0]},
    "plot_schedule": {"epochs": 100},
    "plot_ternary": {"threshold": (0.0, 1.0)},
}
# These need runs that were trained, or a table of no run, and have tests of their own.
ELSEWHERE = {
    "plot_causes",
    "plot_initial_scale",
    "plot_intervention",
    "plot_length",
    "plot_mask",
    "plot_occupancy",
    "plot_oscillation",
    "plot_transitions",
}
#: Of several series, each with a name of its own.
NEVER_LABELED = {"plot_initial_scale", "plot_schedule", "plot_ternary"}


def test_every_plot_function_is_tested_and_called_alike():
    names = {name for name in ra.__all__ if name.startswith("plot_")}
    assert names == {*OF_RUNS, *OF_CLOSED_FORMS, *ELSEWHERE}
    for name in names:
        parameters = list(inspect.signature(getattr(ra, name)).parameters.values())
        given = [each.name for each in parameters if each.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD]
        assert len(parameters) - len(given) == (name not in OF_CLOSED_FORMS), name
        assert given[:2] == ["ax", "palette"], name
        assert given[2:].count("label") == (name not in NEVER_LABELED), name
        assert given[-1] == "properties", name


@pytest.mark.parametrize("name", [*OF_RUNS, *OF_CLOSED_FORMS])
def test_it_draws_a_run_a_path_or_a_table_into_the_axes(run, name):
    plot = getattr(ra, name)
    own, table, style = OF_RUNS.get(name, (OF_CLOSED_FORMS.get(name), None, "alpha"))
    options = own | {style: 0.5} | ({} if name in NEVER_LABELED else {"label": "named"})
    for given in [()] if table is None else [(run,), (str(run.path),), (table(run),)]:
        axes = Figure().subplots()
        assert plot(*given, ax=axes, **options) is axes
        assert axes.has_data()
        texts = (
            [text.get_text() for each in axes.figure.axes for text in each.get_legend().get_texts()]
            if axes.get_legend()
            else []
        )
        said = [*texts, axes.get_title(), *(line.get_label() for line in axes.lines), axes.figure.axes[-1].get_ylabel()]
        said += [text.get_text() for text in axes.texts]
        assert name in NEVER_LABELED or any("named" in each for each in said), said
    for wrong, fact in [
        ({"colour": "red"}, "did you mean .*color"),
        ({"ax": [1]}, "one matplotlib Axes"),
        ({"palette": "red"}, "palette|colors"),
    ]:
        with pytest.raises(InputError, match=fact):
            plot(*given, **{"ax": Figure().subplots(), **own, **wrong})


def test_what_is_neither_a_run_nor_a_table_is_said(run):
    for name in OF_RUNS.keys() - {"plot_tradeoff"}:
        for wrong in (None, 12):
            with pytest.raises(InputError, match=r"\b(run|runs|a run) (is|must be)"):
                getattr(ra, name)(wrong, ax=Figure().subplots())
        with pytest.raises(InputError, match="lacks the column"):
            getattr(ra, name)(pd.DataFrame({"x": [1]}), ax=Figure().subplots())


def test_several_runs_have_the_labels_and_colors_of_their_mappings(run):
    axes = ra.plot_flip_law({"a": run, "b": run.path}, ax=Figure().subplots(), palette={"a": "red", "b": "tab:blue"})
    drawn = {line.get_label(): line.get_color() for line in axes.lines}
    assert {"a": "red", "b": "tab:blue"}.items() <= drawn.items()
    table = pd.concat([ra.flip_table(run).assign(run=label, flip_ratio_null=0.01) for label in "ab"])
    axes = ra.plot_flip_law(table, ax=Figure().subplots(), palette=["red", "blue"])
    # Of each run there are the measured flips and those of noise alone.
    assert [line.get_color() for line in axes.lines][1:] == ["red", "red", "blue", "blue"]
    for wrong, fact in [
        ({"palette": {"a": "red"}}, "no color for the run 'b'; .* its labels are 'a'"),
        ({"palette": ["red"]}, "has 1 colors, but 2"),
        ({"palette": ["red", "rde"]}, "'rde'"),
        ({"label": "c"}, "names one run, and 2"),
        ({"markersize": "large"}, "does not take these properties: could not convert"),
    ]:
        with pytest.raises(InputError, match=fact):
            ra.plot_flip_law(table, ax=Figure().subplots(), **wrong)


def test_an_unknown_layer_is_refused(run):
    with pytest.raises(LayerNotFoundError):
        ra.plot_dead_weights(run, layer="nothing", ax=Figure().subplots())


def test_without_a_layer_one_in_the_middle_is_shown(run):
    assert ra.plot_dead_weights(run, ax=Figure().subplots()).has_data()
    assert ra.plot_scores(run, ax=Figure().subplots()).has_data()
