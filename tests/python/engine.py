"""LMCache outside MP mode: its config, event loop, CPU backend and memory, and our backend."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lmcache", reason="LMCache is not installed (pip install lmcache==0.5.6)")

import torch
from helpers import WAIT_S, wait_until
from lmcache.utils import CacheEngineKey
from lmcache.v1.config import LMCacheEngineConfig
from lmcache.v1.event_manager import EventManager
from lmcache.v1.memory_management import MemoryFormat, MemoryObj
from lmcache.v1.metadata import LMCacheMetadata
from lmcache.v1.pin_monitor import PinMonitor
from lmcache.v1.storage_backend.local_cpu_backend import LocalCPUBackend
from lmcache.v1.storage_backend.storage_manager import StorageManager

MIB = 1 << 20
MODEL = "org/model-8b"
SHAPE = torch.Size([2, 4, 16, 32])  # K and V, layers, tokens, hidden: 8 KiB in bf16
DTYPE = torch.bfloat16
PLUGIN = "fdp"


def make_config(
    options: dict[str, Any] | None = None, cpu_bytes: int = 32 * MIB, **more: Any
) -> LMCacheEngineConfig:
    """LMCache's config; `options`: of our backend, which is loaded as a plugin."""
    fields: dict[str, Any] = {
        "chunk_size": SHAPE[2],
        "local_cpu": True,
        "max_local_cpu_size": cpu_bytes / 2**30,
        "extra_config": {},
    }
    if options is not None:
        fields["storage_plugins"] = [PLUGIN]
        fields["extra_config"] = extra_config(options)
    fields |= more
    return LMCacheEngineConfig.from_defaults(**fields)


def extra_config(options: dict[str, Any]) -> dict[str, Any]:
    return {
        f"storage_plugin.{PLUGIN}.module_path": "fdpstore.lmcache_backend",
        f"storage_plugin.{PLUGIN}.class_name": "FdpStorageBackend",
        **{f"fdpstore.{name}": value for name, value in options.items()},
    }


