"""The store's numbers in LMCache's own metrics.

LMCache (MP mode) collects through OpenTelemetry, and shows what it has at ``/metrics`` or pushes it
(``--prometheus-port``, ``--otlp-endpoint``). The instruments here observe open stores whenever it
collects: ``fdpstore_stored_bytes_total{path="/mnt/kv"}`` and so on, the names of
``fdpstore stat --prometheus``. Without OpenTelemetry there are none, and nothing else changes.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import fdpstore
from fdpstore._native import metric_table

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation

_FRESH_S = 0.5  # one collection asks for every metric: the status of one moment serves them all


class StoreMetrics:
    """Instruments over every store that was added and is still open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stores: WeakKeyDictionary[fdpstore.Store, tuple[float, dict[str, Any]]] = (
            WeakKeyDictionary()
        )
        self._registered = False

    def add(self, store: fdpstore.Store) -> None:
        with self._lock:
            self._stores[store] = (float("-inf"), {})
            if not self._registered:
                self._registered = True
                self._register()

    def _register(self) -> None:
        try:
            from opentelemetry import metrics
        except ImportError:
            return
        meter = metrics.get_meter("fdpstore")
        for metric in metric_table():
            create = (
                meter.create_observable_counter
                if metric["counter"]
                else meter.create_observable_gauge
            )
            create(
                f"fdpstore.{metric['name']}",
                callbacks=[self._observer(metric["field"])],
                description=metric["help"],
            )

    def _observer(self, field: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        from opentelemetry.metrics import Observation

        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            for status in self._statuses():
                if status[field] is not None:
                    yield Observation(
                        float(status[field]) if isinstance(status[field], bool) else status[field],
                        {"path": status["path"], "layout": status["layout"]},
                    )

        return observe

    def _statuses(self) -> list[dict[str, Any]]:
        """Of each open store; asked anew when the last answer is old."""
        with self._lock:
            statuses = []
            for store, (asked, status) in list(self._stores.items()):
                if store.closed:
                    del self._stores[store]
                    continue
                now = time.monotonic()
                if now - asked > _FRESH_S:
                    status = json.loads(store.status())
                    self._stores[store] = (now, status)
                statuses.append(status)
            return statuses


METRICS = StoreMetrics()
