"""fdpstore as a connector of LMCache's ``native_plugin`` L2 adapter (MP mode)::

    {"type": "native_plugin", "module_path": "fdpstore.native", "class_name": "Connector",
     "adapter_params": {"base_path": "/mnt/kv", "layout": "segment", "capacity_gb": 500}}

``adapter_params`` takes fdpstore's options. Keys are the texts that LMCache makes of its
ObjectKeys, ``<model>@<kv_rank>@<group>@<hash>[@<salt>]``, and are stored as those ObjectKeys: a
store may be opened through ``fdpstore.lmcache`` and through this in turn. Any other text is a
ValueError.

``fdpstore.lmcache`` is the better door where there is a choice. Through this one LMCache cannot
lock an object against reclaim between look-up and load, counts its usage itself (from nothing at
start, and without what the store reclaims), and shows nothing of the store's state.

Source: lmcache/v1/distributed/l2_adapters/native_connector_l2_adapter.py of LMCache 0.5.6.
"""

from __future__ import annotations

import itertools
import os
import select
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import fdpstore

# (future, whether all of it succeeded, first error or "", success of each key)
Completion = tuple[int, bool, str, list[bool] | None]


class Connector:
    """A store with one event descriptor. Any thread may call any method; submits never block.

    No thread on the way of get, set and exists; one for deletes, which the store makes durable
    before they return, started with the first of them.

    Raises:
        ValueError: a bad option; a submit: a malformed key.
        fdpstore.Error: the store cannot be opened; a submit after ``close``.
    """

    def __init__(self, **options: object) -> None:
        self._store = fdpstore.open(options)
        self._deleted_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        for fd in (
            self._store.put_event_fd(),
            self._store.get_event_fd(),
            self._store.lookup_event_fd(),
            self._deleted_fd,
        ):
            self._epoll.register(fd, select.EPOLLIN)
        self._lock = threading.Lock()  # guards the three below
        self._deletes: ThreadPoolExecutor | None = None
        self._deleted: list[Completion] = []
        self._closed = False
        # The store's task numbers are even here, those of deletes odd.
        self._delete_numbers = itertools.count(1, 2)

    def event_fd(self) -> int:
        """Readable while ``drain_completions`` has something; valid until ``close``."""
        return self._epoll.fileno()

    def submit_batch_set(self, keys: Sequence[str], memoryviews: Sequence[memoryview]) -> int:
        """Store; a key that is there already is only touched."""
        return 2 * self._store.submit_put(keys, memoryviews)

    def submit_batch_get(self, keys: Sequence[str], memoryviews: Sequence[memoryview]) -> int:
        """Load into writable memory; a hit holds exactly the bytes that were stored."""
        return 2 * self._store.submit_get(keys, memoryviews)

    def submit_batch_exists(self, keys: Sequence[str]) -> int:
        return 2 * self._store.submit_lookup(keys, False)

    def submit_batch_delete(self, keys: Sequence[str]) -> int:
        """True for each object that was there."""
        with self._lock:
            if self._closed:
                raise fdpstore.Error("the store has been closed", "closed")
            if self._deletes is None:
                self._deletes = ThreadPoolExecutor(1, "fdpstore-deletes")
            number = next(self._delete_numbers)
            self._deletes.submit(self._delete, number, list(keys))
        return number

    def drain_completions(self) -> list[Completion]:
        """Everything that is done by now, each once."""
        with self._lock:
            if not self._closed:
                self._clear_events()  # before taking: what comes later signals anew
            done, self._deleted = self._deleted, []
        self._store.take_dropped()  # this protocol has no word for what the store reclaims
        return [*self._store_completions(), *done]

    def close(self) -> None:
        """Finish what is in flight; afterwards no caller's memory is touched. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._deletes is not None:
            self._deletes.shutdown()
        self._epoll.close()
        os.close(self._deleted_fd)
        self._store.close()

    def _store_completions(self) -> Iterator[Completion]:
        for task, ok, _, _, _, _, error in self._store.take_puts():
            yield 2 * task, ok, error or "", None
        for task, count, prefix, rest, _, error in self._store.take_gets():
            yield 2 * task, error is None, error or "", _bools(count, prefix, rest)
        for task, count, prefix, rest in self._store.take_lookups():
            yield 2 * task, True, "", _bools(count, prefix, rest)

    def _clear_events(self) -> None:
        for fd, _ in self._epoll.poll(0):
            os.eventfd_read(fd)  # nobody else reads them

    def _delete(self, number: int, keys: list[str]) -> None:
        try:
            removed = [size is not None for size in self._store.erase(keys)]
            completion: Completion = (number, True, "", removed)
        except Exception as error:  # a malformed key too: the adapter waits for an answer
            completion = (number, False, str(error), [False] * len(keys))
        with self._lock:
            self._deleted.append(completion)
        os.eventfd_write(self._deleted_fd, 1)


def _bools(count: int, prefix: int, rest: list[int]) -> list[bool]:
    found = [True] * prefix + [False] * (count - prefix)
    for index in rest:
        found[index] = True
    return found
