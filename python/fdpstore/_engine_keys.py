"""Keys of LMCache outside MP mode (CacheEngineKey, LayerCacheEngineKey) as keys of the store.

Everything that LMCache compares is in the store's key, and the object's memory layout beside it:

| store's key | holds |
|---|---|
| ``model_name`` | ``model_name``, with ``%`` and ``@`` as ``%25`` and ``%40`` |
| ``kv_rank`` | from the top: ``world_size``, the lower 8 bits of ``worker_id`` (at bit 16, where \
policies look for the rank), its upper 16 bits |
| ``object_group_id`` | 0 for a chunk of all layers, else ``layer_id`` + 1 |
| ``chunk_hash`` | 0 and the number, signed and big-endian; or 1 and the bytes |
| ``cache_salt`` | ``<tags>:<dtype>:<memory layout>``; tags as ``k=v&k=v``, so they are the tenant |

Source: lmcache/utils.py.
"""

from __future__ import annotations

import hashlib
import operator
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote

from lmcache.utils import (
    STR_DTYPE_TO_TORCH_DTYPE,
    TORCH_DTYPE_TO_STR_DTYPE,
    CacheEngineKey,
    LayerCacheEngineKey,
)

from fdpstore._memory_layouts import MemoryLayout

_MAX_SALT_BYTES = 512  # include/fdpstore/types.hpp
_MAX_TAGS_BYTES = 160  # longer ones are stored as a digest, to leave room for the layout
_NUMBER, _BYTES = b"\0", b"\1"
_TAG = "lmcache.tag."


class StoreKey(NamedTuple):
    """As the store wants keys: the attributes of an ObjectKey."""

    chunk_hash: bytes
    model_name: str
    kv_rank: int
    object_group_id: int
    cache_salt: str


class Scope(NamedTuple):
    """What a salt of ours says."""

    tags: str
    dtype: str
    layout: MemoryLayout


def store_key(key: CacheEngineKey, layout: MemoryLayout) -> StoreKey:
    """
    Raises:
        ValueError: a number that does not fit, or tags and layout that are too long together.
    """
    layer = key.layer_id + 1 if isinstance(key, LayerCacheEngineKey) else 0
    numbers = ((key.worker_id, 24), (key.world_size, 40), (layer, 32))
    if any(not 0 <= number < 1 << bits for number, bits in numbers):
        raise ValueError(f"worker, world size or layer of {key.to_string()} is out of range")
    return StoreKey(
        _hash_bytes(key.chunk_hash),
        _escape(key.model_name),
        key.world_size << 24 | (key.worker_id & 0xFF) << 16 | key.worker_id >> 8,
        layer,
        _salt(_tags(key.tags), TORCH_DTYPE_TO_STR_DTYPE[key.dtype], layout),
    )


def engine_key(key: StoreKey) -> CacheEngineKey | None:
    """The other way, for listings; None for a key that is not LMCache's, or with digested tags."""
    scope = scope_of(key.cache_salt)
    if scope is None or scope.tags.startswith("#") or scope.dtype not in STR_DTYPE_TO_TORCH_DTYPE:
        return None
    configs = None
    if scope.tags:
        tags = (tag.split("=", 1) for tag in scope.tags.split("&"))
        configs = {_TAG + unquote(name): unquote(value) for name, value in tags}
    content = key.chunk_hash[1:]
    is_number = key.chunk_hash[:1] == _NUMBER
    fields = {
        "model_name": unquote(key.model_name),
        "world_size": key.kv_rank >> 24,
        "worker_id": worker_of(key.kv_rank),
        "chunk_hash": int.from_bytes(content, "big", signed=True) if is_number else content,
        "dtype": STR_DTYPE_TO_TORCH_DTYPE[scope.dtype],
        "request_configs": configs,
    }
    if key.object_group_id == 0:
        return CacheEngineKey(**fields)
    return LayerCacheEngineKey(**fields, layer_id=key.object_group_id - 1)


def worker_of(kv_rank: int) -> int:
    return kv_rank >> 16 & 0xFF | (kv_rank & 0xFFFF) << 8


@lru_cache(maxsize=1024)
def scope_of(salt: str) -> Scope | None:
    """None for a salt that was not made here (objects of MP mode in the same store)."""
    parts = salt.split(":")
    if len(parts) != 3:
        return None
    try:
        return Scope(parts[0], parts[1], MemoryLayout.from_text(parts[2]))
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _salt(tags: str, dtype: str, layout: MemoryLayout) -> str:
    salt = f"{tags}:{dtype}:{layout.text}"
    if len(salt.encode()) > _MAX_SALT_BYTES:
        raise ValueError(f"the memory layout {layout.text} is too long for a key of fdpstore")
    return salt


def _tags(tags: tuple | None) -> str:
    if not tags:
        return ""
    words = [[quote(str(word), safe="") for word in tag] for tag in tags]
    text = "&".join("=".join(tag) for tag in words)
    if len(text) <= _MAX_TAGS_BYTES:
        return text
    return "#" + hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


def _escape(model: str) -> str:
    return model.replace("%", "%25").replace("@", "%40")


def _hash_bytes(chunk_hash: int | bytes) -> bytes:
    if isinstance(chunk_hash, bytes):
        return _BYTES + chunk_hash
    number = operator.index(chunk_hash)
    return _NUMBER + number.to_bytes((number.bit_length() + 8) // 8, "big", signed=True)
