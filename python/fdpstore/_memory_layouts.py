"""What has to be known of LMCache's memory objects to make the same ones again.

A store keeps bytes. Shape, dtype and format of an object are part of its key (``_engine_keys``), so
that they live and die with it; what differs from chunk to chunk, the number of tokens, follows from
the object's size. So a model has one layout, whatever the length of its last chunk.

Source: lmcache/v1/memory_management.py, MemoryObjMetadata.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

import torch
from lmcache.v1.memory_management import (
    BytesBufferMemoryObj,
    MemoryFormat,
    MemoryObj,
    MemoryObjMetadata,
)

if TYPE_CHECKING:
    from lmcache.v1.config import LMCacheEngineConfig
    from lmcache.v1.metadata import LMCacheMetadata
    from lmcache.v1.storage_backend.abstract_backend import AllocatorBackendInterface

_BYTES, _NARROWED, _POSITIONS = "bytes", "narrowed", "positions-"
_TOKENS = None  # stands for the number of tokens among the dimensions


@dataclass(frozen=True)
class Part:
    """A tensor of an object; None among its dimensions is the number of tokens."""

    dtype: torch.dtype
    dims: tuple[int | None, ...]

    @property
    def unit_bytes(self) -> int:
        """Bytes of it, or of one token of it."""
        return self.dtype.itemsize * prod(dim for dim in self.dims if dim is not None)

    def shape(self, tokens: int) -> torch.Size:
        return torch.Size([tokens if dim is None else dim for dim in self.dims])

    def to_text(self) -> str:
        dims = ["n" if dim is None else str(dim) for dim in self.dims]
        return ".".join([str(self.dtype).removeprefix("torch."), *dims])

    @staticmethod
    def from_text(text: str) -> Part:
        name, *dims = text.split(".")
        dtype = getattr(torch, name, None)
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"'{name}' is not a dtype")
        return Part(dtype, tuple(None if dim == "n" else int(dim) for dim in dims))


@dataclass(frozen=True)
class MemoryLayout:
    """Format and tensors of a memory object; no tensors for one that holds plain bytes."""

    fmt: MemoryFormat
    parts: tuple[Part, ...] = ()
    positions: Part | None = None  # MemoryObjMetadata.cached_positions, stored behind the payload
    narrowed: bool = False  # MemoryObj.set_used_size: fewer bytes than the tensors have

    @staticmethod
    def of(obj: MemoryObj) -> MemoryLayout:
        """
        Raises:
            ValueError: an object whose layout cannot be told.
        """
        meta = obj.metadata
        if isinstance(obj, BytesBufferMemoryObj):
            return MemoryLayout(meta.fmt)
        shapes = meta.shapes if meta.shapes is not None else [meta.shape]
        dtypes = meta.dtypes if meta.dtypes is not None else [meta.dtype]
        if any(dtype is None for dtype in dtypes):
            raise ValueError(f"a memory object of format {meta.fmt.name} has no dtype")
        parts = [Part(*part) for part in zip(dtypes, map(tuple, shapes), strict=True)]
        positions = _positions_part(meta)
        if obj.get_size() != sum(part.unit_bytes for part in parts):
            return MemoryLayout(meta.fmt, tuple(parts), positions, narrowed=True)
        return MemoryLayout(meta.fmt, *_without_tokens(parts, meta.fmt.token_dim(), positions))

    @cached_property
    def text(self) -> str:
        """For keys: without ``:``, ``@``, ``/``; equal for equal layouts."""
        words = [self.fmt.name, *(part.to_text() for part in self.parts)]
        if not self.parts:
            words.append(_BYTES)
        if self.positions:
            words.append(_POSITIONS + self.positions.to_text())
        if self.narrowed:
            words.append(_NARROWED)
        return "+".join(words)

    @staticmethod
    def from_text(text: str) -> MemoryLayout:
        """
        Raises:
            ValueError: not a text of ours.
        """
        name, *words = text.split("+")
        if name not in MemoryFormat.__members__ or not words:
            raise ValueError(f"'{text}' is not a memory layout")
        fmt = MemoryFormat[name]
        if words == [_BYTES]:
            return MemoryLayout(fmt)
        narrowed = words[-1] == _NARROWED
        if narrowed:
            words.pop()
        positions = None
        if words and words[-1].startswith(_POSITIONS):
            positions = Part.from_text(words.pop().removeprefix(_POSITIONS))
        parts = tuple(Part.from_text(word) for word in words)
        if not parts:
            raise ValueError(f"'{text}' is not a memory layout")
        return MemoryLayout(fmt, parts, positions, narrowed)

    def tokens(self, size_bytes: int) -> int:
        """
        Raises:
            ValueError: no object of this layout has that size.
        """
        stored = (*self.parts, *filter(None, [self.positions]))
        per_token = sum(part.unit_bytes for part in stored if _TOKENS in part.dims)
        fixed = sum(part.unit_bytes for part in stored if _TOKENS not in part.dims)
        if self.narrowed or not self.parts:
            return 0
        tokens, rest = divmod(size_bytes - fixed, per_token or size_bytes)
        if rest or tokens < 0:
            raise ValueError(f"{size_bytes} bytes are no object of layout {self.text}")
        return tokens

    def num_tokens(self, size_bytes: int) -> int:
        """As ``MemoryObj.get_num_tokens`` counts them."""
        if not self.parts:
            return 1
        shape = self.parts[0].shape(self.tokens(size_bytes))
        return shape[self.fmt.token_dim()] if len(shape) > self.fmt.token_dim() else 1

    def allocate(self, allocator: AllocatorBackendInterface, size_bytes: int) -> MemoryObj | None:
        """Memory for an object of ``size_bytes`` in the store; None when there is none left now."""
        if not self.parts:
            return BytesBufferMemoryObj(bytearray(size_bytes))
        tokens = self.tokens(size_bytes)
        shapes = [part.shape(tokens) for part in self.parts]
        dtypes = [part.dtype for part in self.parts]
        obj = allocator.allocate(shapes, dtypes, self.fmt, busy_loop=False)
        if obj is not None and self.narrowed:
            obj.set_used_size(size_bytes - self._positions_bytes(size_bytes))
        return obj

    # --- what the store reads and writes; the payload itself, unless there are positions ---

    def to_store(self, obj: MemoryObj) -> MemoryObj | Copy:
        if self.positions is None:
            return obj
        raw = obj.metadata.cached_positions.detach().cpu().contiguous().view(torch.uint8)
        return Copy(obj, bytearray(obj.byte_array) + raw.numpy().tobytes())

    def to_load(self, obj: MemoryObj, size_bytes: int) -> MemoryObj | Copy:
        return obj if self.positions is None else Copy(obj, bytearray(size_bytes))

    def loaded(self, obj: MemoryObj, buffer: MemoryObj | Copy, size_bytes: int) -> None:
        """Move what was loaded from ``buffer`` of ``to_load`` into ``obj``."""
        if self.positions is None:
            return
        payload = size_bytes - self._positions_bytes(size_bytes)
        obj.byte_array.cast("B")[:] = buffer.byte_array[:payload]
        positions = torch.frombuffer(buffer.byte_array[payload:], dtype=self.positions.dtype)
        obj.metadata.cached_positions = positions.reshape(
            self.positions.shape(self.tokens(size_bytes))
        )

    def _positions_bytes(self, size_bytes: int) -> int:
        if self.positions is None:
            return 0
        tokens = self.tokens(size_bytes) if _TOKENS in self.positions.dims else 1
        return self.positions.unit_bytes * tokens


class Copy:
    """Bytes that stand for a memory object's on their way into or out of the store."""

    __slots__ = ("byte_array", "metadata")

    def __init__(self, obj: MemoryObj, content: bytearray) -> None:
        self.byte_array = content
        self.metadata = obj.metadata  # placement hints


