"""Stores of LMCache's memory objects that are in flight."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

import fdpstore

if TYPE_CHECKING:
    from lmcache.utils import CacheEngineKey
    from lmcache.v1.memory_management import MemoryObj

    from fdpstore._engine_keys import StoreKey
    from fdpstore._memory_layouts import MemoryLayout
    from fdpstore._native import Store

Done = Callable[["CacheEngineKey"], None]


@dataclass
class Put:
    """One key of a store: its name there, and what to store under it."""

    name: StoreKey
    obj: MemoryObj
    layout: MemoryLayout


@dataclass
class _Task:
    puts: dict[CacheEngineKey, Put]
    done: Done | None
    future: Future[None]


class Puts:
    """A reference to each object is held until it is stored. Any thread may call any method."""

    def __init__(self, store: Store, logger: logging.Logger) -> None:
        """
        Args:
            store: nobody else may take its results of puts.
            logger: hears of stores that fail.
        """
        self._store = store
        self._logger = logger
        self._changed = threading.Condition()  # guards the two below
        self._tasks: dict[int, _Task] = {}
        self._keys: set[CacheEngineKey] = set()

    def __contains__(self, key: CacheEngineKey) -> bool:
        with self._changed:
            return key in self._keys

    def submit(self, puts: dict[CacheEngineKey, Put], done: Done | None) -> Future[None] | None:
        """Store what is not on its way already; None when that is nothing."""
        with self._changed:
            puts = {key: put for key, put in puts.items() if key not in self._keys}
            if not puts:
                return None
            buffers = [put.layout.to_store(put.obj) for put in puts.values()]
            task = _Task(puts, done, Future())
            task.future.set_running_or_notify_cancel()  # it cannot be cancelled
            # Before the submit, since it may be done at once; the lock keeps its result waiting.
            for put in puts.values():
                put.obj.ref_count_up()
            try:
                number = self._store.submit_put([put.name for put in puts.values()], buffers)
            except BaseException:
                for put in puts.values():
                    put.obj.ref_count_down()
                raise
            self._tasks[number] = task
            self._keys.update(puts)
        return task.future

    def finish(self) -> None:
        """Deal with what is done by now."""
        with self._changed:
            taken = [(self._tasks.pop(result[0]), result) for result in self._store.take_puts()]
        for task, _ in taken:
            for put in task.puts.values():
                put.obj.ref_count_down()
        with self._changed:
            for task, _ in taken:
                self._keys.difference_update(task.puts)
            self._changed.notify_all()
        for task, (_, ok, _, stored, _, _, error) in taken:
            self._report(task, set(stored))
            if ok:
                task.future.set_result(None)
            else:
                self._logger.warning("fdpstore: a store is incomplete: %s", error)
                task.future.set_exception(fdpstore.Error(f"not everything was stored: {error}"))

    def wait_for_one(self, timeout_s: float) -> bool:
        """Until stores are done, which gives memory back; False: none are in flight."""
        with self._changed:
            return bool(self._keys) and self._changed.wait(timeout_s)

    def _report(self, task: _Task, stored: set[StoreKey]) -> None:
        """LMCache hears of what has been written, not of what was there already."""
        if task.done is None:
            return
        for key, put in task.puts.items():
            if put.name not in stored:
                continue
            try:
                task.done(key)
            except Exception:
                self._logger.exception("fdpstore: the callback of a store failed for %s", key)
