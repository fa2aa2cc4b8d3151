"""record(): the one line that records the latent weights of a network while it trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.capture.recorder import Recorder

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    import torch


def record(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer],
    run_dir: str | os.PathLike[str],
    *,
    layers: Sequence[str] | str | None = None,
    every: int | None = None,
    resume: int | None = None,
    configuration: Mapping[str, Any] | None = None,
    quantities: Iterable[str] = (),
    only: Iterable[str] | None = None,
    state: Mapping[str, torch.Tensor] | None = None,
    example: Any = None,
) -> Recorder:
    """Record the latent weights of a binary network while it trains.

    Every step of the optimizer is accounted for, exactly; training with and without recording gives bitwise
    the same weights. The run directory holds one window a `mark`. A step is an update however many batches its
    gradient was accumulated over; one that GradScaler skips is none.

    In several processes (DistributedDataParallel) every one calls this and goes on alike: that of rank 0 records, and
    what the others get takes the same calls, counts the updates and writes nothing.

    Parameters
    ----------
    model : torch.nn.Module
        Its binary layers are found by themselves; `find_binary_layers` says which.
    optimizer : Optimizer or sequence of Optimizer
        What updates the latent weights; each layer belongs to one. The optimizer that accelerate has prepared is taken
        as it is, and so is its model.
    run_dir : str or path-like
        New or empty folder.
    layers : str or sequence of str, optional
        Patterns of the names of the layers to record instead.
    every : int, optional
        Close a window by itself after this many updates, beside those that `mark` closes.
    resume : int, optional
        Go on with the run in `run_dir`: the update at which the loaded model and optimizer stood. Windows past
        it are hidden, not deleted.
    configuration : mapping, optional
        What run.json shall say of the training; JSON types.
    quantities : iterable of str
        What is kept of every weight beside the usual: ``"ema"`` (OvSW's moving average of the flips) and ``"grad"``
        (the sum of abs(gradient) before each update). A gradient is counted as the optimizer gets it: clipped where it
        was clipped, without the scale of GradScaler.
    only : iterable of str, optional
        What is kept in place of the usual, which is ``"path"``, ``"zpath"`` and ``"flip_times"`` (the numbers of the
        first and last update that flipped it); state and flips are kept always.
    state : mapping, optional
        What `Recorder.state_dict` gave: go on with the run in `run_dir` in the middle of a window. The model and the
        optimizers must stand where it was taken; `resume` may be left out.
    example : Tensor, tuple, list or dict, optional
        What the model is called with. It is passed through the model once, in evaluation mode, which leaves weights,
        buffers and random numbers as they are, to compare the weights that each layer uses with the states that
        would be recorded. Without it the first forward pass of the training is watched.

    Returns
    -------
    Recorder
        With `mark`, `close_window`, `flush` and `close`; also a context manager.

    Raises
    ------
    InputError
        If there is no such quantity, `every` is below 1, or the state is not that of these layers and weights.
    NoBinaryLayersError
        If the model has no binary layer.
    RecorderError
        If the optimizer does not hold a binary layer's weight, is being recorded already, or cannot be watched; if the
        weight is on the meta device, sparse or a shard; if a layer's forward pass uses other weights than the states
        that would be recorded: with `example` before anything is written, else at the first update, and the run is
        then marked as refused and may be overwritten. Later, if a layer has got another parameter, or weights moved
        although no update was seen.
    RunExistsError
        If `run_dir` is not empty and `resume` is not given.
    StoreError
        If `run_dir` cannot be written, or has too little room.

    Examples
    --------
    >>> with record(model, optimizer, "runs/a") as recorder:  # doctest: +SKIP
    ...     for epoch in range(epochs):
    ...         train_one_epoch(model, optimizer)
    ...         recorder.mark(epoch=epoch)
    """
    return Recorder(
        model,
        optimizer,
        run_dir,
        layers=layers,
        every=every,
        resume=resume,
        configuration=configuration,
        quantities=quantities,
        only=only,
        state=state,
        example=example,
    )
