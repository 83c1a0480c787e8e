"""Drives LMCache's StorageManager over a trace, as its server does for an engine's requests.

A request looks up its chunks (``submit_prefetch_task``), reads and checks what was found, then
writes what was missing (``reserve_write``, ``finish_write``; LMCache's store controller copies it
to L2). L1 is a buffer only (store policy ``skip_l1``), so every hit comes from L2. Timings are
LMCache's own events of its L2 tasks.

The bytes of a chunk follow from its key, so any process can check any chunk. Units: bytes,
seconds. Source of the interfaces: lmcache/v1/distributed/storage_manager.py (0.5.6).
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from lmcache.v1.distributed.api import (
    GroupedObjectKeys,
    MemoryLayoutDesc,
    ObjectKey,
    PrefetchHandle,
    PrefetchTaskSpec,
)
from lmcache.v1.distributed.config import parse_args
from lmcache.v1.distributed.storage_manager import StorageManager
from lmcache.v1.memory_management import MemoryObj
from lmcache.v1.mp_observability.event import Event, EventType
from lmcache.v1.mp_observability.event_bus import EventBusConfig, init_event_bus

MODEL_NAME = "fdpstore/quickstart"
KV_RANK = ObjectKey.ComputeKVRank(1, 0, 1, 0)
WRITE_BATCH = 16  # chunks reserved in L1 at once
PREFETCH_WINDOW = 4  # requests loading at the same time in the load phase
STALL_S = 120.0  # nothing moved for so long: give up
MAX_REPORTED_ERRORS = 10


@dataclass(frozen=True)
class Request:
    """One line of a trace; `chunks` are the ids of its blocks in order."""

    tenant: str
    chunks: tuple[int, ...]


def object_key(tenant: str, chunk: int, chunk_bytes: int) -> ObjectKey:
    """The LMCache key of a chunk. Its size is part of its identity: other sizes are other data."""
    digest = hashlib.blake2b(f"{chunk_bytes}:{chunk}".encode(), digest_size=32).digest()
    return ObjectKey(digest, MODEL_NAME, KV_RANK, 0, tenant)


def content(key: ObjectKey, chunk_bytes: int) -> np.ndarray:
    """The bytes of a chunk as uint64 words: a generator seeded with everything in the key."""
    identity = f"{key.chunk_hash.hex()}@{key.model_name}@{key.kv_rank}@{key.cache_salt}"
    seed = int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=16).digest(), "little")
    return np.random.SFC64(seed).random_raw(chunk_bytes // 8)


def words(obj: MemoryObj) -> np.ndarray:
    """The bytes of an L1 object as uint64 words, without a copy."""
    tensor = obj.raw_tensor
    if tensor is None:
        raise RuntimeError("LMCache handed out an L1 object without a tensor")
    return tensor.numpy().view(np.uint64)


@dataclass
class TaskTimes:
    """When each L2 task of one kind ran, from LMCache's events (any thread)."""

    running: dict[tuple[int, int], float] = field(default_factory=dict)
    spans: list[tuple[float, float]] = field(default_factory=list)

    def begin(self, event: Event) -> None:
        self.running[event.metadata["adapter_index"], event.metadata["task_id"]] = event.timestamp

    def end(self, event: Event) -> None:
        task = (event.metadata["adapter_index"], event.metadata["task_id"])
        start = self.running.pop(task, None)
        if start is not None:
            self.spans.append((start, event.timestamp))

    def busy_s(self) -> float:
        """Time during which at least one task was running."""
        total, until = 0.0, 0.0
        for start, end in sorted(self.spans):
            total += max(0.0, end - max(start, until))
            until = max(until, end)
        return total

    def report(self, moved_bytes: int) -> dict[str, Any]:
        took_ms = np.array([(end - start) * 1e3 for start, end in self.spans])
        busy = self.busy_s()
        return {
            "tasks": len(self.spans),
            "bytes": moved_bytes,
            "busy_s": busy,
            "gb_per_s": moved_bytes / busy / 1e9 if busy > 0 else None,
            "p50_ms": float(np.percentile(took_ms, 50)) if len(took_ms) else None,
            "p99_ms": float(np.percentile(took_ms, 99)) if len(took_ms) else None,
        }