def make_metadata(world_size: int = 1, worker_id: int = 0, **more: Any) -> LMCacheMetadata:
    return LMCacheMetadata(
        model_name=MODEL,
        world_size=world_size,
        local_world_size=world_size,
        worker_id=worker_id,
        local_worker_id=worker_id,
        kv_dtype=DTYPE,
        kv_shape=(SHAPE[1], SHAPE[0], SHAPE[2], 4, SHAPE[3] // 4),
        **more,
    )


def make_key(chunk_hash: int | bytes, worker_id: int = 0, **more: Any) -> CacheEngineKey:
    fields = {"model_name": MODEL, "world_size": 1, "dtype": DTYPE, **more}
    return CacheEngineKey(worker_id=worker_id, chunk_hash=chunk_hash, **fields)


def make_keys(count: int, first: int = 0, **more: Any) -> list[CacheEngineKey]:
    return [make_key(0x1000 + number, **more) for number in range(first, first + count)]


def fill(obj: MemoryObj, seed: int) -> None:
    memoryview(obj.byte_array).cast("B")[:] = np.random.Generator(np.random.SFC64(seed)).bytes(
        obj.get_size()
    )


def content(obj: MemoryObj) -> bytes:
    return bytes(obj.byte_array)


class Loop:
    """An event loop in a thread, as StorageManager has one."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(WAIT_S)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Engine:
    """Our backend beside a LocalCPUBackend, without a StorageManager."""

    def __init__(
        self,
        options: dict[str, Any],
        world_size: int = 1,
        worker_id: int = 0,
        cpu_bytes: int = 32 * MIB,
        **config: Any,
    ) -> None:
        from fdpstore.lmcache_backend import FdpStorageBackend

        self.config = make_config(options, cpu_bytes, **config)
        self.metadata = make_metadata(world_size, worker_id)
        self.loop = Loop()
        self.closed = False
        PinMonitor.GetOrCreate(self.config, self.metadata)  # as LMCacheEngine does
        self.cpu = LocalCPUBackend(self.config, self.metadata, "cpu")
        try:
            self.backend = FdpStorageBackend(
                self.config, self.metadata, self.cpu, self.loop.loop, "cpu"
            )
        except BaseException:
            self.cpu.close()
            self.loop.close()
            raise

    def new(
        self,
        seed: int,
        shapes: Any = SHAPE,
        dtypes: Any = DTYPE,
        fmt: MemoryFormat = MemoryFormat.KV_2LTD,
    ) -> MemoryObj:
        obj = self.cpu.allocate(shapes, dtypes, fmt, busy_loop=False)
        assert obj is not None, "the test needs more memory"
        fill(obj, seed)
        return obj

    def store(self, keys: Sequence[CacheEngineKey], objects: Sequence[MemoryObj]) -> None:
        """Stores and waits; the objects belong to the caller as before."""
        for future in self.backend.batched_submit_put_task(keys, list(objects)) or []:
            future.result(WAIT_S)

    def store_new(self, keys: Sequence[CacheEngineKey], **layout: Any) -> None:
        """Stores objects whose content depends on the key."""
        objects = [self.new(seed_of(key), **layout) for key in keys]
        self.store(keys, objects)
        for obj in objects:
            obj.ref_count_down()

    def load_and_verify(self, keys: Sequence[CacheEngineKey]) -> None:
        for key, obj in zip(keys, self.backend.batched_get_blocking(list(keys)), strict=True):
            assert obj is not None, f"{key.to_string()} is missing"
            verify(key, obj)
            obj.ref_count_down()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.backend.close()
            self.cpu.close()
            self.loop.close()


def seed_of(key: CacheEngineKey) -> int:
    return int.from_bytes(key.to_string().encode()[-64:], "big")


def verify(key: CacheEngineKey, obj: MemoryObj) -> None:
    expected = np.random.Generator(np.random.SFC64(seed_of(key))).bytes(obj.get_size())
    assert content(obj) == expected, f"{key.to_string()} has wrong bytes"


def memory_is_back(engine: Engine) -> bool:
    """Whether every byte that LMCache's allocator gave out has been given back."""
    allocator = engine.cpu.get_memory_allocator().pin_allocator
    return allocator.address_manager.get_free_size() == engine.cpu.get_memory_allocator().size


class Manager:
    """LMCache's StorageManager with our plugin, as its engine makes it."""

    def __init__(
        self,
        options: dict[str, Any],
        metadata: LMCacheMetadata | None = None,
        cpu_bytes: int = 32 * MIB,
        **config: Any,
    ) -> None:
        self.config = make_config(options, cpu_bytes, **config)
        metadata = metadata or make_metadata()
        PinMonitor.GetOrCreate(self.config, metadata)  # as LMCacheEngine does
        self.manager = StorageManager(self.config, metadata, EventManager())
        self.closed = False

    @property
    def backend(self) -> Any:
        return self.manager.storage_backends[PLUGIN]

    @property
    def cpu(self) -> LocalCPUBackend:
        return self.manager.storage_backends["LocalCPUBackend"]

    def put(self, keys: Sequence[CacheEngineKey]) -> None:
        """Put objects as LMCacheEngine.store does: batched_put takes the reference."""
        objects = [self.manager.allocate(SHAPE, DTYPE) for _ in keys]
        for key, obj in zip(keys, objects, strict=True):
            fill(obj, seed_of(key))
        self.manager.batched_put(keys, objects)

    def wait_stored(self, keys: Sequence[CacheEngineKey]) -> None:
        wait_until(lambda: not any(self.backend.exists_in_put_tasks(key) for key in keys), "stores")

    def forget_in_memory(self, keys: Sequence[CacheEngineKey]) -> None:
        for key in keys:
            assert self.cpu.remove(key)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.manager.close()
