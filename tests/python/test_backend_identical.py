"""Whatever LMCache does, our backend answers as its own LocalCPUBackend does."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from engine import (
    DTYPE,
    MIB,
    SHAPE,
    Engine,
    content,
    fill,
    make_key,
    make_keys,
    make_metadata,
    torch,
)
from helpers import wait_until
from lmcache.utils import CacheEngineKey
from lmcache.v1.config import LMCacheEngineConfig
from lmcache.v1.memory_management import BytesBufferMemoryObj, MemoryFormat, MemoryObj
from lmcache.v1.pin_monitor import PinMonitor
from lmcache.v1.storage_backend.local_cpu_backend import LocalCPUBackend

TENSORS: dict[str, tuple[Any, Any, MemoryFormat]] = {
    "whole-chunk": (SHAPE, DTYPE, MemoryFormat.KV_2LTD),
    "short-chunk": (torch.Size([2, 4, 5, 32]), DTYPE, MemoryFormat.KV_2LTD),
    "half": (SHAPE, torch.half, MemoryFormat.KV_2LTD),
    "float": (SHAPE, torch.float, MemoryFormat.KV_2LTD),
    "fp8": (SHAPE, torch.float8_e4m3fn, MemoryFormat.KV_2LTD),
    "uint8": (SHAPE, torch.uint8, MemoryFormat.KV_2LTD),
    "layer": (torch.Size([16, 2, 32]), DTYPE, MemoryFormat.KV_T2D),
    "layer-blended": (torch.Size([2, 16, 32]), DTYPE, MemoryFormat.KV_2TD),
    "mla": (torch.Size([1, 4, 16, 72]), DTYPE, MemoryFormat.KV_MLA_FMT),
    "encoder": (torch.Size([7, 33]), DTYPE, MemoryFormat.EC_TD),
    "hidden-state": (torch.Size([9, 64]), torch.half, MemoryFormat.HS_TD),
    "flat": (torch.Size([4097]), torch.uint8, MemoryFormat.EC_TD),
    "odd-bytes": (torch.Size([1, 3, 7, 11]), torch.uint8, MemoryFormat.KV_2LTD),
    "groups": (
        [torch.Size([2, 3, 16, 32]), torch.Size([1, 2, 16, 40])],
        [torch.bfloat16, torch.uint8],
        MemoryFormat.KV_2LTD,
    ),
    "groups-of-other-lengths": (
        [torch.Size([2, 3, 16, 32]), torch.Size([2, 1, 8, 32])],
        [torch.bfloat16, torch.half],
        MemoryFormat.KV_2LTD,
    ),
}
KINDS = [*TENSORS, "bytes", "positions", "positions-of-some", "narrowed"]
KEYS: dict[str, Callable[[int], CacheEngineKey]] = {
    "number": lambda n: make_key(n),
    "negative": lambda n: make_key(-n - 1),
    "long-number": lambda n: make_key(n << 120),
    "bytes": lambda n: make_key(n.to_bytes(32, "big")),
    "layer": lambda n: make_key(n // 4).split_layers(4)[n % 4],
    "tags": lambda n: make_key(n, request_configs={"lmcache.tag.user": f"a/b@{n % 2}:%&="}),
    "many-tags": lambda n: make_key(
        n // 2, request_configs={f"lmcache.tag.t{i}": "x" * 40 + str(n % 2) for i in range(9)}
    ),
    "worker": lambda n: make_key(n // 3, worker_id=(0, 1, 300)[n % 3], world_size=512),
    "dtype": lambda n: make_key(n // 2, dtype=(torch.half, torch.float)[n % 2]),
    "model": lambda n: make_key(n // 2, model_name=("org/m@1", "org/m%401")[n % 2]),
}


def build(cpu: LocalCPUBackend, kind: str, seed: int) -> MemoryObj:
    """An object as LMCache makes it, out of `cpu`'s memory."""
    if kind == "bytes":
        obj: MemoryObj = BytesBufferMemoryObj(bytearray(1001))
    else:
        shapes, dtypes, fmt = TENSORS.get(kind, TENSORS["whole-chunk"])
        obj = cpu.allocate(shapes, dtypes, fmt, busy_loop=False)
        assert obj is not None
    if kind == "positions":
        obj.metadata.cached_positions = torch.arange(seed, seed + SHAPE[2])
    if kind == "positions-of-some":
        obj.metadata.cached_positions = torch.tensor([[seed, 1], [2, 3]], dtype=torch.int32)
    if kind == "narrowed":
        obj.set_used_size(777)
    fill(obj, seed)
    return obj


