"""Stacked causes by layer: shares from left to right, and neighboring layers together where there are many."""

import pandas as pd
import pytest

from recu_analysis.plots.causes import causes, neighbors


@pytest.fixture
def table():
    shares = {"slow channel": 0.1, "held": 0.2, "undetermined": 0.7}
    rows = [
        {"row": row, "layer": name, "group": group, "cause": cause, "weights": weights}
        | {"share": share if weights else float("nan"), "share_null": float("nan")}
        for row, name, weights in (
            ("layer", "all", 10),
            ("layer", "two", 30),
            ("layer", "none", 0),
            ("total", "all", 40),
        )
        for group in ("tail-silent", "core-silent")
        for cause, share in (shares if name != "two" else dict.fromkeys(shares, 0.0) | {"held": 1.0}).items()
    ]
    return pd.DataFrame(rows)


def test_a_bar_for_each_layer(table, axes):
    causes(table, ax=axes)
    slow, held, rest = axes.containers
    assert [bar.get_width() for bar in slow] == pytest.approx([10.0, 0.0, 0.0])
    assert (held[0].get_x(), held[0].get_width()) == pytest.approx((10.0, 20.0))
    assert (rest[0].get_x(), rest[0].get_width()) == pytest.approx((30.0, 70.0))
    assert [text.get_text() for text in axes.get_yticklabels()] == ["all", "two", "none"]
    assert axes.get_ylim() == (3.0, 0.0), "the first layer is on top"


def test_neighbors_are_weighted_by_their_weights(table):
    few, size = neighbors(table, 2)
    assert size == 2
    few = few[few["row"] == "layer"]
    shares = few.set_index(["layer", "cause"])["share"]
    assert shares["all", "held"] == pytest.approx((0.2 * 10 + 30) / 40)
    assert few["layer"].unique().tolist() == ["all", "none"]
    assert neighbors(table, 3)[1] == 1


def test_the_last_bar_is_what_noise_alone_gives(table, axes):
    total = table["row"] == "total"
    table.loc[total, "share_null"] = table.loc[total, "cause"].map(
        {"slow channel": 0.0, "held": 0.05, "undetermined": 0.95}
    )
    causes(neighbors(table, 3)[0], ax=axes)
    _, held, rest = axes.containers
    assert (held[-1].get_width(), rest[-1].get_width()) == pytest.approx((5.0, 95.0))
    # A layer may have the name that rows of all layers have.
    assert [text.get_text() for text in axes.get_yticklabels()] == ["all", "two", "none", "noise alone"]
