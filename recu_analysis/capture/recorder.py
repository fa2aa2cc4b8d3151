"""Recorder: optimizer hooks that record every update, and windows that are written to disk."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self

from torch.optim.optimizer import register_optimizer_step_post_hook

from recu_analysis.capture.accumulate import warn_of_infinite
from recu_analysis.capture.adapters import binary_layers
from recu_analysis.capture.arguments import number_of_updates, require_arguments, update_to_resume
from recu_analysis.capture.environment import what_trains
from recu_analysis.capture.gradient_sums import need_gradients
from recu_analysis.capture.interrupts import interrupts_deferred
from recu_analysis.capture.layer_start import pool_for, record_layer
from recu_analysis.capture.metrics import plain
from recu_analysis.capture.optimizers import (
    Steps,
    free_optimizers,
    has_closure,
    recorded,
    warn_of_left_out,
    was_skipped,
)
from recu_analysis.capture.outside import OtherOptimizers, unseen_movement_error, warn_after_the_end
from recu_analysis.capture.ranks import ranks_of, require_alike
from recu_analysis.capture.recorded_rows import part_of
from recu_analysis.capture.resuming import RecordingPosition, begin, name_tensor, unfinished_window_error
from recu_analysis.capture.traces import chosen_weights
from recu_analysis.capture.verification import Hook, Verification
from recu_analysis.errors import RecorderError
from recu_analysis.store.channels import sampling_of
from recu_analysis.store.display import count, html_facts, html_rows, plain_text
from recu_analysis.store.places import as_place
from recu_analysis.store.quantities import requested
from recu_analysis.store.state import window_bytes

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    import torch
    from torch.utils.hooks import RemovableHandle

    from recu_analysis.capture.adapters import BinaryLayer
    from recu_analysis.capture.layer_recording import LayerRecording
    from recu_analysis.capture.traces import TracesArgument


class Recorder:
    """Result of `recu_analysis.record`: a context manager that records until its block ends."""

    def __init__(
        self,
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
    ) -> None:
        sampling = sampling_of(channels, channel_seed)
        every, resume = number_of_updates(every), update_to_resume(resume)
        require_arguments(model, run_dir, configuration)
        self._optimizers = free_optimizers(optimizer)
        self._every = every
        self._run_dir = as_place(run_dir)
        self._quantities = requested(quantities, only) + (() if traces is None else ("traces",))
        self._needs_gradients = need_gradients(self._quantities)
        self._closed = False
        self._position = RecordingPosition.first(len(self._optimizers), resume, state)
        self._ranks = ranks_of(model)
        with self._ranks.agreeing():  # every process runs the same checks, so an error ends all of them
            if self._ranks.sharded and state is not None:
                raise unfinished_window_error()
            found = binary_layers(model, layers)
            traced = chosen_weights({layer.name: layer.shape for layer in found}, traces, sampling)
            warn_of_left_out(found, self._optimizers)
        require_alike(self._ranks, found, (self._quantities, traced, sampling, every, resume, len(self._optimizers)))
        with self._ranks.agreeing():
            found = self._ranks.held(found)
            self._verification = Verification() if example is None else Verification.of_example(model, found, example)
            self._verification.settle()
            parts = [(layer, part_of(layer, sampling)) for layer in (found if self._ranks.records else [])]
            self._recordings = [
                record_layer(
                    layer, self._optimizers, self._position.updates, self._quantities, traced.get(layer.name, ()), part
                )
                for layer, part in parts
                if part is not None
            ]
        self._pool = pool_for(self._recordings)
        self.window_bytes = window_bytes([recording.spec for recording in self._recordings], self._quantities)
        self._writer = begin(
            self._run_dir,
            self._recordings,
            self._position,
            self._ranks,
            resume=resume,
            state=state,
            configuration=configuration or {},
            quantities=self._quantities,
            about=what_trains(model, self._optimizers),
        )
        self._resumed, self._began = resume is not None or state is not None, list(self._position.updates)
        self._handles: list[RemovableHandle] = []
        self._shared: dict[str, float | None] = {}
        try:
            self._watch(found)
            if self._verification.shares:
                self._tell_layers()
        except BaseException:
            self._stop()
            self._writer.abandon()
            raise

    def _watch(self, found: Sequence[BinaryLayer]) -> None:
        """Register hooks on steps (also of other optimizers), on loaded states, and on forward passes."""
        self._steps = [Steps() for _ in self._optimizers]
        self._other_optimizers = OtherOptimizers(
            [recording.layer.parameter for recording in self._recordings], self._optimizers, self._steps
        )
        for index, each in enumerate(self._optimizers):
            self._handles.append(each.register_step_pre_hook(self._before_hook(index)))
            self._handles.append(each.register_step_post_hook(self._after_hook(index)))
        self._handles.append(register_optimizer_step_post_hook(self._other_optimizers.note))
        for recording in self._recordings:
            loading: Any = recording.layer.module.register_load_state_dict_post_hook
            self._handles.append(loading(Hook(recording.outside.note_loading)))
        self._verification.watch(
            found, {recording.layer.name: recording.whole_last_seen for recording in self._recordings}
        )
        recorded.update(self._optimizers)

    @property
    def update(self) -> int:
        """Number of the last recorded update."""
        return max(self._position.updates)

    @property
    def lr(self) -> float | None:
        """Current learning rate of the first layer's parameter group; None if this process does not record."""
        return self._recordings[0].learning_rate(self._optimizers) if self._recordings else None

    def mark(self, **metrics: Any) -> None:
        """Close the open window, queue it for writing and log the metrics; a window without updates is not written.

        Parameters
        ----------
        **metrics
            Numbers and texts for this line of metrics.jsonl, such as ``epoch=3, val_top1=91.2``. If ``lr`` is not
            given, it is taken from the first binary layer's parameter group.

        Raises
        ------
        InputError
            If a metric is neither number nor text, or is named window or update; the window stays open.
        RecorderError
            If the recording is closed, a layer's forward pass does not use the recorded states, or weights moved
            although no update was seen.
        StoreError
            If a window could not be written.
        """
        self._refuse_closed()
        line = {"lr": self.lr} | {name: plain(name, value) for name, value in metrics.items()}
        self._settle(together=True)
        self._refuse_unseen()
        with interrupts_deferred():
            # The mark belongs to a window that `every` or `close_window` has just closed.
            number = self._write_window() if self._open else self._position.unmarked
            self._position.unmarked = None
            self._writer.write_metrics({"window": number, "update": self.update} | line)

    def close_window(self) -> None:
        """Close the open window, if it has updates, without a line of metrics, for example before a checkpoint.

        The next mark belongs to this window if no update comes between.

        Raises
        ------
        RecorderError
            If the recording is closed, or a layer's forward pass does not use the recorded states.
        StoreError
            If a window could not be written.
        """
        self._refuse_closed()
        self._settle(together=True)
        with interrupts_deferred():
            if self._open:
                self._position.unmarked = self._write_window()

    def flush(self) -> None:
        """Block until every closed window is on disk.

        Raises
        ------
        RecorderError
            If the recording is closed.
        StoreError
            If a window could not be written.
        """
        self._refuse_closed()
        self._ranks.confirm(self._writer)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """State with which another process can continue the recording in the middle of the open window.

        Save it with the model and the optimizer, and pass it to ``record(..., state=state)``. The windows are then
        bitwise identical to those of a recording that never stopped. At a mark, ``resume=`` is enough. The method
        returns when all earlier windows are on disk.

        Returns
        -------
        dict of str to Tensor
            Contiguous copies on the CPU, about 16 bytes per weight; torch.save and safetensors can store them.

        Raises
        ------
        RecorderError
            If the recording is closed, or the model is sharded.
        StoreError
            If a window could not be written.
        """
        if self._ranks.sharded:
            raise unfinished_window_error()
        self.flush()
        layers = {f"{name}/{t.layer.name}": tensor for t in self._recordings for name, tensor in t.state().items()}
        return self._position.tensors() | {"run": name_tensor(self._writer.run_id)} | layers

    def close(self) -> None:
        """Remove the hooks, write the open window marked as partial, and wait for the disk. May be called again.

        Raises
        ------
        RecorderError
            If a layer's forward pass does not use the recorded states, or weights moved although no update was seen.
        StoreError
            If a window could not be written.
        """
        if self._closed:
            return
        self._settle(together=True)
        if self._position.updates != self._began and self._verification.give_up(say=bool(self._recordings), ended=True):
            self._tell_layers()
        if self._position.updates == self._began or any(self._ranks.gathered(bool(self._other_optimizers.names))):
            self._refuse_unseen()
        # A final validation may have moved weights; this is not a reason to end a training with an error.
        for recording in self._recordings:
            if (moved := recording.unseen_movement()).weights:
                warn_after_the_end(recording.layer.name, moved)
        self._closed = True
        self._stop()
        try:
            if self._open:
                self._write_window(partial=True)
            if self._ranks.sharded:
                self._ranks.confirm(self._writer)
        finally:
            self._writer.close()
            self._ranks.end()

    def _leave(self) -> None:
        """End the recording of this process alone: the open window, which needs all processes, is not written."""
        if not self._closed:
            self._closed = True
            self._stop()
            self._writer.close()

    def _stop(self) -> None:
        """Remove all hooks and stop the threads."""
        for handle in self._handles:
            handle.remove()
        self._verification.stop()
        recorded.difference_update(self._optimizers)
        if self._pool is not None:
            self._pool.shutdown()

    def __repr__(self) -> str:
        return f"<Recorder {plain_text(self._run_dir)}: {', '.join(self._told().values())}>"

    def _repr_html_(self) -> str:
        """Where it stands, and the layers that it records, for a notebook."""
        facts = {"folder": self._run_dir} | self._told() | {"kept beside states": ", ".join(self._quantities)}
        specs = [recording.spec for recording in self._recordings]
        rows = [(spec.name, *spec.shape_and_weights, spec.adapter, spec.verified) for spec in specs]
        return html_facts("Recorder", facts) + html_rows(["layer", "shape", "weights", "adapter", "verified"], rows)

    def _told(self) -> dict[str, str]:
        layers = count(len(self._recordings), "layer") if self._recordings else "the process of rank 0 records"
        return {
            "layers": layers,
            "last update": f"update {self.update}",
            "state": "closed" if self._closed else "recording",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # The other processes may wait for this one elsewhere, so an error ends the recording without them.
            if error is not None and self._ranks.sharded:
                self._leave()
            else:
                self.close()
        except Exception as failure:
            if error is None:
                raise
            # The user must see the error of the training loop.
            error.add_note(f"closing the recording failed too: {failure}")

    @property
    def _open(self) -> bool:
        return self._position.updates != self._position.window_start

    def _refuse_closed(self) -> None:
        if self._closed:
            raise RecorderError("the recording is closed; call mark() and flush() inside its with block")

    def _settle(self, *, together: bool = False) -> None:
        """Process the results of the forward passes; end the recording with RecorderError if one uses other states.

        If `together`, an error of one process ends all processes that record the model.
        """
        with self._ending(wrong=True), self._ranks.agreeing() if together else contextlib.nullcontext():
            if self._verification.settle():
                self._tell_layers()

    def _refuse_unseen(self) -> None:
        """End the recording with RecorderError if weights moved although the window has no update."""
        if self._position.unmarked is not None:
            return  # a window was just closed, and the next one has not begun
        with self._ending(wrong=False), self._ranks.agreeing():
            for recording in self._recordings:
                if recording.unseen_movement().weights:
                    optimizer = self._optimizers[recording.optimizer]
                    raise unseen_movement_error(
                        recording.layer.name, recording.unseen_movement(), optimizer, self._other_optimizers.names
                    )

    @contextlib.contextmanager
    def _ending(self, *, wrong: bool) -> Iterator[None]:
        """End the recording after a RecorderError inside the context.

        The run is marked as refused if it has no update, or if its data is `wrong`. A resumed run without a new update
        is left unchanged.
        """
        try:
            yield
        except RecorderError as error:
            self._closed = True
            self._stop()
            bare = self._position.updates == self._began
            if bare and self._resumed:
                self._writer.abandon()
            elif bare or wrong:
                self._writer.refuse(str(error))
            self._writer.close()
            raise

    def _tell_layers(self) -> None:
        if not self._ranks.sharded:  # otherwise the end of a window tells what all processes have seen
            self._writer.rewrite_layers(
                [self._verification.verified_spec(recording.spec) for recording in self._recordings]
            )

    def _before_hook(self, index: int) -> Any:
        def before_step(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
            outermost, failed = self._steps[index].begins()
            if not outermost:
                return
            # The first pass shows the weights of most layers.
            self._settle(together=self._position.updates[index] == self._began[index])
            recordings, closure = self._of(index), has_closure(args, kwargs)
            for recording in recordings:
                # Movement by a failed step is not an update. Otherwise one check per window is enough.
                if failed or recording.updates == 0:
                    recording.count_outside_movement()
            self._at_once(lambda recording: recording.prepare(optimizer, closure=closure), recordings)
            if not closure and self._needs_gradients and not was_skipped(optimizer):
                self._at_once(lambda recording: recording.add_gradient(optimizer, done=False), recordings)

        return before_step

    def _after_hook(self, index: int) -> Any:
        def after_step(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
            if not self._steps[index].ends() or was_skipped(optimizer):
                return
            self._settle()  # a closure has already made its forward pass
            with interrupts_deferred():
                if self._needs_gradients and has_closure(args, kwargs):
                    self._at_once(lambda recording: recording.add_gradient(optimizer, done=True), self._of(index))
                self._advance(index, optimizer)
                self._position.unmarked = None
                if self._every and self._position.updates[index] - self._position.window_start[index] >= self._every:
                    self._position.unmarked = self._write_window()

        return after_step

    def _advance(self, index: int, optimizer: torch.optim.Optimizer) -> None:
        recordings = self._of(index)
        for recording in recordings:
            recording.require_same_weight()
        self._position.updates[index] += 1
        update = self._position.updates[index]
        for recording in recordings:
            recording.count(optimizer)
        self._at_once(lambda recording: recording.advance(update), recordings)

    def _of(self, index: int) -> list[LayerRecording]:
        """The layers that an optimizer updates."""
        return [recording for recording in self._recordings if recording.optimizer == index]

    def _at_once(self, work: Callable[[LayerRecording], None], recordings: Sequence[LayerRecording]) -> None:
        """Do the work for these layers, in the threads if there are any."""
        for _ in (self._pool.map if self._pool else map)(work, recordings):
            pass

    def _write_window(self, *, partial: bool = False) -> int:
        if self._verification.give_up(say=bool(self._recordings)):
            self._tell_layers()
        for recording in self._recordings:
            recording.count_outside_movement()
        # A resumption from here may find these weights instead of the final weights of the window.
        moved = {
            recording.layer.name: recording.digest_text() for recording in self._recordings if recording.outside.goes_on
        }
        states = {recording.layer.name: recording.take() for recording in self._recordings}
        self._shares_of_all(self._ranks.finish(self._recordings, states, self._writer, self._verification.shares))
        first, last = min(self._position.window_start) + 1, max(self._position.updates)
        self._position.window_start = list(self._position.updates)
        more = {"moved": moved} if moved else {}
        number = self._writer.write_window(states, first_update=first, last_update=last, partial=partial, more=more)
        warn_of_infinite(states)
        return number

    def _shares_of_all(self, shares: Mapping[str, float | None]) -> None:
        """Tell readers what all processes that record the model have seen of its layers."""
        if self._ranks.sharded and shares != self._shared:
            seen = Verification(shares=dict(shares))
            self._writer.rewrite_layers([seen.verified_spec(recording.run_spec) for recording in self._recordings])
            self._shared = dict(shares)
