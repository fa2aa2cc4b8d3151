"""A background thread that runs tasks in order until one fails."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Tasks that may wait in the queue; `put` blocks when it is full.
QUEUED_TASKS = 2


class Background:
    """A thread that runs tasks in the order in which they were queued.

    Attributes
    ----------
    error : Exception or None
        The exception of the first task that failed. After it, only tasks queued with `in_any_case` run.
    """

    def __init__(self, name: str) -> None:
        self.error: Exception | None = None
        self._discards = False
        self._queue: queue.Queue[tuple[Callable[[], object], bool] | None] = queue.Queue(QUEUED_TASKS)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, task: Callable[[], object], *, in_any_case: bool = False) -> None:
        """Queue a task; block only while the queue is full."""
        self._queue.put((task, in_any_case))

    def wait(self) -> None:
        """Block until all queued tasks are done."""
        if self._thread.is_alive():
            self._queue.join()

    def stop(self, *, discard: bool = False) -> None:
        """Run the queued tasks, or discard them, and end the thread."""
        self._discards = discard
        if self._thread.is_alive():  # it is not if an earlier call was interrupted while it waited
            self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            task, in_any_case = item
            if not self._discards and (self.error is None or in_any_case):
                try:
                    task()
                except Exception as error:  # the owner raises it at its next call
                    self.error = self.error or error
            self._queue.task_done()
        self._queue.task_done()