def tensor_seen(obj: MemoryObj, index: int) -> tuple[Any, ...] | None:
    if obj.get_size() != obj.metadata.get_size():
        return None  # LMCache has no tensors of a narrowed object
    tensor = obj.get_tensor(index)
    return tensor.shape, tensor.dtype, tensor.view(torch.uint8).flatten().tolist()


def seen(obj: MemoryObj | None) -> dict[str, Any] | None:
    """All that LMCache can see of a memory object; gives the reference back."""
    if obj is None:
        return None
    meta = obj.metadata
    positions = meta.cached_positions
    facts = {
        "class": type(obj),
        "bytes": content(obj),
        "size": obj.get_size(),
        "shape": obj.get_shape(),
        "dtype": obj.get_dtype(),
        "shapes": obj.get_shapes(),
        "dtypes": obj.get_dtypes(),
        "fmt": obj.get_memory_format(),
        "tokens": obj.get_num_tokens() if len(meta.shape) > meta.fmt.token_dim() else None,
        "tensors": [tensor_seen(obj, i) for i in range(len(meta.shapes or []))],
        "positions": None if positions is None else (positions.dtype, positions.tolist()),
    }
    obj.ref_count_down()
    return facts


@dataclass
class Pair:
    """The same operations on LocalCPUBackend and on ours; answers must be the same."""

    options: dict[str, Any]
    ours: Engine = field(init=False)
    theirs: LocalCPUBackend = field(init=False)

    def __post_init__(self) -> None:
        config = LMCacheEngineConfig.from_defaults(
            local_cpu=True, max_local_cpu_size=32 * MIB / 2**30
        )
        PinMonitor.GetOrCreate(config, make_metadata())  # as LMCacheEngine does
        self.theirs = LocalCPUBackend(config, make_metadata(), "cpu")
        self.ours = Engine(self.options)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()

    def restart(self) -> None:
        self.ours.close()
        self.ours = Engine(self.options)

    def put(self, keys: list[CacheEngineKey], kinds: list[str], seeds: list[int]) -> None:
        reported: list[list[CacheEngineKey]] = [[], []]
        for store, cpu, told in (
            (self.ours.backend, self.ours.cpu, reported[0]),
            (self.theirs, self.theirs, reported[1]),
        ):
            objects = [build(cpu, *what) for what in zip(kinds, seeds, strict=True)]
            for future in store.batched_submit_put_task(keys, objects, None, told.append) or []:
                future.result(30)
            for obj in objects:
                obj.ref_count_down()
        assert reported[0] == reported[1]

    def same(self, method: str, *args: Any) -> Any:
        ours = getattr(self.ours.backend, method)(*args)
        theirs = getattr(self.theirs, method)(*args)
        assert ours == theirs, f"{method}{args}"
        return ours

    def same_async(self, method: str, *args: Any) -> Any:
        ours = self.ours.loop.run(getattr(self.ours.backend, method)("id", *args))
        theirs = self.ours.loop.run(getattr(self.theirs, method)("id", *args))
        assert ours == theirs, f"{method}{args}"
        return ours

    def get(self, key: CacheEngineKey) -> None:
        ours, theirs = self.ours.backend.get_blocking(key), self.theirs.get_blocking(key)
        assert seen(ours) == seen(theirs)

    def get_many(self, keys: list[CacheEngineKey]) -> None:
        """LocalCPUBackend goes on after a miss; ours ends there, as all loads of LMCache do."""
        ours = list(map(seen, self.ours.backend.batched_get_blocking(keys)))
        theirs = list(map(seen, self.theirs.batched_get_blocking(keys)))
        end = theirs.index(None) if None in theirs else len(theirs)
        assert ours == theirs[:end] + [None] * (len(keys) - end)

    def get_many_async(self, keys: list[CacheEngineKey]) -> None:
        """As LMCache does it: ask how many there are, and get these."""
        keys = keys[: self.same_async("batched_async_contains", keys)]
        ours = self.ours.loop.run(self.ours.backend.batched_get_non_blocking("id", keys))
        theirs = self.ours.loop.run(self.theirs.batched_get_non_blocking("id", keys))
        assert list(map(seen, ours)) == list(map(seen, theirs))
        assert len(ours) == len(keys)


@pytest.fixture
def pair(options):
    pair = Pair(options)
    yield pair
    pair.close()


