"""The C++ store (python/module/). Keys are anything with the attributes of LMCache's ObjectKey, or
its text as LMCache's native connectors get it (``fdpstore.native``). Objects are LMCache MemoryObj
instances or anything with the buffer protocol. Sizes are payload bytes. Tasks: a result can be
taken once the kind's eventfd is readable; until then the store holds references to the task's keys
and objects.
"""

from collections.abc import Callable, Sequence
from typing import Any

__version__: str

# (chunk_hash, model_name, kv_rank, object_group_id, cache_salt, bytes)
ListedKey = tuple[bytes, str, int, int, str, int]
# (task, ok, written bytes, keys written, their sizes, keys that were there already, first error)
PutResult = tuple[int, bool, int, list[Any], list[int], list[Any], str | None]
# (task, number of keys, leading run of hits, indices of further hits, keys loaded, first I/O error)
GetResult = tuple[int, int, int, list[int], list[Any], str | None]
# (task, number of keys, leading run of hits, indices of further hits)
LookupResult = tuple[int, int, int, list[int]]

class Store:
    """One open store. Any thread may call any method; submits never block on I/O."""

    def __init__(self, options_json: str) -> None: ...
    def submit_put(
        self, keys: Sequence[Any], objects: Sequence[Any], stream: str = "", rank: int | None = None
    ) -> int:
        """Store; `stream` (or class) and `rank` override the policy, and the hints that an object
        brings in `metadata.fdp_placement_stream` and `metadata.fdp_placement_rank` override them.
        """
    def submit_get(self, keys: Sequence[Any], objects: Sequence[Any]) -> int: ...
    def submit_lookup(self, keys: Sequence[Any], lock: bool) -> int: ...
    def take_puts(self) -> list[PutResult]: ...
    def take_gets(self) -> list[GetResult]: ...
    def take_lookups(self) -> list[LookupResult]: ...
    def take_sizes(self) -> list[tuple[int, list[int]]]:
        """Instead of take_lookups: (task, bytes of each object; 0 where it is not there)."""
    def take_dropped(self) -> list[ListedKey]:
        """Objects that left without erase(): reclaimed, or found damaged."""
    def put_event_fd(self) -> int: ...
    def get_event_fd(self) -> int: ...
    def lookup_event_fd(self) -> int: ...
    def unlock(self, keys: Sequence[Any]) -> None: ...
    def erase(self, keys: Sequence[Any]) -> list[int | None]:
        """Size of each key removed; None where it was absent or locked. Blocks until durable."""
    def list(self, cursor: bytes, page_size: int, model_name: str) -> tuple[list[ListedKey], bytes]:
        """A page and the next cursor (empty: that was all). Empty model_name: all models."""
    def usage(self) -> tuple[int, int, dict[str, int]]:
        """(live bytes, most bytes that can be live or 0 if unknown, live bytes per cache salt)."""
    def status(self) -> str:
        """StoreStatus as JSON."""
    def register_memory(self, address: int, size_bytes: int) -> None: ...
    def close(self) -> None:
        """Finishes what is in flight; afterwards no caller's memory is touched. Idempotent."""
    @property
    def closed(self) -> bool: ...

def option_table() -> list[dict[str, str]]: ...
def foreign_option_table() -> list[dict[str, str]]: ...
def option_notes(options_json: str) -> list[str]: ...
def metric_table() -> list[dict[str, Any]]: ...
def parse_options(options_json: str) -> str: ...
def probe_path(path: str) -> str: ...
def check(
    options_json: str, repair: bool, progress: Callable[[int, int], object] | None = None
) -> str: ...
