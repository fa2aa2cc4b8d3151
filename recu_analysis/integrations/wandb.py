"""Scalars per layer and window for Weights & Biases; needs the extra `wandb` and its run, online or offline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from recu_analysis.integrations.scalars import COLUMNS, WindowLogger

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from recu_analysis.store.run import Run

#: The axis of the scalars. Metrics that others log cannot disturb it, unlike W&B's own step, which counts calls.
AXIS = "latent_update"


class WandbRun(Protocol):
    """The used part of the run that ``wandb.init`` returns."""

    def define_metric(self, name: str, step_metric: str | None = None) -> Any:
        """Define the axis of a metric."""

    def log(self, data: dict[str, Any]) -> Any:
        """Log numbers."""


class ScalarLogger(WindowLogger):
    """Logs each window of a run once, as ``column/layer`` over updates; call `update` during or after training.

    Parameters
    ----------
    run_dir : str or path-like
        The run directory; it may be created later.
    wandb_run : wandb.Run
        The caller finishes it.
    columns : sequence of str
        Columns of `recu_analysis.layer_table`.
    layers : str or sequence of str, optional
        Patterns of layer names.
    after : int
        Skip windows that end at or before this update, which a resumed training has already logged.

    Examples
    --------
    >>> scalars = ScalarLogger("runs/a", wandb.init(project="binary"))  # doctest: +SKIP
    >>> recorder.mark(epoch=epoch)  # doctest: +SKIP
    >>> scalars.update()  # doctest: +SKIP
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        wandb_run: WandbRun,
        columns: Sequence[str] = COLUMNS,
        *,
        layers: Sequence[str] | str | None = None,
        after: int = 0,
    ) -> None:
        def send(update: int, values: Mapping[str, float]) -> None:
            wandb_run.log({AXIS: update, **values})

        super().__init__(run_dir, send, columns, layers=layers, after=after)
        for column in columns:
            wandb_run.define_metric(f"{column}/*", step_metric=AXIS)


def log_windows(
    run: Run, wandb_run: WandbRun, columns: Sequence[str] = COLUMNS, *, layers: Sequence[str] | str | None = None
) -> None:
    """Log all windows of a run; see `ScalarLogger`."""
    ScalarLogger(run.path, wandb_run, columns, layers=layers).update()
