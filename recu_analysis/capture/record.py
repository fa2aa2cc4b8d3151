"""record(): the one line that records the latent weights of a network while it trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.capture.recorder import Recorder

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    import torch

    from recu_analysis.capture.traces import TracesArgument


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
    traces: TracesArgument = None,
    channels: float = 1.0,
    channel_seed: int = 0,
    state: Mapping[str, torch.Tensor] | None = None,
    example: Any = None,
) -> Recorder:
    """Record the latent weights of a binary network while it trains.

    Every update is recorded exactly. Training with and without recording gives bitwise identical weights. The run
    directory has one window per `mark`. A step of the optimizer is one update, even if its gradient was accumulated
    over several batches; a step that GradScaler skips is not an update. A recorded state is -1 or +1: in a layer with
    ``zero="authors"``, a weight that becomes exactly 0 during the training is recorded as +1.

    With several processes (DistributedDataParallel), every process calls this function and makes the same calls
    afterwards. Rank 0 records; the recorders of the other ranks count the updates and write nothing.

    A model that ``torch.distributed.fsdp.fully_shard`` has sharded is recorded by every process, each its rows; `mark`,
    `close_window`, `flush` and `close` then wait for all of them. It has no state within a window, and no
    gradient-stats.

    Parameters
    ----------
    model : torch.nn.Module
        Its binary layers are found automatically; `find_binary_layers` lists them.
    optimizer : Optimizer or sequence of Optimizer
        The optimizers of the latent weights; each layer belongs to one of them.
        What `accelerator.prepare` of accelerate returns is accepted, for the model too.
    run_dir : str or path-like
        New or empty folder; with `resume` or `state`, the folder of the run. Or its URL in an object store,
        ``"s3://bucket/folder"``: windows are sent in the background. If the store fails for good, a RecordingWarning
        says so, and the training goes on without recording.
    layers : str or sequence of str, optional
        Patterns of the names of the layers to record instead of those found.
    every : int, optional
        Also close a window automatically after this many updates.
    resume : int, optional
        Continue the run in `run_dir` at this update, at which the loaded model and optimizer were saved. Later windows
        are hidden, not deleted.
    configuration : mapping, optional
        Description of the training for run.json; JSON types.
    quantities : iterable of str
        Additional quantities of every weight: ``"ema"`` (OvSW's moving average of the flips), ``"grad"`` (the sum of
        abs(gradient) before each update) and ``"gradient-stats"`` (what tells gradients that push a weight from noise,
        and the momentum at each window's start; 18 bytes a weight and window). A gradient is counted as the optimizer
        uses it: after clipping, without the scale of GradScaler.
    only : iterable of str, optional
        Quantities to keep instead of the default ones, which are ``"path"``, ``"zpath"`` and ``"flip_times"`` (the
        numbers of the first and the last update at which the weight flipped). State and flips are always kept.
    traces : int, or mapping of str to int or sequence, optional
        Weights whose value, z and state are recorded after every update, for `recu_analysis.traces`: a number per
        layer, such as 16. Or a mapping of patterns of layer names to a number, or to places of weights: flat indices,
        or tuples of one index for each axis. The drawn weights are the same in every run of the network. Each takes 16
        bytes per update on disk, and up to 24 in memory until the window ends. A resumed run goes on with its own
        weights.
    channels : float
        Share of the output channels of each layer that is recorded, such as 0.05: a random sample of at least two,
        every update of them, bitwise as in a recording of all. Memory and disk are in proportion.
    channel_seed : int
        Seed of the sample, which depends on the seed and on the name and the number of channels of the layer alone. A
        resumed run needs the same `channels` and `channel_seed`.
    state : mapping, optional
        State from `Recorder.state_dict`: continue the run in `run_dir` in the middle of a window. The model and the
        optimizers must be in the state in which it was taken; `resume` may be omitted.
    example : Tensor, tuple, list or dict, optional
        Input of the model. It is passed through the model once, in evaluation mode, to compare the weights that each
        layer uses with the states that would be recorded; weights, buffers and random numbers stay unchanged. Without
        it, the first forward pass of the training is checked.

    Returns
    -------
    Recorder
        A context manager with `mark`, `close_window`, `flush` and `close`.

    Raises
    ------
    InputError
        If a quantity is not known, `every` is below 1, there is no such weight to trace, the state is not of these
        layers and weights, or `channels` or `channel_seed` is out of range.
    NoBinaryLayersError
        If the model has no binary layer.
    RecorderError
        If the optimizer does not hold a binary layer's weight, is already being recorded, or its steps cannot be seen;
        if the weight is on the meta device or sparse, or sharded in an unknown way; if a layer's forward pass does not
        use the states that would be recorded. With `example` the last error is raised before anything is written;
        otherwise at the first update, and the run is then marked as refused and may be overwritten. Later, if a
        parameter was replaced, or weights moved although no update was seen.
    RunExistsError
        If `run_dir` is not empty and neither `resume` nor `state` is given.
    StoreError
        If `run_dir` cannot be written or has too little free space.
    LostProcessError
        Also from the recorder's methods: if another process of a sharded training has ended.

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
        traces=traces,
        channels=channels,
        channel_seed=channel_seed,
        state=state,
        example=example,
    )