@pytest.mark.parametrize("kind", KINDS)
def test_objects_come_back_as_they_were(pair, kind):
    keys = make_keys(3)
    pair.put(keys, [kind] * 3, [1, 2, 3])
    for _ in range(2):
        for key in keys:
            pair.get(key)
        pair.get_many(keys)
        pair.get_many_async(keys)
        pair.restart()  # the second time in a store that did not see them being stored


@pytest.mark.parametrize("kind", KEYS)
def test_keys_that_differ_are_kept_apart(pair, kind):
    keys = [KEYS[kind](number) for number in range(12)]
    assert len(set(keys)) == 12
    stored = keys[1::2]
    pair.put(stored, ["whole-chunk"] * 6, list(range(6)))
    for _ in range(2):
        for key in keys:
            assert pair.same("contains", key) == (key in stored)
            pair.get(key)
        pair.restart()


def test_missing_in_the_middle(pair):
    keys = make_keys(8)
    there = keys[:3] + keys[4:6] + keys[7:]
    pair.put(there, ["whole-chunk"] * 6, list(range(6)))
    for first in range(8):
        assert pair.same("batched_contains", keys[first:]) == {
            0: 3,
            1: 2,
            2: 1,
            4: 2,
            5: 1,
            7: 1,
        }.get(first, 0)
        pair.get_many(keys[first:])
        pair.get_many_async(keys[first:])


def test_objects_of_several_kinds_in_one_batch(pair):
    keys = make_keys(len(KINDS))
    pair.put(keys, KINDS, list(range(len(KINDS))))
    for _ in range(2):
        assert pair.same("batched_contains", keys) == len(KINDS)
        pair.get_many(keys)
        pair.get_many_async(keys)
        pair.restart()
    assert pair.same("batched_remove", keys[::2]) == len(keys[::2])
    pair.get_many(keys[1:])


def test_the_first_object_of_a_key_stays(pair):
    """Storing another one of any kind changes nothing, and nobody is told of it."""
    keys = make_keys(2)
    pair.put(keys, ["whole-chunk", "layer"], [1, 2])
    pair.put(keys, ["layer", "whole-chunk"], [3, 4])
    pair.put([keys[0], keys[0]], ["mla", "half"], [5, 6])
    for _ in range(2):
        for key in keys:
            pair.get(key)
        pair.restart()


def test_any_series_of_operations(pair):
    """Hundreds of random operations, with restarts of the store in between."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    choose = random.Random(seed)
    keys = make_keys(16) + make_key(1).split_layers(4) + make_keys(4, dtype=torch.half)
    pins: list[CacheEngineKey] = []

    def some() -> list[CacheEngineKey]:
        return choose.choices(keys, k=choose.randint(1, 6))

    def unpin_all() -> None:
        for key in pins:
            pair.same("unpin", key)
        pins.clear()

    def put() -> None:
        chosen = some()
        kinds = choose.choices(["whole-chunk", "layer", "mla", "bytes", "positions"], k=len(chosen))
        pair.put(chosen, kinds, choose.choices(range(1000), k=len(chosen)))

    def pin() -> None:
        key = choose.choice(keys)
        if pair.same("pin", key):
            pins.append(key)

    def pin_many() -> None:
        chosen = some()
        if choose.random() < 0.5:
            hits = pair.same("batched_contains", chosen, True)
        else:
            hits = pair.same_async("batched_async_contains", chosen, True)
        pins.extend(chosen[:hits])

    def remove() -> None:
        chosen = list(dict.fromkeys(some()))
        pair.same("batched_remove", chosen)
        pins[:] = [key for key in pins if key not in chosen]

    def unpin() -> None:
        if pins:
            pair.same("unpin", pins.pop(choose.randrange(len(pins))))

    def clear() -> None:
        unpin_all()
        pair.same("clear")

    def restart() -> None:
        unpin_all()
        pair.restart()

    operations = {
        put: 8,
        pin: 2,
        pin_many: 2,
        unpin: 4,
        remove: 3,
        clear: 0.2,
        restart: 0.5,
        lambda: pair.same("contains", choose.choice(keys)): 2,
        lambda: pair.same("batched_contains", some()): 2,
        lambda: pair.get(choose.choice(keys)): 4,
        lambda: pair.get_many(some()): 4,
        lambda: pair.get_many_async(some()): 4,
    }
    for operation in choose.choices(list(operations), list(operations.values()), k=400):
        operation()
    unpin_all()
    memory = pair.ours.cpu.get_memory_allocator()
    wait_until(
        lambda: memory.pin_allocator.address_manager.get_free_size() == memory.size, "memory back"
    )
