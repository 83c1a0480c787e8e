"""What every door to LMCache does with a store that it has just opened."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import fdpstore

if TYPE_CHECKING:
    from fdpstore._native import Store


def log_opened(store: Store, logger: logging.Logger) -> None:
    """Say what was opened, which placement was asked for, and which one there is."""
    status = json.loads(store.status())
    placement = status["placement"]
    logger.info(
        "fdpstore: opened %s (layout %s, policy %s) in %.2f s with %d objects, %d bytes; "
        "placement asked %s (%s), effective %s by %s: %s",
        *(status[name] for name in ("path", "layout", "policy", "open_seconds")),
        *(status[name] for name in ("live_objects", "live_bytes")),
        *(placement[name] for name in ("asked", "strictness", "effective", "mechanism")),
        placement["reason"],
    )
    for warning in status["warnings"]:
        logger.warning("fdpstore: %s", warning)


def register_memory(store: Store, address: int, size_bytes: int, logger: logging.Logger) -> None:
    """Fixed buffers for a range that stays where it is; without them transfers work too."""
    try:
        store.register_memory(address, size_bytes)
    except fdpstore.Error as error:
        logger.warning("fdpstore: L1 memory is used without registration: %s", error)
