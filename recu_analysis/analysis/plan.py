"""Before a training: how far its optimizer and its schedule will move weights, and what can be told then."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recu_analysis.analysis.final_windows import LONG_ENOUGH
from recu_analysis.errors import InputError, kind_of_value
from recu_analysis.theory.equilibrium import (
    COMMON_START,
    flips_per_update,
    is_settled,
    mobility,
    relative_step,
    steps_ahead,
)
from recu_analysis.theory.inheritance import UpdateRule, over_updates
from recu_analysis.theory.power import power
from recu_analysis.theory.schedule import learning_rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

#: Density of z at 0 for normal weights, which forecasts of flips assume.
DENSITY = 1.0 / math.sqrt(2.0 * math.pi)
#: A training of more epochs, or an epoch of more updates, is a typing mistake.
MOST_EPOCHS, MOST_UPDATES = 100_000, 10**9
#: A larger learning rate, weight decay or relative norm is a typing mistake, and so is a norm below 1 / this.
LARGEST = 1e6
#: Momentum of SGD, and beta1 of AdamW, if none is given.
MOMENTUM = 0.9
#: Relative error of numbers that would be equal without rounding.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Training:
    """The settings of a training that decide how far its weights move.

    Attributes
    ----------
    rule : UpdateRule
    lr, weight_decay : float
        Highest learning rate, and weight decay of the latent weights.
    epochs, updates_per_epoch : int
    schedule : str
        One of `recu_analysis.theory.schedule.RATES`.
    warm_up : int
        Epochs of warm-up.
    """

    rule: UpdateRule
    lr: float
    weight_decay: float
    epochs: int
    updates_per_epoch: int
    schedule: str = "cosine"
    warm_up: int = 0

    def __post_init__(self) -> None:
        for name, value in (("learning rate", self.lr), ("weight decay", self.weight_decay)):
            if not 0.0 <= value <= LARGEST:
                raise InputError(f"the {name} must be a number from 0 to {LARGEST:g}, not {value:g}")
        if not 0.0 <= self.rule.momentum < 1.0:
            name = "beta1" if self.rule.decoupled else "the momentum"
            raise InputError(f"{name} must be at least 0 and below 1, not {self.rule.momentum:g}")
        _check_whole(epochs=self.epochs, updates_per_epoch=self.updates_per_epoch, warm_up=self.warm_up)
        if not 1 <= self.epochs <= MOST_EPOCHS:
            raise InputError(f"a plan needs 1 to {MOST_EPOCHS} epochs, not {self.epochs}")
        if not 1 <= self.updates_per_epoch <= MOST_UPDATES:
            raise InputError(f"an epoch needs 1 to {MOST_UPDATES} updates, not {self.updates_per_epoch}")
        if not 0 <= self.warm_up < self.epochs:
            raise InputError(f"the warm-up must be shorter than the {self.epochs} epochs, not {self.warm_up}")
        learning_rate(0, self.epochs, self.lr, self.schedule, self.warm_up)  # refuses an unknown schedule
        self._check_forecast()

    def _check_forecast(self) -> None:
        """InputError where the forecast is not defined: updates diverge, or the momentum never settles."""
        largest = np.abs(np.linalg.eigvals(self.rule.matrix(self.lr, self.weight_decay))).max()
        if largest > 1.0 + ROUNDING:
            raise InputError(
                f"with learning rate {self.lr:g} and weight decay {self.weight_decay:g}, decay alone makes weights "
                "grow in every update, so the training diverges; give a smaller learning rate or weight decay"
            )
        updates, remembered = self.epochs * self.updates_per_epoch, 1.0 / (1.0 - self.rule.momentum)
        if remembered > updates * (1.0 + ROUNDING):
            raise InputError(
                f"a momentum of {self.rule.momentum:.12g} remembers 1 / (1 - momentum) = {remembered:.4g} updates, and "
                f"the training has {updates}; give a smaller momentum or a longer training"
            )

    @property
    def rates(self) -> list[float]:
        """Learning rate of each epoch."""
        return [learning_rate(e, self.epochs, self.lr, self.schedule, self.warm_up) for e in range(self.epochs)]


def plan(
    *,
    lr: float,
    weight_decay: float,
    epochs: int,
    updates_per_epoch: int,
    momentum: float | None = None,
    nesterov: bool = False,
    adamw: bool = False,
    beta1: float | None = None,
    schedule: str = "cosine",
    warm_up: int = 0,
    window_epochs: int = 1,
    start_norm: float = COMMON_START,
) -> pd.DataFrame:
    """Forecast how far weights will move in a training, and from which windows dead weights can be told.

    T is exact. The other forecasts follow from optimizer, schedule and `start_norm`. They assume weights that a
    standardization makes independent of their scale, gradients that are noise of one size in all epochs, and normal z.
    Signal in the gradients does not change them much. But gradients are larger in the first epochs, and fade where a
    network fits its images; then weights stay too wide and move less, and windows must be longer. Record a short
    training to know. See `recu_analysis.theory.equilibrium`.

    Parameters
    ----------
    lr : float
        Learning rate after the warm-up, the highest.
    weight_decay : float
        Of the latent weights.
    epochs, updates_per_epoch : int
    momentum : float, optional
        Of SGD, by default 0.9.
    nesterov : bool
        Whether SGD has Nesterov's momentum.
    adamw : bool
        Whether the optimizer is AdamW with this `beta1`, and not SGD.
    beta1 : float, optional
        Of AdamW, by default 0.9.
    schedule : {"cosine", "step", "linear", "constant"}
        Schedule of the learning rate, as `recu-analyze train` has them.
    warm_up : int
        Epochs in which the learning rate rises.
    window_epochs : int
        Epochs in a window of the record; the last window may be shorter.
    start_norm : float
        Norm of the weights before the first update, relative to that in equilibrium at the learning rate `lr`. It
        depends on the network and is an assumption. Smaller weights move farther at first, larger ones less far, so
        that windows must be longer.

    Returns
    -------
    DataFrame
        One row for each window:

        - window, epoch (the last), updates
        - lr: sum of the learning rates of the updates
        - decay_time: T of the window
        - norm_forecast: norm at the end, relative to that in equilibrium at `lr`
        - mobility_equilibrium, mobility_forecast: standard deviations per update, in equilibrium at the learning rates
          of the window and from the given start; NaN without weight decay
        - flip_ratio_equilibrium, flip_ratio_forecast: flips per weight and update, by the flip law
        - settled: whether the two mobilities differ by at most a tenth
        - decay_time_to_end, autocorrelation_null: T, and the autocorrelation of z that noise alone would
          leave, from the start of the window to the end of the training
        - long_enough: whether that is at most 1/2, so that the windows from this one to the last can tell dead weights
          from slow ones
        - power: of the test of a single weight over these windows, see `recu_analysis.theory.power`

    Raises
    ------
    InputError
        If a number is out of its range, there is no such schedule, an argument belongs to the other optimizer,
        Nesterov's momentum is asked without momentum, decay makes weights grow, or the memory of the momentum,
        1 / (1 - momentum) updates, is longer than the training.
    """
    rule = rule_of(momentum, beta1, nesterov=nesterov, adamw=adamw)
    training = Training(rule, lr, weight_decay, epochs, updates_per_epoch, schedule, warm_up)
    return plan_table(training, window_epochs, start_norm)


def rule_of(momentum: float | None, beta1: float | None, *, nesterov: bool, adamw: bool) -> UpdateRule:
    """The update rule of `plan`'s optimizer; it raises the same errors."""
    if adamw and (momentum is not None or nesterov):
        what = "Nesterov's momentum" if nesterov else "momentum"
        raise InputError(f"{what} belongs to SGD, and AdamW has beta1; give either {what} or adamw")
    if not adamw and beta1 is not None:
        raise InputError("beta1 belongs to AdamW, and SGD has momentum; omit beta1, or ask for adamw")
    if nesterov and momentum == 0.0:
        raise InputError("Nesterov's momentum needs a momentum above 0; give one, or omit nesterov")
    if adamw:
        return UpdateRule.of("AdamW", {"betas": (MOMENTUM if beta1 is None else beta1, 0.999)})
    return UpdateRule.of("SGD", {"momentum": MOMENTUM if momentum is None else momentum, "nesterov": nesterov})


