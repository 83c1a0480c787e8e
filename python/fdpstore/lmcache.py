"""fdpstore as an L2 adapter of LMCache (MP mode, adapter type ``plugin``)::

    {"type": "plugin", "module_path": "fdpstore.lmcache", "class_name": "FdpL2Adapter",
     "adapter_params": {"base_path": "/mnt/kv", "layout": "segment", "capacity_gb": 500}}

``adapter_params`` takes fdpstore's options (``FdpL2AdapterConfig.help()``); what LMCache itself
reads (``eviction``, ``serde``, ``shared``, …) stays beside ``type``.

Source: the contract is ``lmcache/v1/distributed/l2_adapters/base.py`` of LMCache 0.5.6.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lmcache.lmcache_native import Bitmap
from lmcache.logging import init_logger
from lmcache.v1.distributed.api import EncodedObjectKey, KeyEntry, KeyListPage, ObjectKey
from lmcache.v1.distributed.internal_api import L2AdapterListener, L2StoreResult
from lmcache.v1.distributed.l2_adapters.base import AdapterUsage, L2AdapterInterface, L2TaskId
from lmcache.v1.distributed.l2_adapters.config import L2AdapterConfigBase
from lmcache.v1.mp_observability.event import Event, EventType

import fdpstore
from fdpstore._listeners import ReplayingListener
from fdpstore._metrics import METRICS
from fdpstore._opening import log_opened, register_memory

if TYPE_CHECKING:
    from lmcache.v1.distributed.api import MemoryLayoutDesc
    from lmcache.v1.distributed.internal_api import L1MemoryDesc
    from lmcache.v1.memory_management import MemoryObj

    from fdpstore._native import ListedKey

logger = init_logger(__name__)

_REPLAY_PAGE_KEYS = 4096


class FdpL2AdapterConfig(L2AdapterConfigBase):
    """Options of one adapter, checked; see ``help``."""

    def __init__(self, options: dict[str, Any]) -> None:
        """
        Raises:
            ValueError: names the option, what is wrong with it, and the remedy.
        """
        super().__init__()
        self.options = fdpstore.parse_options(options)
        for note in fdpstore.option_notes(options):
            logger.info("fdpstore: %s", note)

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> FdpL2AdapterConfig:
        return cls(d)

    @classmethod
    def help(cls) -> str:
        lines = ["fdpstore L2 adapter options (adapter_params):"]
        for row in fdpstore.option_table():
            kind = row["choices"] or f"{row['type']} {row['unit']}".strip()
            default = f", default {row['default']}" if row["default"] else ""
            layouts = "" if row["layouts"] == "all" else f" (layouts: {row['layouts']})"
            lines.append(f"- {row['name']} ({kind}{default}): {row['help']}{layouts}")
        lines.append("names of other stores:")
        for row in fdpstore.foreign_option_table():
            lines.append(
                f"- {row['name']} ({row['choices'] or 'refused'}): of {row['of']}. {row['help']}"
            )
        return "\n".join(lines)


class FdpL2Adapter(L2AdapterInterface):
    """L2 adapter over a C++ store.

    No thread of its own: the store signals the eventfds, and results are turned into Python
    objects by whoever asks for them. Every method may be called from any thread.

    Usage is what the store itself counts, so it is right after a restart and after the store has
    reclaimed objects. Listeners hear of the latter (and of damaged objects) from the next call to
    ``pop_completed_store_tasks``, ``query_*``, ``get_usage`` or ``delete``; the store eventfd is
    signalled for them.

    Raises:
        ValueError: a bad option.
        fdpstore.Error: the store cannot be opened; submits raise it after ``close``.
    """

    def __init__(
        self,
        config: FdpL2AdapterConfig | dict[str, Any],
        l1_memory_desc: L1MemoryDesc | None = None,
        **_kwargs: object,  # what a later LMCache may add
    ) -> None:
        if isinstance(config, dict):
            config = FdpL2AdapterConfig(config)
        self._store = fdpstore.open(config.options)
        _, max_live_bytes, _ = self._store.usage()
        super().__init__(max_capacity_bytes=max_live_bytes)
        self._store_fd = self._store.put_event_fd()
        self._lookup_fd = self._store.lookup_event_fd()
        self._load_fd = self._store.get_event_fd()
        self._results_lock = threading.Lock()  # guards the two below
        self._lookups: dict[L2TaskId, Bitmap] = {}
        self._loads: dict[L2TaskId, Bitmap] = {}
        self._register_l1_memory(l1_memory_desc)
        METRICS.add(self._store)
        log_opened(self._store, logger)

    # --- event descriptors: owned by the store, closed by close() ---

    def get_store_event_fd(self) -> int:
        return self._store_fd

    def get_lookup_and_lock_event_fd(self) -> int:
        return self._lookup_fd

    def get_load_event_fd(self) -> int:
        return self._load_fd

    # --- store ---

    def submit_store_task(self, keys: list[ObjectKey], objects: list[MemoryObj]) -> L2TaskId:
        """Store each object under its key; a key that is there already is only touched.

        ``obj.metadata.fdp_placement_rank`` (int) and ``obj.metadata.fdp_placement_stream`` (str),
        where set, override the policy's choice.
        """
        return self._store.submit_put(keys, objects)

    def pop_completed_store_tasks(self) -> dict[L2TaskId, L2StoreResult]:
        done: dict[L2TaskId, L2StoreResult] = {}
        # Before the results: a drop then never overtakes the store that it undoes.
        dropped = self._store.take_dropped()
        for task, ok, written, stored, sizes, present, error in self._store.take_puts():
            done[task] = L2StoreResult(ok, written)
            if error is not None:
                logger.warning("fdpstore: store task %d is incomplete: %s", task, error)
            if stored:
                self._notify_keys_stored(stored, sizes)
            if present:
                self._notify_keys_accessed(present)
        self._notify_dropped(dropped)
        return done

    # --- lookup ---

    def submit_lookup_and_lock_task(
        self, keys: list[ObjectKey], group_layout_descs: dict[int, MemoryLayoutDesc]
    ) -> L2TaskId:
        return self._store.submit_lookup(keys, True)

    def query_lookup_and_lock_result(self, task_id: L2TaskId) -> Bitmap | None:
        with self._results_lock:
            for task, count, prefix, rest in self._store.take_lookups():
                self._lookups[task] = _bitmap(count, prefix, rest)
            result = self._lookups.pop(task_id, None)
        self._deliver_dropped()
        return result

    def submit_unlock(self, keys: list[ObjectKey]) -> None:
        """Take one lock off each key. After ``close`` there are none left, so nothing to do."""
        try:
            self._store.unlock(keys)
        except fdpstore.Error as error:
            if error.code != "closed":
                raise

    # --- load ---

    def submit_load_task(self, keys: list[ObjectKey], objects: list[MemoryObj]) -> L2TaskId:
        """Load each object into its buffer; a hit holds exactly the bytes that were stored."""
        return self._store.submit_get(keys, objects)

    def query_load_result(self, task_id: L2TaskId) -> Bitmap | None:
        accessed: list[ObjectKey] = []
        with self._results_lock:
            for task, count, prefix, rest, loaded, error in self._store.take_gets():
                self._loads[task] = _bitmap(count, prefix, rest)
                accessed += loaded
                if error is not None:
                    logger.warning("fdpstore: load task %d is incomplete: %s", task, error)
            result = self._loads.pop(task_id, None)
        if accessed:
            self._notify_keys_accessed(accessed)
        self._deliver_dropped()
        return result

    # --- eviction and listing ---

    def delete(self, keys: list[ObjectKey]) -> None:
        """Remove objects that are not locked; returns when the removal would survive a crash."""
        sizes = self._store.erase(keys)
        self._deliver_dropped()
        deleted = [(key, size) for key, size in zip(keys, sizes, strict=True) if size is not None]
        if deleted:
            self._notify_keys_deleted([key for key, _ in deleted], [size for _, size in deleted])

    def list_l2_keys(
        self, model_name: str | None = None, page_size: int = 500, cursor: str | None = None
    ) -> KeyListPage:
        if page_size <= 0:
            raise ValueError(f"page_size must be positive (got {page_size})")
        try:
            position = base64.b64decode(cursor or "", altchars=b"-_", validate=True)
            listed, following = self._store.list(position, page_size, model_name or "")
        except (binascii.Error, UnicodeError):
            raise ValueError(f"malformed cursor {cursor!r}") from None
        except fdpstore.Error as error:
            if error.code == "invalid_argument":
                raise ValueError(f"malformed cursor {cursor!r}: {error}") from None
            raise
        entries = tuple(
            KeyEntry(
                key=EncodedObjectKey(chunk_hash.hex(), model, kv_rank, group, salt),
                size_bytes=size,
            )
            for chunk_hash, model, kv_rank, group, salt, size in listed
        )
        return KeyListPage(
            entries=entries,
            next_page_token=base64.urlsafe_b64encode(following).decode() if following else None,
        )

    def get_usage(self) -> AdapterUsage:
        self._deliver_dropped()
        try:
            live_bytes, _, by_salt = self._store.usage()
        except fdpstore.Error as error:
            if error.code != "closed":
                raise
            return super().get_usage()  # a metrics thread may ask once more after close: nothing
        return AdapterUsage(
            total_bytes_used=live_bytes,
            total_capacity_bytes=self._max_capacity_bytes,
            bytes_by_cache_salt=MappingProxyType(by_salt),
        )

    # --- listeners ---

    def register_listener(self, listener: L2AdapterListener) -> None:
        """Register ``listener`` and tell it of every key that is in the store already."""
        replaying = ReplayingListener(listener, logger)
        super().register_listener(replaying)
        for keys, sizes in self._resident_keys():
            replaying.replay(keys, sizes)
        replaying.finish()

    def _resident_keys(self) -> Iterator[tuple[list[ObjectKey], list[int]]]:
        cursor = b""
        while True:
            listed, cursor = self._store.list(cursor, _REPLAY_PAGE_KEYS, "")
            keys, sizes = _object_keys(listed)
            if keys:
                yield keys, sizes
            if not cursor:
                return

    # The base class would stop at the first listener that raises, and count bytes a second time.

    def _notify_keys_stored(self, keys: list[ObjectKey], sizes: list[int]) -> None:
        self._tell(lambda listener: listener.on_l2_keys_stored(keys, sizes))
        self._publish(EventType.L2_KEYS_STORED, keys=keys, sizes=sizes)

    def _notify_keys_accessed(self, keys: list[ObjectKey]) -> None:
        self._tell(lambda listener: listener.on_l2_keys_accessed(keys))
        self._publish(EventType.L2_KEYS_ACCESSED, keys=keys)

    def _notify_keys_deleted(self, keys: list[ObjectKey], sizes: list[int]) -> None:
        self._tell(lambda listener: listener.on_l2_keys_deleted(keys))
        self._publish(EventType.L2_KEYS_DELETED, keys=keys)

    def _tell(self, call: Callable[[L2AdapterListener], None]) -> None:
        for listener in list(self._listeners):
            try:
                call(listener)
            except Exception:
                logger.exception("fdpstore: a listener of the L2 adapter failed")

    def _publish(self, event_type: EventType, **metadata: object) -> None:
        metadata.update(backend=self._backend_name, shared=self._shared)
        self._event_bus.publish(Event(event_type=event_type, metadata=metadata))

    def _deliver_dropped(self) -> None:
        self._notify_dropped(self._store.take_dropped())

    def _notify_dropped(self, dropped: list[ListedKey]) -> None:
        if dropped:
            self._notify_keys_deleted(*_object_keys(dropped))

    # --- status and shutdown ---

    def report_status(self) -> dict[str, Any]:
        if self._store.closed:
            return {"is_healthy": False, "type": type(self).__name__, "closed": True}
        status = json.loads(self._store.status())
        # Every segment and every tenant is for `fdpstore stat`, not for a health endpoint.
        segments, salts = status.pop("segments"), status.pop("salts")
        return {
            "is_healthy": status["healthy"],
            "type": type(self).__name__,
            "max_capacity_bytes": self._max_capacity_bytes,
            "segment_states": dict(Counter(segment["state"] for segment in segments)),
            "cache_salt_count": len(salts),
            **status,
        }

    def close(self) -> None:
        """Finish what is in flight; afterwards no caller's memory is touched. Idempotent."""
        try:
            self._store.close()
        except fdpstore.Error as error:
            logger.error("fdpstore: closing the store failed: %s", error)

    def _register_l1_memory(self, l1: L1MemoryDesc | None) -> None:
        """Fixed buffers, where LMCache hands over a range that stays where it is."""
        size_bytes = getattr(l1, "stable_registration_size", None)
        if l1 is None or not size_bytes:
            return
        register_memory(self._store, l1.ptr, size_bytes, logger)


def _bitmap(count: int, prefix: int, rest: list[int]) -> Bitmap:
    bitmap = Bitmap(count, prefix)
    if rest:
        bitmap.batched_set(rest)
    return bitmap


def _object_keys(listed: list[ListedKey]) -> tuple[list[ObjectKey], list[int]]:
    """Keys of a listing and their sizes; names that LMCache refuses are not its objects."""
    keys: list[ObjectKey] = []
    sizes: list[int] = []
    for chunk_hash, model, kv_rank, group, salt, size in listed:
        try:
            keys.append(ObjectKey(chunk_hash, model, kv_rank, group, salt))
        except ValueError as error:
            logger.warning("fdpstore: skipping a stored object that LMCache cannot name: %s", error)
            continue
        sizes.append(size)
    return keys, sizes