def expected_layout(config: LMCacheEngineConfig, metadata: LMCacheMetadata) -> MemoryLayout:
    """How LMCache's engine will store, by its configuration (cache_engine.py, gpu_connector/)."""
    dtypes, shapes = metadata.get_dtypes(), [tuple(shape) for shape in metadata.get_shapes()]
    fmt = MemoryFormat.KV_MLA_FMT if metadata.use_mla else MemoryFormat.KV_2LTD
    if config.use_layerwise:
        kv, _, tokens, hidden = shapes[0]
        if metadata.use_mla:
            shapes = [(tokens, hidden)]
        elif config.enable_blending:
            fmt, shapes = MemoryFormat.KV_2TD, [(kv, tokens, hidden)]
        else:
            fmt, shapes = MemoryFormat.KV_T2D, [(tokens, kv, hidden)]
    parts = [Part(*part) for part in zip(dtypes, shapes, strict=False)]
    return MemoryLayout(fmt, *_without_tokens(parts, fmt.token_dim(), None))


def _positions_part(meta: MemoryObjMetadata) -> Part | None:
    positions = meta.cached_positions
    if positions is None or positions.numel() == 0:
        return None
    return Part(positions.dtype, tuple(positions.shape))


def _without_tokens(
    parts: list[Part], token_dim: int, positions: Part | None
) -> tuple[tuple[Part, ...], Part | None]:
    """The parts with the number of tokens left open, where a size tells it again."""
    if any(len(part.dims) <= token_dim for part in parts):
        return tuple(parts), positions
    tokens = parts[0].dims[token_dim]
    if any(part.dims[token_dim] != tokens or part.unit_bytes == 0 for part in parts):
        return tuple(parts), positions
    opened = tuple(
        Part(part.dtype, (*part.dims[:token_dim], _TOKENS, *part.dims[token_dim + 1 :]))
        for part in parts
    )
    if positions and positions.dims == (tokens,):
        positions = Part(positions.dtype, (_TOKENS,))
    return opened, positions