def plan_table(training: Training, window_epochs: int = 1, start_norm: float = COMMON_START) -> pd.DataFrame:
    """The table of `plan`, from the settings of a training."""
    _check_whole(window_epochs=window_epochs)
    if window_epochs < 1:
        raise InputError(f"a window needs at least one epoch, not {window_epochs}")
    if not 1.0 / LARGEST <= start_norm <= LARGEST:
        raise InputError(
            f"the norm at the start must be a number from {1.0 / LARGEST:g} to {LARGEST:g}, not {start_norm:g}"
        )
    by_epoch = _by_epoch(training, start_norm)
    window = by_epoch["epoch"] // window_epochs
    windows = by_epoch.groupby(window).agg(
        epoch=("epoch", "last"),
        updates=("updates", "sum"),
        lr=("lr", "sum"),
        decay_time=("decay_time", "sum"),
        norm_forecast=("norm_forecast", "last"),
        mobility_equilibrium=("mobility_equilibrium", "mean"),
        mobility_forecast=("mobility_forecast", "mean"),
    )
    for kind in ("equilibrium", "forecast"):
        windows[f"flip_ratio_{kind}"] = flips_per_update(DENSITY, 1.0) * windows[f"mobility_{kind}"]
    windows["settled"] = is_settled(windows["mobility_forecast"], windows["mobility_equilibrium"])
    to_end = by_epoch.groupby(window)[["decay_time_to_end", "autocorrelation_null"]].first()
    table = windows.join(to_end)
    table["long_enough"] = table["autocorrelation_null"] <= LONG_ENOUGH
    table["power"] = power(table["decay_time_to_end"], np.arange(len(table), 0, -1))
    return table.rename_axis("window").reset_index()


