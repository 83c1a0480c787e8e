"""fdpstore: a KV-cache store for LMCache that places data by lifetime on NVMe SSDs.

LMCache (MP mode) uses ``fdpstore.lmcache``; this module is the store without LMCache.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from fdpstore._native import Store, __version__
from fdpstore._native import check as _check
from fdpstore._native import option_table as _option_table
from fdpstore._native import parse_options as _parse_options
from fdpstore._native import probe_path as _probe_path
from fdpstore.errors import Error, OptionError

__all__ = [
    "Error",
    "OptionError",
    "Store",
    "__version__",
    "check",
    "open",
    "option_table",
    "parse_options",
    "probe_path",
]


def open(options: Mapping[str, Any]) -> Store:
    """Open or create the store that ``options`` names (see ``option_table``).

    Raises:
        OptionError: an option is unknown, malformed or contradictory.
        Error: the store cannot be opened; nothing was changed.
    """
    return Store(_encode(options))


def option_table() -> list[dict[str, str]]:
    """All options: name, type, unit, default, choices, layouts it applies to, help, alias_of."""
    return _option_table()


def parse_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Check ``options`` and return all options with their effective values.

    Raises:
        OptionError: names the option, what is wrong with it, and the remedy.
    """
    return json.loads(_parse_options(_encode(options)))


def probe_path(path: str) -> dict[str, Any]:
    """What ``path`` is, and which placement mechanisms work there. Changes nothing that stays."""
    return json.loads(_probe_path(path))


def check(
    options: Mapping[str, Any],
    repair: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Any]:
    """Read and check everything in a closed store; with ``repair``, take out what is damaged.

    Args:
        options: as for ``open``.
        repair: whether to change anything.
        progress: called with (bytes done, bytes in total).
    """
    return json.loads(_check(_encode(options), repair, progress))


def _encode(options: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(options))
    except (TypeError, ValueError) as error:
        raise OptionError(f"options must be JSON values: {error}", "invalid_option") from None