class Watcher:
    """Collects LMCache's L2 events: times of tasks, and how many keys were stored or failed."""

    def __init__(self) -> None:
        self.stores, self.loads = TaskTimes(), TaskTimes()
        self.stored = self.failed = self.stored_bytes = 0
        self.lost_in_l1 = 0  # evicted from L1 before the store controller got to it
        self.changed = threading.Condition()
        self.bus = init_event_bus(EventBusConfig(enabled=True, max_queue_size=1_000_000))
        self.bus.subscribe(EventType.L2_STORE_SUBMITTED, self.stores.begin)
        self.bus.subscribe(EventType.L2_STORE_COMPLETED, self.on_stored)
        self.bus.subscribe(EventType.L2_LOAD_TASK_SUBMITTED, self.loads.begin)
        self.bus.subscribe(EventType.L2_LOAD_TASK_COMPLETED, self.loads.end)
        self.bus.subscribe(EventType.L1_READ_FAILED, self.on_read_failed)
        self.bus.start()

    def on_stored(self, event: Event) -> None:
        self.stores.end(event)
        with self.changed:
            self.stored += event.metadata["succeeded_count"]
            self.failed += event.metadata["failed_count"]
            self.stored_bytes += event.metadata["bytes_transferred"]
            self.changed.notify_all()

    def on_read_failed(self, event: Event) -> None:
        if event.metadata["during"] == "l2_store":
            with self.changed:
                self.lost_in_l1 += len(event.metadata["keys"])
                self.changed.notify_all()

    @property
    def settled(self) -> int:
        return self.stored + self.failed + self.lost_in_l1

    def wait_settled(self, count: int) -> None:
        """Until `count` written chunks are stored or have failed; gives up when nothing moves."""
        with self.changed:
            while (before := self.settled) < count:
                self.changed.wait(STALL_S)
                if self.settled == before:
                    raise RuntimeError(
                        f"{count - before} chunks were handed to LMCache but not stored within "
                        f"{STALL_S:.0f} s"
                    )


@dataclass
class Tally:
    """What happened to the chunks of the requests."""

    requests: int = 0
    references: int = 0  # chunks asked for, repeats included
    hits: int = 0
    loaded_from_l2: int = 0
    written: int = 0
    verified_bytes: int = 0
    missed: set[ObjectKey] = field(default_factory=set)
    seen: set[ObjectKey] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


