"""Tasks that a thread of its own does one after another, up to the first that fails."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Tasks that may wait before whoever gives another one waits for them.
QUEUED_TASKS = 2


class Background:
    """A thread that does tasks in the order in which they come.

    Attributes
    ----------
    error : Exception or None
        What the first task that failed raised; only tasks that are done in any case are done after it.
    """

    def __init__(self, name: str) -> None:
        self.error: Exception | None = None
        self._discards = False
        self._queue: queue.Queue[tuple[Callable[[], object], bool] | None] = queue.Queue(QUEUED_TASKS)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, task: Callable[[], object], *, in_any_case: bool = False) -> None:
        """Queue a task; waits only while the queue is full."""
        self._queue.put((task, in_any_case))

    def wait(self) -> None:
        """Return when everything queued is done."""
        if self._thread.is_alive():
            self._queue.join()

    def stop(self, *, discard: bool = False) -> None:
        """Do what is queued, or nothing of it, and end the thread."""
        self._discards = discard
        if self._thread.is_alive():  # not where an earlier call was interrupted while it waited
            self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            task, in_any_case = item
            if not self._discards and (self.error is None or in_any_case):
                try:
                    task()
                except Exception as error:  # raised by whoever gave the task, at its next call
                    self.error = self.error or error
            self._queue.task_done()
        self._queue.task_done()
