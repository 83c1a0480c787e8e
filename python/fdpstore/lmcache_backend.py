"""fdpstore as a storage plugin of LMCache outside MP mode::

    local_cpu: true
    storage_plugins: ["fdpstore"]
    extra_config:
      storage_plugin.fdpstore.module_path: fdpstore.lmcache_backend
      storage_plugin.fdpstore.class_name: FdpStorageBackend
      fdpstore.base_path: /mnt/kv
      fdpstore.layout: segment
      fdpstore.capacity_gb: 500

Every option of fdpstore is accepted with ``fdpstore.`` before its name, and for tensor parallelism
``fdpstore.per_tp_device_paths`` or ``fdpstore.per_tp_base_paths`` (``_extra_config``).

Source: the contract is ``lmcache/v1/storage_backend/abstract_backend.py`` of LMCache 0.5.6, and
what its ``storage_manager.py`` and ``cache_engine.py`` expect.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from lmcache.logging import init_logger
from lmcache.v1.storage_backend.abstract_backend import StoragePluginInterface

import fdpstore
from fdpstore._engine_keys import StoreKey, scope_of, store_key, worker_of
from fdpstore._extra_config import store_options
from fdpstore._finding import Finder, Found
from fdpstore._memory_layouts import MemoryLayout, expected_layout
from fdpstore._opening import log_opened, register_memory
from fdpstore._puts import Done, Put, Puts
from fdpstore._waiting import Completions

if TYPE_CHECKING:
    from lmcache.utils import CacheEngineKey
    from lmcache.v1.config import LMCacheEngineConfig
    from lmcache.v1.memory_management import MemoryObj
    from lmcache.v1.metadata import LMCacheMetadata
    from lmcache.v1.storage_backend.abstract_backend import AllocatorBackendInterface
    from lmcache.v1.storage_backend.local_cpu_backend import LocalCPUBackend

logger = init_logger(__name__)

_MEMORY_PATIENCE_S = 30.0  # for memory that stores in flight will give back


class FdpStorageBackend(StoragePluginInterface):
    """Storage backend over a C++ store.

    No thread of its own: stores are finished by LMCache's event loop, which watches the store's
    eventfd; whoever looks up or loads waits for that himself. Any thread may call any method, but
    what waits for I/O (get, remove, clear, and on layout ``object`` contains) is not for the loop.

    Results are those of LMCache's LocalCPUBackend, less what the store has reclaimed or found
    damaged. Loads end at the first chunk that is missing, or for which there is no memory.

    Raises:
        ValueError: a bad option, or no event loop.
        fdpstore.Error: the store cannot be opened; an I/O error; anything after ``close``.
    """

    def __init__(
        self,
        config: LMCacheEngineConfig | None = None,
        metadata: LMCacheMetadata | None = None,
        local_cpu_backend: LocalCPUBackend | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        dst_device: str = "cpu",
    ) -> None:
        super().__init__(dst_device, config, metadata, local_cpu_backend, loop)
        if config is None or loop is None:
            raise ValueError("FdpStorageBackend needs LMCache's config and its event loop")
        world_size, rank = (metadata.world_size, metadata.worker_id) if metadata else (1, 0)
        options = store_options(config.extra_config or {}, world_size, rank)
        shared = options["layout"] == "object"
        self._store = fdpstore.open(options)
        expected = partial(expected_layout, config, metadata) if shared and metadata else None
        self._finder = Finder(self._store, options["lock_timeout_s"], expected)
        self._gets = Completions(self._store.get_event_fd(), self._store.take_gets)
        self._puts = Puts(self._store, logger)
        log_opened(self._store, logger)
        if not shared:
            self._warn_of_another_rank(rank)
        self._share_memory()
        self._put_fd = os.dup(self._store.put_event_fd())  # the loop's: outlives the store
        loop.call_soon_threadsafe(loop.add_reader, self._put_fd, self._on_puts_done)

    def __str__(self) -> str:
        return type(self).__name__

    # --- is it there? ---

    def contains(self, key: CacheEngineKey, pin: bool = False) -> bool:
        return bool(self._finder.find([key], pin))

    def batched_contains(self, keys: list[CacheEngineKey], pin: bool = False) -> int:
        """How many keys from the first one on are there; with ``pin``, these are pinned."""
        return len(self._finder.find(keys, pin))

    async def batched_async_contains(
        self, lookup_id: str, keys: list[CacheEngineKey], pin: bool = False
    ) -> int:
        return await asyncio.to_thread(self.batched_contains, keys, pin)

    def exists_in_put_tasks(self, key: CacheEngineKey) -> bool:
        return key in self._puts

    def pin(self, key: CacheEngineKey) -> bool:
        """Keep the object until as many ``unpin``, or until ``lock_timeout_s`` has passed."""
        return self.contains(key, pin=True)

    def unpin(self, key: CacheEngineKey) -> bool:
        """Take one pin off; whether the object is there."""
        return self._finder.unpin(key) or self.contains(key)

    def touch_cache(self) -> None:
        """Nothing: the store notes uses as they happen."""

    # --- put ---

    def batched_submit_put_task(
        self,
        keys: Sequence[CacheEngineKey],
        objs: list[MemoryObj],
        transfer_spec: object = None,
        on_complete_callback: Done | None = None,
    ) -> list[Future[None]] | None:
        """Store objects whose keys are neither there nor on their way.

        (On layout ``object``, one of another size takes the place of what is there.)

        ``obj.metadata.fdp_placement_rank`` (int) and ``obj.metadata.fdp_placement_stream`` (str),
        where set, override the policy's choice; else the rank is the key's ``worker_id``.

        Returns:
            A future for all of them, None when there is nothing to do. Its exception says what was
            not stored; that is also logged.
        """
        puts: dict[CacheEngineKey, Put] = {}
        for key, obj in zip(keys, objs, strict=True):
            if key not in puts:
                layout = MemoryLayout.of(obj)
                puts[key] = Put(store_key(key, layout), obj, layout)
        layouts = {key: put.layout for key, put in puts.items()}
        for key in self._finder.stored_differently(layouts):  # what came first stays
            del puts[key]
        future = self._puts.submit(puts, on_complete_callback)
        self._finder.add_layouts(layouts.values())
        return None if future is None else [future]

    async def async_batched_submit_put_task(
        self,
        keys: Sequence[CacheEngineKey],
        objs: list[MemoryObj],
        transfer_spec: object = None,
        on_complete_callback: Done | None = None,
    ) -> None:
        """The same, and waits until the objects are stored."""
        futures = await asyncio.to_thread(
            self.batched_submit_put_task, keys, objs, transfer_spec, on_complete_callback
        )
        for future in futures or []:
            await asyncio.wrap_future(future)

    def _on_puts_done(self) -> None:
        """In LMCache's event loop, when the store's eventfd says so."""
        try:
            os.read(self._put_fd, 8)
        except BlockingIOError:
            return  # close() was faster
        self._store.take_dropped()  # what the store reclaims is counted by nobody here
        self._puts.finish()

    # --- get ---

    def get_blocking(self, key: CacheEngineKey) -> MemoryObj | None:
        loaded = self._load([key])
        return loaded[0] if loaded else None

    def batched_get_blocking(self, keys: list[CacheEngineKey]) -> list[MemoryObj | None]:
        """The objects up to the first that is missing, then None for the other keys."""
        loaded = self._load(keys)
        return [*loaded, *[None] * (len(keys) - len(loaded))]

    async def batched_get_non_blocking(
        self, lookup_id: str, keys: list[CacheEngineKey], transfer_spec: object = None
    ) -> list[MemoryObj]:
        """The objects up to the first that is missing."""
        return await asyncio.to_thread(self._load, keys)

    def get_non_blocking(
        self, key: CacheEngineKey, location: str | None = None
    ) -> Future[MemoryObj | None] | None:
        """None for an object that is not there."""
        if not self.contains(key):
            return None
        loading = asyncio.to_thread(self.get_blocking, key)
        return asyncio.run_coroutine_threadsafe(loading, self.loop)

    def _load(self, keys: list[CacheEngineKey]) -> list[MemoryObj]:
        found = self._finder.find(keys)
        objects: list[MemoryObj] = []
        reading = False
        try:
            self._allocate(found, objects)
            if not objects:
                return []
            items = list(zip(found, objects, strict=False))
            buffers = [item.layout.to_load(obj, item.size_bytes) for item, obj in items]
            task = self._store.submit_get([item.key for item, _ in items], buffers)
            reading = True
            _, _, hits, _, _, error = self._gets.wait(task)
            reading = False
            if error is not None:
                raise fdpstore.Error(f"loading failed: {error}")
            for (item, obj), buffer in zip(items[:hits], buffers, strict=False):
                item.layout.loaded(obj, buffer, item.size_bytes)
        except BaseException:
            if not reading:  # else the store may still write to them
                _release(objects)
            raise
        _release(objects[hits:])
        return objects[:hits]

    def _allocate(self, found: list[Found], objects: list[MemoryObj]) -> None:
        """Memory for the objects, appended to ``objects``, up to the first there is none for."""
        allocator = self.get_allocator_backend() if found else None
        for item in found:
            obj = self._allocate_one(allocator, item)
            if obj is None:
                logger.warning(
                    "fdpstore: no memory to load %d of %d chunks; max_local_cpu_size may be too "
                    "small, or memory is held by pins that were not taken off",
                    *(len(found) - len(objects), len(found)),
                )
                return
            objects.append(obj)

    def _allocate_one(self, allocator: AllocatorBackendInterface, item: Found) -> MemoryObj | None:
        """Waits for the memory that stores in flight will give back, but for no other."""
        until_s = time.monotonic() + _MEMORY_PATIENCE_S
        while True:
            obj = item.layout.allocate(allocator, item.size_bytes)
            left_s = until_s - time.monotonic()
            if obj is not None or left_s <= 0:
                return obj
            if not self._puts.wait_for_one(left_s):
                return item.layout.allocate(allocator, item.size_bytes)

    # --- remove ---

    def remove(self, key: CacheEngineKey, force: bool = True) -> bool:
        return self.batched_remove([key], force) > 0

    def batched_remove(self, keys: list[CacheEngineKey], force: bool = True) -> int:
        """Remove objects; with ``force``, pinned ones too. How many there were."""
        if force:
            self._finder.drop_pins(keys)
        names = [(key, name) for key in keys for name in self._finder.names(key)]
        if not names:
            return 0
        sizes = self._store.erase([name for _, name in names])
        gone = {key for (key, _), size in zip(names, sizes, strict=True) if size is not None}
        self._finder.drop_pins(gone)  # whose lock has ended
        return len(gone)

    def clear(self) -> int:
        """Remove what is not pinned (objects of MP mode stay). How many tokens that were."""
        tokens = 0
        for page in self._finder.listing():
            scopes = {StoreKey(*row[:5]): scope_of(row[4]) for row in page}
            ours = {key: scope for key, scope in scopes.items() if scope is not None}
            sizes = self._store.erase(list(ours)) if ours else []
            for scope, size in zip(ours.values(), sizes, strict=True):
                tokens += scope.layout.num_tokens(size) if size is not None else 0
        return tokens

    # --- memory, opening and closing ---

    def get_allocator_backend(self) -> AllocatorBackendInterface:
        if self.local_cpu_backend is None:
            raise RuntimeError(
                "FdpStorageBackend loads into the memory of LMCache's LocalCPUBackend, and there "
                "is none: max_local_cpu_size is 0, or this is the scheduler's process"
            )
        return self.local_cpu_backend

    def close(self) -> None:
        """Finish what is in flight; afterwards no memory of LMCache is touched. Idempotent."""
        if self._store.closed:
            return
        try:
            self._store.close()
        except fdpstore.Error as error:
            logger.error("fdpstore: closing the store failed: %s", error)
        self._puts.finish()
        self._finder.close()
        self._gets.close()
        try:
            self.loop.call_soon_threadsafe(self._stop_watching)
        except RuntimeError:  # the loop has been closed, and watches nothing
            os.close(self._put_fd)

    def _stop_watching(self) -> None:
        self.loop.remove_reader(self._put_fd)
        os.close(self._put_fd)

    def _share_memory(self) -> None:
        """Register LMCache's memory, and be closed before it is freed.

        StorageManager.close() closes LocalCPUBackend first, which frees the memory that stores and
        loads in flight still use.
        """
        memory = self.local_cpu_backend
        if memory is None:
            return
        buffer = getattr(memory.get_memory_allocator(), "buffer", None)
        if buffer is not None and buffer.numel() > 0:
            register_memory(self._store, buffer.data_ptr(), buffer.nbytes, logger)
        close_memory = memory.close

        def close_after_us() -> None:
            self.close()
            close_memory()

        memory.close = close_after_us

    def _warn_of_another_rank(self, rank: int) -> None:
        page = next(self._finder.listing())
        others = {worker_of(row[2]) for row in page if scope_of(row[4]) is not None} - {rank}
        if others:
            logger.warning(
                "fdpstore: this is rank %d, but the store at its path holds objects of rank %s; "
                "the paths of the ranks may have been exchanged",
                *(rank, ", ".join(str(other) for other in sorted(others))),
            )


def _release(objects: list[MemoryObj]) -> None:
    for obj in objects:
        obj.ref_count_down()
