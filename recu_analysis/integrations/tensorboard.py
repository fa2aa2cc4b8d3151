"""Scalars per layer and window for TensorBoard; needs the extra `tensorboard` and any SummaryWriter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from recu_analysis.integrations.scalars import COLUMNS, WindowLogger

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from recu_analysis.store.run import Run


class Writer(Protocol):
    """The used part of ``torch.utils.tensorboard.SummaryWriter``, such as Lightning's ``logger.experiment``."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> Any:
        """Log one number."""


class ScalarLogger(WindowLogger):
    """Logs each window of a run once, as ``column/layer`` over updates; call `update` during or after training.

    Parameters
    ----------
    run_dir : str or path-like
        The run directory; it may be created later.
    writer : SummaryWriter
        The caller closes it.
    columns : sequence of str
        Columns of `recu_analysis.layer_table`.
    layers : str or sequence of str, optional
        Patterns of layer names.
    after : int
        Skip windows that end at or before this update, which a resumed training has already logged.

    Examples
    --------
    >>> scalars = ScalarLogger("runs/a", SummaryWriter("runs/a-tensorboard"))  # doctest: +SKIP
    >>> recorder.mark(epoch=epoch)  # doctest: +SKIP
    >>> scalars.update()  # doctest: +SKIP
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        writer: Writer,
        columns: Sequence[str] = COLUMNS,
        *,
        layers: Sequence[str] | str | None = None,
        after: int = 0,
    ) -> None:
        def send(update: int, values: Mapping[str, float]) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, update)

        super().__init__(run_dir, send, columns, layers=layers, after=after)


def log_windows(
    run: Run, writer: Writer, columns: Sequence[str] = COLUMNS, *, layers: Sequence[str] | str | None = None
) -> None:
    """Log all windows of a run; see `ScalarLogger`."""
    ScalarLogger(run.path, writer, columns, layers=layers).update()
