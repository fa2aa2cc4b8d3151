"""recu-analyze updates: how tail and core of every layer move, and whether the tail is stuck or only far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.cli import options
from recu_analysis.cli.output import aligned, deliver, ends, number, three_digits, with_interval
from recu_analysis.cli.stretches import choice, too_short

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from recu_analysis.analysis.horizon import Stretch
    from recu_analysis.analysis.selection import WindowRange

_WIDTHS = (14, 4, 4, 4, 9, 4, 4, 9, 4, 9, 4)
_NAMES = ("layer", "tail", "core", "t/c", "95 %", "tail", "t/c", "95 %", "O/E", "95 %", "mem")
_NOTES = (
    "* mean |change of z| per update, in 1/1000 of a standard deviation; t/c: tail to",
    "core. flips: per cent of the tail with at least one; t/c: risk, tail to core.",
    "O/E: sign changes of the tail from start to end, over those that steps of the",
    "layer's own size would make from where each weight stood: below 0.5 the tail is",
    "stuck, about 1 it is only far. Raw update magnitudes: --format csv.",
)


@click.command("updates", epilog="Example: recu-analyze updates runs/demo/baseline --layer 'layer3.*'")
@options.run_argument
@options.layer_option
@options.window_option
@options.tail_tau_option
@options.table_output
@options.common
@options.jobs
def command(
    run: Path,
    layers: tuple[str, ...],
    window: WindowRange | None,
    tail_tau: float | str,
    form: str,
    output: Path | None,
) -> None:
    """Show how the tail and the core of every layer of RUN move, side by side, with 95 % intervals over channels.

    The tail is that of when the windows begin. The last columns ask whether it is stuck or merely far from zero.
    """
    from recu_analysis.analysis.distance import tails_query
    from recu_analysis.analysis.horizon import final_stretch

    opened = options.opened(run)
    stretch = final_stretch(opened) if window is None else None
    chosen: Any = stretch.range if stretch else window
    level: Any = tail_tau
    table = options.answered(tails_query(opened, chosen, level, layers or None), [opened])
    deliver(table, form, output, lambda frame: as_text(frame, stretch), printed=_printed)


def as_text(table: pd.DataFrame, stretch: Stretch | None = None) -> str:
    """The table in 80 columns, with what its columns mean."""
    first = table.iloc[0]
    seen = "every update seen" if first["exact"] else "sampled from checkpoints: movement is net"
    head = f"windows {first['first_window']}:{first['last_window'] + 1}, {first['updates']} updates, {seen}"
    rows = [_cells(row) for row in table.to_dict(orient="records")]
    above = " " * 15 + "mobility*".center(24) + " " + "flips".center(19)
    lines = aligned(_NAMES, rows, _WIDTHS, above=[above.rstrip()])
    return "\n".join([head, *choice(stretch), "", *lines, "", *_NOTES, *too_short(table["memory"])])


def _printed(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of the text table, for LaTeX, each ratio with its interval."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "layer": row["layer"],
                "mobility tail (1e-3)": three_digits(1e3 * row["mobility_tail"]),
                "core (1e-3)": three_digits(1e3 * row["mobility_core"]),
                "tail to core": _in_brackets(row, "mobility_ratio"),
                "flips in the tail (%)": number(100 * row["flip_probability_tail"], 1),
                "risk, tail to core": _in_brackets(row, "flip_risk_ratio"),
                "sign changes, O/E": _in_brackets(row, "distance_ratio_tail"),
                "memory": number(row["memory"], 2),
            }
            for row in table.to_dict(orient="records")
        ]
    )


def _in_brackets(row: Mapping[Any, Any], name: str) -> str:
    return with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"], 2)


def _cells(row: Mapping[Any, Any]) -> list[str]:
    return [
        row["layer"],
        three_digits(1e3 * row["mobility_tail"]),
        three_digits(1e3 * row["mobility_core"]),
        *_with_interval(row, "mobility_ratio"),
        number(100 * row["flip_probability_tail"], 1),
        *_with_interval(row, "flip_risk_ratio"),
        *_with_interval(row, "distance_ratio_tail"),
        number(row["memory"], 2),
    ]


def _with_interval(row: Mapping[Any, Any], name: str) -> tuple[str, str]:
    return _short(row[name]), ends(row[f"{name}_low"], row[f"{name}_high"], _short)


def _short(value: float) -> str:
    """At most four characters; >999 for what has more before the point."""
    return three_digits(value) if not value > 999 else ">999"
