"""Notes about an undamaged run that readers must know, and text about how the run was recorded."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from recu_analysis.errors import listed
from recu_analysis.store.channels import FEWEST
from recu_analysis.store.labels import together
from recu_analysis.store.layer_selection import numbers_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recu_analysis.store.run import Run

#: Layers that a text lists before it counts the rest.
LISTED = 5


def notes(run: Run) -> list[str]:
    """Sentences about a run that are shown with its tables.

    Parameters
    ----------
    run : Run

    Returns
    -------
    list of str
        Sentences about weights that moved outside updates although no adapter declares it, and about layers whose zpath
        is not of the effective weights. Often empty.
    """
    unknown = [spec.name for spec in run.header.layers if not spec.knows_z]
    found = moved_outside(run)
    if unknown:
        found.append(
            f"an earlier version recorded {listed(unknown, LISTED)} with a zpath that is not of the effective weights; "
            "mobility and still weights are not shown for these layers"
        )
    return found


def sampled_channels(runs: Mapping[str, Run]) -> list[str]:
    """Which output channels some runs record, if not all; with the runs' labels if they differ in this.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels.
    """
    labels: defaultdict[str, list[str]] = defaultdict(list)
    for label, run in runs.items():
        samples = dict.fromkeys((each.share, str(each)) for spec in run.header.layers if (each := spec.channels))
        shares = listed([f"{100.0 * share:g} % ({how})" for share, how in samples], LISTED)
        labels[shares].append(label)
    return [
        (f"{together(of)}: " if labels.keys() - {shares} else "")
        + f"sampled channels: {shares} of the output channels of each layer, at least {FEWEST}; numbers are of these"
        for shares, of in labels.items()
        if shares
    ]


def moved_outside(run: Run) -> list[str]:
    """A sentence about weights that moved outside updates although no adapter declares it; empty if none did."""
    windows: defaultdict[str, list[int]] = defaultdict(list)
    weights: defaultdict[str, int] = defaultdict(int)
    largest: defaultdict[str, float] = defaultdict(float)
    for window in run.windows:
        for name, layer in window.header.layers.items():
            count = layer.more.get("outside_weights") or 0
            if count and not window.specs[name].in_place:
                windows[name].append(window.number)
                weights[name] += count
                largest[name] = max(largest[name], layer.more.get("outside_step") or 0.0)
    if not windows:
        return []
    worst = max(windows, key=lambda name: (weights[name], name))
    step = f"by {largest[worst]:.3g} at most" if largest[worst] else "to or from NaN or infinity"
    return [
        f"weights moved outside updates in {len(windows)} of {len(run.header.layers)} layers, most in {worst!r}: "
        f"{weights[worst]:,} weights in window{'s' if windows[worst][1:] else ''} {numbers_text(windows[worst])}, "
        f"{step}; such a step is counted as part of the update after it"
    ]


def outside_text(run: Run) -> str:
    """Text about weights that moved outside updates, for the table of a run's facts."""
    looked = [layer.more for window in run.windows for layer in window.header.layers.values()]
    if not any("outside_updates" in more for more in looked):
        return "not known whether weights moved"
    declared = sum(more.get("outside_weights") or 0 for more in looked)
    return "; ".join(moved_outside(run)) or (
        f"{declared:,} weights moved, as their adapters declare" if declared else "none moved"
    )


def verified_text(run: Run) -> str:
    """Text about how many layers were verified in the forward pass to use the recorded states, and which were not."""
    layers = run.header.layers
    if all(layer.verified is None for layer in layers):
        return "not known which states the forward pass uses"
    sure = [layer.name for layer in layers if layer.verified and not layer.differs]
    unsure = [layer.name or "(itself)" for layer in layers if layer.verified is False]
    soft = [f"{layer.name or '(itself)'} {layer.differs:.2%}" for layer in layers if layer.verified and layer.differs]
    text = f"recorded states verified in {len(sure)} of {len(layers)} layers"
    if soft:
        text += f"; approximate, differing in {listed(soft, LISTED)}"
    return text + (f"; unverified: {listed(unsure, LISTED)}" if unsure else "")
