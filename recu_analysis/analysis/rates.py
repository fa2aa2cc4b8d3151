"""The rates of the optimizer over some windows: what decay leaves of a weight, and what moves one without a signal."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from recu_analysis.analysis.logged import as_numbers
from recu_analysis.errors import InputError
from recu_analysis.store.header import LayerWindow
from recu_analysis.theory.inheritance import UpdateRule, over_updates, product
from recu_analysis.theory.noise import Rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window

    Values = NDArray[np.float64]


def kept_part(run: Run, windows: Sequence[Window], layer: str) -> float:
    """a: the part of a layer's weights that decay and momentum alone leave over consecutive windows.

    Parameters
    ----------
    run : Run
    windows : sequence of Window
        Consecutive windows with updates.
    layer : str

    Returns
    -------
    float
        From the recorded maps of the windows. Approximate where the run has none: from the mean rates of each window,
        else exp(-T). NaN where T is not known either, as for imported checkpoints.
    """
    if not windows:
        return 1.0
    if not all(window.exact for window in windows):
        return math.nan
    merged = LayerWindow.merged([window[layer].summary for window in windows], windows[0].quantities)
    linear = merged.more.get("map")
    if linear is not None:
        return float(linear[0][0])
    try:
        known = rates(run, windows, layer)
    except InputError:
        return math.exp(-merged.decay_time)
    return _kept(tuple(known))


# Cached, because the layers of a network mostly have the same rates.
@lru_cache(maxsize=128)
def _kept(known: tuple[Rates, ...]) -> float:
    """The part of the weights that decay and momentum leave at these rates."""
    return float(product([over_updates(e.rule.inherited(e.lr, e.weight_decay), e.updates) for e in known])[0, 0])


def momentum_part(windows: Sequence[Window], layer: str) -> float:
    """b: the part of the momentum at the start that moves into the weights over consecutive windows.

    Parameters
    ----------
    windows : sequence of Window
        Consecutive windows with updates.
    layer : str

    Returns
    -------
    float
        From the recorded maps of the windows: 0 for AdamW, whose steps in flight count as made by gradients. NaN where
        the run has no map.
    """
    linear = LayerWindow.merged([window[layer].summary for window in windows], windows[0].quantities).more.get("map")
    return math.nan if linear is None else float(linear[0][1])


def is_approximate(run: Run, windows: Sequence[Window]) -> bool:
    """Whether `kept_part` is approximate for some layer, because the windows hold no map of decay and momentum."""
    return any("map" not in window[name].summary.more for window in windows for name in run.layer_names)


def momentum_at_start(windows: Sequence[Window], layer: str) -> float:
    """Root mean square of a layer's momentum over that of its weights before the first update; inf if not known.

    0 at the start of a training.
    """
    summary = windows[0][layer].summary
    if summary.first_update == 1:
        return 0.0
    momentum, weights = (float(summary.more.get(name, math.nan)) for name in ("momentum_norm", "norm_start"))
    return momentum / weights if weights > 0.0 and math.isfinite(momentum) else math.inf


def rates(run: Run, windows: Sequence[Window], layer: str) -> list[Rates]:
    """The rates of a layer over consecutive windows, for `recu_analysis.theory.noise.simulate`.

    Parameters
    ----------
    run : Run
    windows : sequence of Window
        With updates.
    layer : str

    Returns
    -------
    list of Rates
        One for each window, of its updates with a gradient; without such an update, nothing moves.

    Raises
    ------
    InputError
        If the windows were imported, or the update of the optimizer is not known.
    """
    if not all(window.exact for window in windows):
        raise InputError(f"{run.path} was imported from checkpoints, so the rates of its updates are not known")
    found = []
    for window in windows:
        summary = window[layer].summary
        if not math.isfinite(summary.lr + summary.lr_decay):
            raise InputError(f"{window.where} does not hold the learning rates of layer {layer!r:.80}")
        updates = summary.more.get("gradient_updates", summary.updates)
        decay = summary.lr_decay / summary.lr if summary.lr > 0.0 else 0.0
        found.append(Rates(_rule(run, summary), summary.lr / max(updates, 1), decay, updates))
    return found


def rates_by_epoch(run: Run, window: Window, layer: str) -> list[Rates]:
    """The rates of a window of `rates` by epoch, where the run logs a learning rate for each; else the means over it.

    A thinned run has windows of several epochs, in which the learning rate is not constant.
    """
    (whole,) = rates(run, [window], layer)
    ends, lrs, _ = _logged(run)
    parts = [
        Rates(whole.rule, lr, whole.weight_decay, int(update - before))
        for (before, update), lr in zip(pairwise([0.0, *ends]), lrs, strict=True)
        if window.first_update <= update <= window.last_update and update > before
    ]
    fits = math.isclose(sum(each.lr * each.updates for each in parts), whole.lr * whole.updates, rel_tol=1e-6)
    return parts if fits else [whole]


def mean_tau(run: Run, window: Window, layer: str) -> float | None:
    """Tau of a layer over a window: the mean over its epochs where the run logs them, else that at its end.

    A thinned run has windows of several epochs, in which tau rises.
    """
    end = window[layer].summary.tau
    if end is None:
        return None
    update, _, tau = _logged(run)
    logged = tau[(update >= window.first_update) & (update <= window.last_update)]
    # Another tau may be logged than that of the layer.
    return float(np.nanmean(logged)) if len(logged) > 1 and math.isclose(logged[-1], end, rel_tol=1e-6) else end


# Cached, because each layer and window needs it, and tables are slow.
def _logged(run: Run) -> tuple[Values, Values, Values]:
    """Last update, learning rate and tau of each epoch that the run logs; NaN where it does not."""
    if run not in _LOGGED:
        marks = as_numbers(run.metrics.reindex(columns=["update", "lr", "tau"]))
        update, lr, tau = (marks[name].to_numpy(np.float64) for name in marks)
        _LOGGED[run] = update, lr, tau
    return _LOGGED[run]


_LOGGED: WeakKeyDictionary[Run, tuple[Values, Values, Values]] = WeakKeyDictionary()


def _rule(run: Run, summary: LayerWindow) -> UpdateRule:
    """The update rule of a window: recorded, else of the optimizer in run.json, else of SGD with this T."""
    numbers = summary.more.get("rule")
    if numbers is not None:
        return UpdateRule.from_list(numbers)
    if "norm_end" in summary.more:  # recorded by a version that knows rules
        raise InputError(f"{run.path} was trained by an optimizer whose update is not known, or whose settings changed")
    optimizers = run.header.environment.get("optimizers")
    if isinstance(optimizers, list) and optimizers:
        return _named(run, optimizers)
    if not 0.0 < summary.lr_decay <= summary.decay_time < math.inf:
        raise InputError(f"{run.path} does not tell its optimizer, and has no weight decay from which to infer it")
    # An early run: T / (sum of lr x weight decay) is 1 / (1 - momentum).
    return UpdateRule(1.0 - summary.lr_decay / summary.decay_time)


def _named(run: Run, optimizers: list[object]) -> UpdateRule:
    """The rule of the optimizers in run.json if it is the same for all parameter groups."""
    try:
        rules = {
            UpdateRule.of(str(each["class"]), group)  # type: ignore[index]
            for each in optimizers
            for group in each["groups"]  # type: ignore[index]
        }
    except (KeyError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{run.path} does not tell the settings of its optimizer") from None
    if len(rules) != 1:
        raise InputError(f"{run.path} has parameter groups with different momentum, and does not tell which is whose")
    return rules.pop()
