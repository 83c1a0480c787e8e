"""Waiting for tasks of a store, from any number of threads and without a thread of its own."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result", bound=tuple)


class Completions(Generic[Result]):
    """Results of one kind of task, handed to those who wait for them.

    One of the waiting threads polls the store's eventfd and takes what is there, for the others
    too; then the next one does. Nobody else may take results of this kind from the store.
    """

    def __init__(self, event_fd: int, take: Callable[[], list[Result]]) -> None:
        """
        Args:
            event_fd: the store's, for this kind of task.
            take: the store's method that returns results; the first field is the task.
        """
        self._fd = os.dup(event_fd)  # outlives the store: who waits while it closes is woken
        self._take = take
        self._poller = select.poll()
        self._poller.register(self._fd, select.POLLIN)
        self._changed = threading.Condition()  # guards the two below
        self._results: dict[int, Result] = {}
        self._polling = False

    def wait(self, task: int) -> Result:
        """The result of a task that was submitted and that nobody else waits for."""
        while True:
            with self._changed:
                while task not in self._results and self._polling:
                    self._changed.wait()
                if task in self._results:
                    return self._results.pop(task)
                self._polling = True
            taken: list[Result] = []
            try:
                taken = self._take()  # a look-up in memory is done before it can be waited for
                if not taken:
                    self._poller.poll()
                    self._clear()
                    taken = self._take()
            finally:
                with self._changed:
                    self._results.update((result[0], result) for result in taken)
                    self._polling = False
                    self._changed.notify_all()

    def close(self) -> None:
        """When the store is closed, so that all tasks are done, or nobody waits any more."""
        with self._changed:
            while self._polling:
                self._changed.wait()
            os.close(self._fd)

    def _clear(self) -> None:
        with contextlib.suppress(BlockingIOError):  # an earlier one took the count
            os.read(self._fd, 8)