class Replay:
    """One StorageManager over one L2 adapter, and the requests sent through it (one thread)."""

    def __init__(self, adapter_json: str, chunk_bytes: int, l1_bytes: int) -> None:
        self.chunk_bytes = chunk_bytes
        self.l1_bytes = l1_bytes
        self.layout = MemoryLayoutDesc([torch.Size([chunk_bytes])], [torch.uint8])
        self.tally = Tally()
        self.watcher = Watcher()
        # Without shared memory and lazy growth L1 is one stable range, which an adapter can
        # register with the kernel.
        l1 = {"type": "DRAM", "tag": "_default", "size_gb": l1_bytes / 2**30, "use_lazy": False}
        options = ["--l1-manager", json.dumps(l1), "--eviction-policy", "LRU"]
        options += ["--l2-store-policy", "skip_l1", "--l2-adapter", adapter_json]
        self.manager = StorageManager(parse_args(options))

    def close(self) -> None:
        self.manager.close()
        self.watcher.bus.stop()

    def adapter_status(self) -> dict[str, Any]:
        return self.manager.report_status()["l2_adapters"][0]

    # -- one request -----------------------------------------------------------------------------

    def keys_of(self, request: Request) -> list[ObjectKey]:
        unique = dict.fromkeys(request.chunks)
        return [object_key(request.tenant, chunk, self.chunk_bytes) for chunk in unique]

    def submit(self, keys: list[ObjectKey]) -> PrefetchHandle:
        return self.manager.submit_prefetch_task(
            PrefetchTaskSpec([GroupedObjectKeys(keys, 0, self.layout)])
        )

    def finish(self, keys: list[ObjectKey], handle: PrefetchHandle) -> int:
        """Waits for a prefetch, checks every byte it brought, returns the length of the hit."""
        if not self.manager.wait_prefetch_status(handle, STALL_S):
            raise RuntimeError(f"a prefetch of {len(keys)} chunks took over {STALL_S:.0f} s")
        result = self.manager.query_prefetch_status(handle)
        if result is None:
            raise RuntimeError("LMCache lost the result of a prefetch")
        hits = result.hit_cells[0].popcount()
        found = keys[:hits]
        if found:
            with self.manager.read_prefetched_results(found) as objects:
                if objects is None:
                    raise RuntimeError(f"{hits} prefetched chunks cannot be read from L1")
                for key, obj in zip(found, objects, strict=True):
                    self.check(key, obj)
            self.manager.finish_read_prefetched(found)
        self.tally.loaded_from_l2 += result.l2_hit_count
        self.tally.seen.update(found)
        return hits

    def count(self, keys: list[ObjectKey], hits: int) -> None:
        self.tally.requests += 1
        self.tally.references += len(keys)
        self.tally.hits += hits
        self.tally.missed.update(keys[hits:])

    def check(self, key: ObjectKey, obj: MemoryObj) -> None:
        expected, got = content(key, self.chunk_bytes), words(obj)
        if np.array_equal(expected, got):
            self.tally.verified_bytes += self.chunk_bytes
            return
        name = f"chunk {key.chunk_hash.hex()[:16]}… of {key.cache_salt or 'no tenant'}"
        if len(got) != len(expected):
            wrong = f"{name}: {got.nbytes} bytes came back, {expected.nbytes} were stored"
        else:
            bad = np.flatnonzero(expected.view(np.uint8) != got.view(np.uint8))
            wrong = f"{name}: {len(bad)} wrong bytes, the first at offset {bad[0]}"
        self.tally.wrong.append(wrong)

    def write(self, keys: Sequence[ObjectKey]) -> None:
        """Writes chunks to L1, from where LMCache stores them; waits for room when L1 is full."""
        left = deque(keys)
        while left:
            batch = [left.popleft() for _ in range(min(WRITE_BATCH, len(left)))]
            objects = self.manager.reserve_write(batch, self.layout)
            for key, obj in objects.items():
                words(obj)[:] = content(key, self.chunk_bytes)
            self.manager.finish_write(list(objects))
            self.tally.written += len(objects)
            rest = [key for key in batch if key not in objects]
            if rest:
                if not objects and self.watcher.settled == self.tally.written:
                    raise RuntimeError(
                        f"L1 ({self.l1_bytes / 2**20:.0f} MiB) has no room for "
                        f"{len(batch)} chunks of {self.chunk_bytes / 2**10:.0f} KiB"
                    )
                self.watcher.wait_settled(self.tally.written)
                left.extendleft(reversed(rest))

    # -- all requests ----------------------------------------------------------------------------

    def store_all(self, requests: Sequence[Request], step: Callable[[int], None]) -> None:
        """Sends every request: loads what is there, stores what is missing."""
        for number, request in enumerate(requests):
            step(number)
            keys = self.keys_of(request)
            hits = self.finish(keys, self.submit(keys))
            self.count(keys, hits)
            self.write(keys[hits:])
        self.watcher.wait_settled(self.tally.written)
        step(len(requests))

    def load_all(self, requests: Sequence[Request], step: Callable[[int], None]) -> None:
        """Sends every request again, several at a time; stores nothing."""
        running: deque[tuple[list[ObjectKey], PrefetchHandle]] = deque()
        again: list[list[ObjectKey]] = []
        done = 0

        def settle(keys: list[ObjectKey], hits: int) -> None:
            nonlocal done
            self.count(keys, hits)
            done += 1
            step(done)

        def finish_oldest() -> None:
            keys, handle = running.popleft()
            hits = self.finish(keys, handle)
            if hits < len(keys):
                again.append(keys)
            else:
                settle(keys, hits)

        for request in requests:
            keys = self.keys_of(request)
            while running and (
                len(running) >= PREFETCH_WINDOW
                or (len(keys) + sum(len(others) for others, _ in running)) * self.chunk_bytes
                > self.l1_bytes // 2
            ):
                finish_oldest()
            running.append((keys, self.submit(keys)))
        while running:
            finish_oldest()
        # Requests that load the same chunk at the same time can contend for it in L1, where
        # LMCache cuts the later one short: only what is missing alone is missing.
        for keys in again:
            settle(keys, self.finish(keys, self.submit(keys)))

    def report(self, wall_s: float) -> dict[str, Any]:
        tally, watcher = self.tally, self.watcher
        return {
            "requests": tally.requests,
            "references": tally.references,
            "hits": tally.hits,
            "loaded": tally.loaded_from_l2,
            "distinct_verified": len(tally.seen),
            "distinct_missed": len(tally.missed - tally.seen),
            "verified_bytes": tally.verified_bytes,
            "written": tally.written,
            "stored": watcher.stored,
            "store_failed": watcher.failed + watcher.lost_in_l1,
            "wrong": tally.wrong[:MAX_REPORTED_ERRORS],
            "wrong_count": len(tally.wrong),
            "wall_s": wall_s,
            "store": watcher.stores.report(watcher.stored_bytes),
            "load": watcher.loads.report(tally.loaded_from_l2 * self.chunk_bytes),
            "adapter": self.adapter_status(),
        }
