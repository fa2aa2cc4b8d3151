"""recu-analyze layers: which layers of a network or of a checkpoint are binary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.analysis.rendering import Column, laid_out
from recu_analysis.analysis.short_names import distinct, shorten
from recu_analysis.cli import options
from recu_analysis.cli.output import View, table_lines, write_table
from recu_analysis.cli.target import table_target

if TYPE_CHECKING:
    import pandas as pd

    from recu_analysis.cli.target import Target
    from recu_analysis.interop.official import OfficialCheckpoint

_COLUMNS = (
    Column("name", meaning="Name of the layer."),
    Column("shape", meaning="Shape of the layer's weight."),
    Column("weights", width=6, meaning="Number of weights in the layer."),
    Column("binary", meaning="Whether the layer is binary."),
    Column("why", meaning="How this is known."),
)
#: Most characters of a name on a terminal, and least characters of a reason.
_NAME, _WHY = 30, 20
_SILENT = "the checkpoint holds no information about its training"


@click.command("layers", epilog="Example: recu-analyze layers resnet20")
@click.argument("source", metavar="NETWORK|CHECKPOINT", callback=options.no_list)
@options.unsafe_load
@table_target
@options.common
def command(source: str, unsafe_load: bool, target: Target) -> None:
    """List the layers of a network, by its name, or of a checkpoint (.pth.tar, .pth, .ckpt, .safetensors, ...).

    The table shows whether each layer is binary, and why. For a checkpoint, this is inferred from the tensors beside
    each weight. Code in the file is not run unless --unsafe-load is given.
    """
    table, heading = _listed(source, unsafe_load)
    view = View(
        table,
        _COLUMNS,
        caption=f"Layers of {Path(source).name}.",
        runs=[Path(source).name],
        above=heading,
        below=[_total(table)],
        lines=lambda width: _lines(table, width),
    )
    write_table(view, target)


def _listed(source: str, unsafe_load: bool) -> tuple[pd.DataFrame, list[str]]:
    """The table, and the lines above it."""
    from recu_analysis.capture.layer_listing import list_network, list_state
    from recu_analysis.errors import NoBinaryLayersError
    from recu_analysis.interop.checkpoints import read_state
    from recu_analysis.nn import build_network
    from recu_analysis.store.places import local

    path = local(source, "a checkpoint")
    if _is_file_name(path):
        state = read_state(path, unsafe_load=unsafe_load)
        table = list_state(state.tensors)
        if table.empty:
            raise NoBinaryLayersError(
                f"{path} holds no layer: no tensor is called weight and has two or more axes; give a checkpoint"
            )
        if state.odd:
            more = f" and {len(state.odd) - 1} more" if len(state.odd) > 1 else ""
            options.warn(f"{path}: left out, since not ordinary tensors of real numbers: {state.odd[0]}{more}")
        return table, [_checkpoint_summary(path, unsafe_load)]
    return list_network(build_network(source)), []


def _checkpoint_summary(path: Path, unsafe_load: bool) -> str:
    """Facts about a checkpoint's training in one line; only checkpoints of ReCU's authors hold them."""
    from recu_analysis.errors import CheckpointError
    from recu_analysis.interop.official import load_official

    try:
        return _facts_text(load_official(path, unsafe_load=unsafe_load))
    except CheckpointError:
        return _SILENT


def _is_file_name(path: Path) -> bool:
    try:
        return path.suffix != "" or len(path.parts) > 1 or path.exists()
    except OSError:  # reading the file reports why
        return True


def _facts_text(checkpoint: OfficialCheckpoint) -> str:
    """Facts about a checkpoint's training in one line."""
    facts = [f"network {checkpoint.name}"] if checkpoint.name else []
    if checkpoint.epoch is not None:
        facts.append(f"epoch {checkpoint.epoch}")
    if checkpoint.best_top1 is not None:
        facts.append(f"best top-1 {checkpoint.best_top1:.2f} %")
    taus = [value for key, value in checkpoint.state_dict.items() if key.endswith(".tau") and value.ndim == 0]
    levels = sorted({f"{float(tau):.4f}" for tau in taus})
    if levels:
        facts.append(f"tau {levels[0]}" if len(levels) == 1 else f"tau {levels[0]} to {levels[-1]}")
    return ", ".join(facts) or _SILENT


def _lines(table: pd.DataFrame, width: int | None) -> list[str]:
    """One line per layer; names and reasons are shortened to fit a terminal."""
    if width is None:
        return table_lines(table, _COLUMNS)
    named = table.assign(name=distinct(list(table["name"]), _NAME)[1])
    others = laid_out(named, _COLUMNS).widths[:-1]
    room = max(width - sum(others) - len(others), _WHY)
    return table_lines(named.assign(why=[shorten(why, room) for why in table["why"]]), _COLUMNS)


def _total(table: pd.DataFrame) -> str:
    binary = table[table["binary"]]
    weights, every = int(binary["weights"].sum()), int(table["weights"].sum())
    share = f", {100 * weights / every:.1f} %" if every else ""
    return f"{len(binary)} of {len(table)} layers are binary: {weights} of {every} weights{share}"
