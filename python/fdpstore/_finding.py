"""Finding LMCache's objects in a store by keys that do not tell what the objects look like."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import fdpstore
from fdpstore._engine_keys import StoreKey, scope_of, store_key
from fdpstore._memory_layouts import MemoryLayout
from fdpstore._waiting import Completions

if TYPE_CHECKING:
    from lmcache.utils import CacheEngineKey

    from fdpstore._native import ListedKey, Store

_PAGE_KEYS = 4096
_MANY_PINS = 65536


class Found(NamedTuple):
    """An object that the store has."""

    key: StoreKey
    layout: MemoryLayout
    size_bytes: int


@dataclass
class Pin:
    found: Found
    count: int
    until_s: float  # when the store's locks end by themselves


class Finder:
    """Look-ups and pins. Any thread may call any method; ``find`` waits for the look-up.

    The layout of an object is part of its key in the store (``_engine_keys``), and a store has few
    layouts: one for each model and way of storing it. So a key is looked up in the layout that hit
    last, and in the others when it is not there.
    """

    def __init__(
        self, store: Store, lease_s: float, expected: Callable[[], MemoryLayout] | None
    ) -> None:
        """
        Args:
            store: nobody else may look up in it.
            lease_s: when a lock of the store ends by itself.
            expected: in a store that other processes share, what they may store meanwhile.
        """
        self._store = store
        self._lease_s = lease_s
        self._expected = expected
        self._lookups = Completions(store.lookup_event_fd(), store.take_sizes)
        self._pins_lock = threading.Lock()  # guards the next
        self._pins: dict[CacheEngineKey, Pin] = {}
        self._layouts_lock = threading.Lock()  # for changing the next
        self._layouts: tuple[MemoryLayout, ...] = ()  # the one that hit last is the first
        self._learn_layouts()

    def find(self, keys: Sequence[CacheEngineKey], pin: bool = False) -> list[Found]:
        """The objects of the leading keys that are there."""
        found: list[Found] = []
        while len(found) < len(keys):
            rest = keys[len(found) :]
            # LMCache asks again for what it has pinned. That is not another use of it.
            run = [] if pin else self._pinned_run(rest)
            run = run or self._look(rest, pin)
            if not run:
                break
            found += run
        return found

    def unpin(self, key: CacheEngineKey) -> bool:
        """Take one pin off; whether there was one."""
        with self._pins_lock:
            pin = self._pins.get(key)
            if pin is None:
                return False
            pin.count -= 1
            if pin.count == 0:
                del self._pins[key]
        self._unlock([pin.found.key])
        return True

    def drop_pins(self, keys: Iterable[CacheEngineKey]) -> None:
        with self._pins_lock:
            pins = [self._pins.pop(key) for key in set(keys) & self._pins.keys()]
        self._unlock([pin.found.key for pin in pins for _ in range(pin.count)])

    def names(self, key: CacheEngineKey) -> list[StoreKey]:
        """All the keys under which the store may have it."""
        return [store_key(key, layout) for layout in self._layouts]

    def stored_differently(
        self, layouts: dict[CacheEngineKey, MemoryLayout]
    ) -> set[CacheEngineKey]:
        """Keys under which there is an object of another layout than the one given."""
        probes = [
            (key, store_key(key, other))
            for key, layout in layouts.items()
            for other in self._layouts
            if other != layout
        ]
        if not probes:
            return set()
        sizes = self._sizes([name for _, name in probes], lock=False)
        return {key for (key, _), size in zip(probes, sizes, strict=True) if size}

    def add_layouts(self, layouts: Iterable[MemoryLayout]) -> bool:
        """Whether one of them was new."""
        with self._layouts_lock:
            known = self._layouts
            self._layouts = tuple(dict.fromkeys([*known, *layouts]))
            return len(self._layouts) > len(known)

    def listing(self) -> Iterator[list[ListedKey]]:
        """Everything in the store, by pages."""
        cursor = b""
        while True:
            page, cursor = self._store.list(cursor, _PAGE_KEYS, "")
            yield page
            if not cursor:
                return

    def close(self) -> None:
        """After the store."""
        self._lookups.close()

    # --- look-ups ---

    def _look(self, keys: Sequence[CacheEngineKey], lock: bool) -> list[Found]:
        """A leading run of objects of one layout."""
        for number, layout in enumerate(self._layouts):
            # All at once in the layout that hit last, as LMCache asked: the store learns prompts
            # from that. In another one only when the first of them is there.
            run = self._look_as(layout, keys if number == 0 else keys[:1], lock)
            if not run:
                continue
            if number > 0:
                run += self._look_as(layout, keys[1:], lock)
                self._prefer(layout)
            return run
        if self._expected is not None and self.add_layouts([self._expected()]):
            return self._look(keys, lock)
        return []

    def _look_as(
        self, layout: MemoryLayout, keys: Sequence[CacheEngineKey], lock: bool
    ) -> list[Found]:
        if not keys:
            return []
        names = [store_key(key, layout) for key in keys]
        until_s = time.monotonic() + self._lease_s  # not later than the store's
        sizes = self._sizes(names, lock)
        hits = sizes.index(0) if 0 in sizes else len(sizes)
        run = [Found(name, layout, size) for name, size in zip(names[:hits], sizes, strict=False)]
        if lock:
            beyond = zip(names[hits:], sizes[hits:], strict=True)
            self._unlock([name for name, size in beyond if size])
            self._note_pins(keys, run, until_s)
        return run

    def _sizes(self, names: list[StoreKey], lock: bool) -> list[int]:
        return self._lookups.wait(self._store.submit_lookup(names, lock))[1]

    def _unlock(self, names: list[StoreKey]) -> None:
        try:
            self._store.unlock(names)
        except fdpstore.Error as error:
            if error.code != "closed":  # a closed store has no locks
                raise

    # --- pins ---

    def _note_pins(self, keys: Sequence[CacheEngineKey], run: list[Found], until_s: float) -> None:
        now_s = time.monotonic()
        with self._pins_lock:
            if len(self._pins) > _MANY_PINS:  # of requests that were aborted
                self._pins = {key: pin for key, pin in self._pins.items() if pin.until_s > now_s}
            for key, found in zip(keys, run, strict=False):
                pin = self._pins.get(key)
                if pin is None or pin.until_s <= now_s or pin.found != found:
                    pin = self._pins[key] = Pin(found, 0, now_s)
                pin.count += 1
                pin.until_s = until_s

    def _pinned_run(self, keys: Sequence[CacheEngineKey]) -> list[Found]:
        now_s = time.monotonic()
        run: list[Found] = []
        with self._pins_lock:
            for key in keys:
                pin = self._pins.get(key)
                if pin is None or pin.until_s <= now_s:
                    break
                run.append(pin.found)
        return run

    # --- layouts ---

    def _learn_layouts(self) -> None:
        """From what is in the store already."""
        if self._expected is None:
            self.add_layouts(_layouts_in(self._store.usage()[2]))
            return
        for page in self.listing():  # a shared directory counts its usage only after a while
            self.add_layouts(_layouts_in({row[4] for row in page}))

    def _prefer(self, layout: MemoryLayout) -> None:
        with self._layouts_lock:
            self._layouts = tuple(dict.fromkeys([layout, *self._layouts]))


def _layouts_in(salts: Iterable[str]) -> list[MemoryLayout]:
    scopes = (scope_of(salt) for salt in salts)
    return [scope.layout for scope in scopes if scope is not None]
