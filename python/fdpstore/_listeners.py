"""Telling a new listener what is in the store already, without losing what happens meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.internal_api import L2AdapterListener


class ReplayingListener(L2AdapterListener):
    """Stands for ``target``: holds events back until its replay is over, then passes them on.

    In this order a key that is deleted while the listing runs ends up deleted for the target, and
    no lock is held while the target is called. Events from before the listing may reach it twice.
    """

    def __init__(self, target: L2AdapterListener, logger: logging.Logger) -> None:
        self._target = target
        self._logger = logger
        self._lock = threading.Lock()  # guards the two below
        self._held: list[Callable[[], None]] = []
        self._live = False

    def replay(self, keys: list[ObjectKey], sizes: list[int]) -> None:
        """Tell the target of keys that are in the store."""
        self._call(lambda: self._target.on_l2_keys_stored(keys, sizes))

    def finish(self) -> None:
        """The replay is over: deliver what was held back, and from now on pass events on."""
        while True:
            with self._lock:
                held, self._held = self._held, []
                if not held:
                    self._live = True
                    return
            for event in held:
                self._call(event)

    def on_l2_keys_stored(self, keys: list[ObjectKey], sizes: list[int]) -> None:
        self._pass_on(lambda: self._target.on_l2_keys_stored(keys, sizes))

    def on_l2_keys_accessed(self, keys: list[ObjectKey]) -> None:
        self._pass_on(lambda: self._target.on_l2_keys_accessed(keys))

    def on_l2_keys_deleted(self, keys: list[ObjectKey]) -> None:
        self._pass_on(lambda: self._target.on_l2_keys_deleted(keys))

    def _pass_on(self, event: Callable[[], None]) -> None:
        with self._lock:
            if not self._live:
                self._held.append(event)
                return
        event()

    def _call(self, event: Callable[[], None]) -> None:
        try:
            event()
        except Exception:
            self._logger.exception("fdpstore: a listener of the L2 adapter failed")