def _check_whole(**numbers: object) -> None:
    """InputError unless these arguments are whole numbers."""
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise InputError(f"{name} must be a whole number, not {kind_of_value(value)}")


def windows_needed(table: pd.DataFrame) -> int | None:
    """How many last windows of a `plan` are long enough to tell dead weights from slow ones; None if all are not."""
    long = np.flatnonzero(table["long_enough"])
    return len(table) - int(long[-1]) if long.size else None


def _by_epoch(training: Training, start_norm: float) -> pd.DataFrame:
    """One row for each epoch, with what is left of its start at the end of the training."""
    rule, decay, updates = training.rule, training.weight_decay, training.updates_per_epoch
    rows: list[dict[str, Any]] = []
    norms = [start_norm]
    for epoch, lr in enumerate(training.rates):
        step, after = steps_ahead(rule, training.lr, decay, lr, updates, norms[-1])
        norms.append(after)
        settled = relative_step(rule, lr, decay) if decay > 0.0 else math.nan
        rows.append(
            {
                "epoch": epoch,
                "updates": updates,
                "lr": lr * updates,
                "decay_time": rule.decay_time(lr, decay) * updates,
                "norm_forecast": after,
                "mobility_equilibrium": mobility(settled),
                "mobility_forecast": mobility(step),
            }
        )
    table = pd.DataFrame(rows)
    table["decay_time_to_end"] = table["decay_time"][::-1].cumsum()[::-1]
    left = _kept(training) * np.array(norms[:-1]) / norms[-1]
    table["autocorrelation_null"] = np.minimum(left, 1.0)  # norms know nothing of the momentum's delay
    return table


def _kept(training: Training) -> Values:
    """Return a from the start of each epoch to the end of the training; the small term of the momentum is left out."""
    kept, after = np.empty(training.epochs), np.eye(2)
    for epoch, lr in reversed([*enumerate(training.rates)]):
        one = training.rule.inherited(lr, training.weight_decay)
        after = after @ over_updates(one, training.updates_per_epoch)
        kept[epoch] = after[0, 0]
    return kept
