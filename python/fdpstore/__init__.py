"""fdpstore: a KV-cache store for LMCache that places data by lifetime on NVMe SSDs.

LMCache uses ``fdpstore.lmcache`` (MP mode), ``fdpstore.native`` (MP mode, ``native_plugin``) or
``fdpstore.lmcache_backend`` (outside MP mode); this module is the store without LMCache.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fdpstore._native import Store, __version__
from fdpstore._native import check as _check
from fdpstore._native import foreign_option_table as _foreign_option_table
from fdpstore._native import option_notes as _option_notes
from fdpstore._native import option_table as _option_table
from fdpstore._native import parse_options as _parse_options
from fdpstore._native import probe_path as _probe_path
from fdpstore._waiting import Completions
from fdpstore.errors import Error, OptionError

__all__ = [
    "Error",
    "OptionError",
    "Store",
    "__version__",
    "check",
    "foreign_option_table",
    "open",
    "option_notes",
    "option_table",
    "parse_options",
    "probe_path",
    "put",
    "put_many",
]


def open(options: Mapping[str, Any]) -> Store:
    """Open or create the store that ``options`` names (see ``option_table``).

    Raises:
        OptionError: an option is unknown, malformed or contradictory.
        Error: the store cannot be opened; nothing was changed.
    """
    return Store(_encode(options))


def put_many(
    store: Store,
    keys: Sequence[Any],
    objects: Sequence[Any],
    *,
    stream: str = "",
    rank: int | None = None,
) -> int:
    """Store objects and wait for it; keys that are there already are only touched.

    Args:
        store: nobody else may take its results of puts meanwhile.
        keys: anything with the attributes of LMCache's ObjectKey.
        objects: LMCache MemoryObj instances, or anything with the buffer protocol.
        stream: a stream of the policy, or a class that its rules name; a name that the policy does
            not know leaves the choice to it.
        rank: takes the place of the rank in the keys' ``kv_rank``.

    Both are overridden by what an object says in its ``metadata.fdp_placement_stream`` and
    ``metadata.fdp_placement_rank``.

    Returns:
        Bytes written.

    Raises:
        Error: not everything was stored; the message is the first failure's.
    """
    completions = Completions(store.put_event_fd(), store.take_puts)
    try:
        task = store.submit_put(keys, objects, stream, rank)
        _, ok, written_bytes, _, _, _, error = completions.wait(task)
    finally:
        completions.close()
    if not ok:
        raise Error(f"not everything was stored: {error}")
    return written_bytes


def put(
    store: Store,
    key: Any,  # noqa: ANN401
    obj: Any,  # noqa: ANN401
    *,
    stream: str = "",
    rank: int | None = None,
) -> int:
    """``put_many`` of one object."""
    return put_many(store, [key], [obj], stream=stream, rank=rank)


def option_table() -> list[dict[str, str]]:
    """All options: name, type, unit, default, choices, layouts it applies to, help, alias_of."""
    return _option_table()


def foreign_option_table() -> list[dict[str, str]]:
    """Names of other stores that ``option_table`` lacks: name, of, choices (accepted values), help.

    One without choices is refused; ``help`` then says why.
    """
    return _foreign_option_table()


def option_notes(options: Mapping[str, Any]) -> list[str]:
    """What a user of ``options`` should be told: names that mean something slightly different."""
    return _option_notes(_encode(options))


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
