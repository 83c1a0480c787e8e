"""Keys, memory and drivers for tests with the real LMCache. Importing it without LMCache skips."""

import hashlib
import os
import select
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

pytest.importorskip("lmcache", reason="LMCache is not installed (pip install lmcache==0.5.6)")

import numpy as np
import torch
from lmcache.lmcache_native import Bitmap
from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.internal_api import L2AdapterListener, L2StoreResult
from lmcache.v1.distributed.l2_adapters.base import L2AdapterInterface
from lmcache.v1.memory_management import MemoryFormat, MemoryObjMetadata, TensorMemoryObj

WAIT_S = 30.0
MODEL = "org/model-8b"
RANK_0 = ObjectKey.ComputeKVRank(1, 0, 1, 0)


def make_key(number: int, salt: str = "", rank: int = RANK_0, model: str = MODEL) -> ObjectKey:
    return ObjectKey(hashlib.sha256(str(number).encode()).digest(), model, rank, 0, salt)


def make_keys(count: int, first: int = 0, **fields: Any) -> list[ObjectKey]:
    return [make_key(number, **fields) for number in range(first, first + count)]


def payload(key: ObjectKey, size: int) -> bytes:
    """What is stored under `key`: depends on all of the key, so a mix-up is noticed."""
    seed = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big")
    return np.random.Generator(np.random.SFC64(seed)).bytes(size)


def memory(size: int, content: bytes | None = None, offset: int = 0) -> TensorMemoryObj:
    """A real MemoryObj over host memory; `offset` from page alignment."""
    buffer = torch.zeros(size + 8192, dtype=torch.uint8)
    start = -buffer.data_ptr() % 4096 + offset
    data = buffer[start : start + size]
    if content is not None:
        data.numpy()[:] = np.frombuffer(content, dtype=np.uint8)
    shape = torch.Size([size])
    metadata = MemoryObjMetadata(
        shape=shape,
        dtype=torch.uint8,
        address=0,
        phy_size=size,
        ref_count=1,
        pin_count=0,
        fmt=MemoryFormat.BINARY,
        shapes=[shape],
        dtypes=[torch.uint8],
    )
    return TensorMemoryObj(data, metadata, None)


def content_of(obj: TensorMemoryObj) -> bytes:
    return obj.raw_data.numpy().tobytes()


def filled(keys: Sequence[ObjectKey], size: int) -> list[TensorMemoryObj]:
    return [memory(size, payload(key, size)) for key in keys]


def empty(count: int, size: int) -> list[TensorMemoryObj]:
    return [memory(size) for _ in range(count)]


def bits(bitmap: Bitmap) -> list[int]:
    return list(bitmap.get_indices_list())


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = WAIT_S) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.005)
    return value


def readable(fd: int, timeout_s: float = 0) -> bool:
    return bool(select.select([fd], [], [], timeout_s)[0])


class Driver:
    """Calls an adapter as LMCache's controllers do: submit, wait for the eventfd, ask."""

    def __init__(self, adapter: L2AdapterInterface) -> None:
        self.adapter = adapter
        self.stored: dict[int, L2StoreResult] = {}

    def store(self, keys: list[ObjectKey], objects: list[Any]) -> L2StoreResult:
        return self.wait_store(self.adapter.submit_store_task(keys, objects))

    def wait_store(self, task: int) -> L2StoreResult:
        def ask() -> bool:
            self.stored.update(self.adapter.pop_completed_store_tasks())
            return task in self.stored

        self._wait(self.adapter.get_store_event_fd(), ask, f"store task {task}")
        return self.stored.pop(task)

    def lookup(self, keys: list[ObjectKey]) -> Bitmap:
        task = self.adapter.submit_lookup_and_lock_task(keys, {})
        return self._result(
            self.adapter.get_lookup_and_lock_event_fd(),
            lambda: self.adapter.query_lookup_and_lock_result(task),
            f"lookup task {task}",
        )

    def present(self, keys: list[ObjectKey]) -> list[int]:
        """Indices of the keys that are there; leaves no locks."""
        found = bits(self.lookup(keys))
        self.adapter.submit_unlock([keys[i] for i in found])
        return found

    def load(self, keys: list[ObjectKey], objects: list[Any]) -> Bitmap:
        return self.wait_load(self.adapter.submit_load_task(keys, objects))

    def wait_load(self, task: int) -> Bitmap:
        return self._result(
            self.adapter.get_load_event_fd(),
            lambda: self.adapter.query_load_result(task),
            f"load task {task}",
        )

    def load_and_verify(self, keys: list[ObjectKey], size: int) -> None:
        objects = empty(len(keys), size)
        assert bits(self.load(keys, objects)) == list(range(len(keys)))
        for key, obj in zip(keys, objects, strict=True):
            assert content_of(obj) == payload(key, size)

    def _result(self, fd: int, query: Callable[[], Bitmap | None], what: str) -> Bitmap:
        results: list[Bitmap] = []

        def ask() -> bool:
            result = query()
            if result is not None:
                results.append(result)
            return bool(results)

        self._wait(fd, ask, what)
        return results[0]

    def _wait(self, fd: int, ask: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not ask():
            assert readable(fd, max(0.0, deadline - time.monotonic())), f"no event: {what}"
            try:
                os.eventfd_read(fd)
            except BlockingIOError:  # another waiter took the count
                continue


class Recorder(L2AdapterListener):
    """A listener that remembers."""

    def __init__(self) -> None:
        self.stored: list[tuple[ObjectKey, int]] = []
        self.accessed: list[ObjectKey] = []
        self.deleted: list[ObjectKey] = []

    def on_l2_keys_stored(self, keys: list[ObjectKey], sizes: list[int]) -> None:
        self.stored += zip(keys, sizes, strict=True)

    def on_l2_keys_accessed(self, keys: list[ObjectKey]) -> None:
        self.accessed += keys

    def on_l2_keys_deleted(self, keys: list[ObjectKey]) -> None:
        self.deleted += keys


class Thrower(L2AdapterListener):
    """A listener that always raises."""

    def on_l2_keys_stored(self, keys: list[ObjectKey], sizes: list[int]) -> None:
        raise RuntimeError("listener fails on stored")

    def on_l2_keys_accessed(self, keys: list[ObjectKey]) -> None:
        raise RuntimeError("listener fails on accessed")

    def on_l2_keys_deleted(self, keys: list[ObjectKey]) -> None:
        raise RuntimeError("listener fails on deleted")
