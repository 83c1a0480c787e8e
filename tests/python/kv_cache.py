"""LMCacheEngine without a GPU: a KV cache in host memory, and the connector that copies it.

There is no GPU to test with; everything else is LMCache's own.
"""

from typing import Any

from engine import DTYPE, SHAPE, make_config, make_metadata, torch
from lmcache.v1.cache_engine import LMCacheEngine, LMCacheEngineBuilder
from lmcache.v1.gpu_connector.mock_gpu_connector import MockGPUConnector
from lmcache.v1.memory_management import MemoryObj

_INSTANCE = "fdpstore-test"


class KvCache(MockGPUConnector):
    """KV of `count` tokens: [K and V, layers, tokens, hidden]."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(make_metadata().kv_shape)
        generator = torch.Generator().manual_seed(seed)
        shape = (SHAPE[0], SHAPE[1], count, SHAPE[3])
        self.tokens = torch.rand(shape, generator=generator).to(DTYPE)

    def batched_from_gpu(self, memory_objs: list[MemoryObj], starts: Any, ends: Any, **_: Any):
        for obj, start, end in zip(memory_objs, starts, ends, strict=True):
            obj.tensor.copy_(self.tokens[:, :, start:end])

    def batched_to_gpu(self, memory_objs: list[MemoryObj], starts: Any, ends: Any, **_: Any):
        for obj, start, end in zip(memory_objs, starts, ends, strict=True):
            self.tokens[:, :, start:end].copy_(obj.tensor)

    def get_shape(self, num_tokens: int | None = None) -> torch.Size:
        return torch.Size([SHAPE[0], SHAPE[1], num_tokens or SHAPE[2], SHAPE[3]])


def make_engine(options: dict[str, Any], cache: KvCache) -> LMCacheEngine:
    config = make_config(options, local_cpu=False)  # memory is only passed through
    nothing = lambda value, _: value  # noqa: E731
    engine = LMCacheEngineBuilder.get_or_create(
        _INSTANCE, config, make_metadata(), cache, nothing, nothing
    )
    engine.post_init()
    return engine


def destroy_engine() -> None:
    LMCacheEngineBuilder.destroy(_INSTANCE)
