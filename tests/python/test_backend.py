"""The storage backend inside LMCache: StorageManager, LMCacheEngine, restarts, kill -9."""

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import MIB, options_for
from engine import (
    DTYPE,
    PLUGIN,
    SHAPE,
    Engine,
    Manager,
    extra_config,
    fill,
    make_key,
    make_keys,
    seed_of,
    torch,
    verify,
)
from helpers import wait_until
from lmcache.v1.memory_management import MemoryFormat

CHUNK_BYTES = SHAPE.numel() * DTYPE.itemsize


# --- LMCache's StorageManager ---


def test_manager_stores_in_both_and_loads_from_ours(start, options):
    manager = start(Manager, options)
    keys = make_keys(10)
    manager.put(keys)
    manager.wait_stored(keys)
    hits, where = manager.manager.batched_contains(keys)
    assert (hits, list(where)) == (10, ["LocalCPUBackend"])
    manager.forget_in_memory(keys[4:])
    hits, where = manager.manager.batched_contains(keys, pin=True)
    assert (hits, {name: len(found) for name, found in where.items()}) == (
        10,
        {"LocalCPUBackend": 4, PLUGIN: 6},
    )
    for name, found in where.items():
        manager.manager.batched_unpin(found, [name])
    for key, obj in zip(keys[4:], manager.manager.batched_get(keys[4:], PLUGIN), strict=True):
        verify(key, obj)
        obj.ref_count_down()
    assert all(manager.cpu.contains(key) for key in keys)  # LMCache keeps what it loaded
    assert manager.manager.get(keys[0], PLUGIN) is not None
    assert manager.manager.remove(keys[0]) == 2
    assert manager.manager.batched_remove(keys[1:]) == 18
    assert manager.manager.contains(keys[5]) is None
    assert manager.manager.memcheck()


def test_manager_loads_layer_by_layer(start, options):
    manager = start(Manager, options, use_layerwise=True)
    layers = [list(row) for row in zip(*(key.split_layers(4) for key in make_keys(3)), strict=True)]
    shape, fmt = torch.Size([SHAPE[2], 2, SHAPE[3]]), MemoryFormat.KV_T2D
    for row in layers:
        objects = manager.manager.batched_allocate(shape, DTYPE, len(row), fmt)
        for key, obj in zip(row, objects, strict=True):
            fill(obj, seed_of(key))
        manager.manager.batched_put(row, objects)
    every = [key for row in layers for key in row]
    manager.wait_stored(every)
    manager.forget_in_memory(every)
    for row, future in zip(
        layers, manager.manager.layerwise_batched_get(layers, PLUGIN), strict=True
    ):
        for key, obj in zip(row, future.result(30), strict=True):
            assert obj.get_memory_format() == fmt
            verify(key, obj)
            obj.ref_count_down()


class Answers:
    """Stands at the end of LMCache's asynchronous loading, where its scheduler's socket is."""

    def __init__(self):
        self.lengths = {}

    def send_response_to_scheduler(self, lookup_id, length):
        self.lengths[lookup_id] = length


@pytest.mark.parametrize("there", [6, 4, 0])
def test_manager_prefetches_asynchronously(start, options, there):
    manager = start(Manager, options, enable_async_loading=True)
    manager.manager.async_lookup_server = answers = Answers()
    keys = make_keys(6)
    manager.put(keys)
    manager.wait_stored(keys)
    manager.forget_in_memory(keys)
    manager.backend.batched_remove(keys[there : there + 1])  # one is missing in the middle
    lengths = [SHAPE[2] * number for number in range(7)]
    loading = manager.manager.async_lookup_and_prefetch("request", keys, lengths, pin=True)
    asyncio.run_coroutine_threadsafe(loading, manager.manager.loop).result(30)
    wait_until(lambda: "request" in answers.lengths, "the answer")
    assert answers.lengths["request"] == lengths[there]
    if there:
        from lmcache.v1.event_manager import EventType

        tiers = manager.manager.event_manager.pop_event(EventType.LOADING, "request").result()
        assert [key for tier in tiers for key, _ in tier] == keys[:there]
        for key, obj in (pair for tier in tiers for pair in tier):
            verify(key, obj)
            obj.ref_count_down()


def test_manager_closes_while_stores_are_in_flight(options):
    """StorageManager frees LMCache's memory before it closes our backend: nothing may be read
    from there any more, and what was stored must be right."""
    if options["layout"] == "object":
        options["engine_threads"] = 1  # slow
    keys = make_keys(600)
    manager = Manager(options)
    manager.put(keys)
    backend = manager.backend
    in_flight_when_freed = []
    free = manager.cpu.memory_allocator.close

    def freeing():
        in_flight_when_freed.append(sum(backend.exists_in_put_tasks(key) for key in keys))
        free()

    manager.cpu.memory_allocator.close = freeing
    manager.close()
    assert in_flight_when_freed == [0]
    engine = Engine(options)
    assert engine.backend.batched_contains(keys) == 600
    engine.load_and_verify(keys)
    engine.close()


def test_manager_can_close_and_recreate_the_backend(start, options):
    manager = start(Manager, options)
    keys = make_keys(4)
    manager.put(keys)
    assert manager.manager.recreate_backend(PLUGIN) == {PLUGIN: "FdpStorageBackend"}
    assert manager.backend.batched_contains(keys) == 4
    assert manager.manager.close_backend(PLUGIN)
    assert PLUGIN not in manager.manager.storage_backends


def test_audit_backend_of_lmcache_works_on_top(start, options):
    config = extra_config(options) | {"audit_backend_enabled": True}
    manager = start(Manager, options, extra_config=config)
    keys = make_keys(3)
    manager.put(keys)
    wait_until(lambda: manager.backend.contains(keys[-1]), "stores")
    assert type(manager.backend).__name__ == "AuditBackend"
    manager.forget_in_memory(keys)
    (obj,) = manager.manager.batched_get(keys[:1], PLUGIN)
    verify(keys[0], obj)
    obj.ref_count_down()


def test_clear_removes_what_is_not_pinned(start, options):
    manager = start(Manager, options)
    keys = make_keys(5)
    manager.put(keys)
    manager.wait_stored(keys)
    assert manager.backend.pin(keys[2])
    assert manager.manager.clear([PLUGIN]) == 4 * SHAPE[2]
    assert [manager.backend.contains(key) for key in keys] == [False, False, True, False, False]
    assert manager.backend.unpin(keys[2])
    assert manager.manager.clear([PLUGIN]) == SHAPE[2]


# --- LMCache's engine ---


def test_engine_stores_looks_up_and_retrieves(options):
    """LMCacheEngine with its token database, before and after a restart; memory in between."""
    from kv_cache import KvCache, destroy_engine, make_engine

    tokens = list(range(5 * SHAPE[2]))
    written = KvCache(len(tokens), seed=1)
    engine = make_engine(options, written)
    engine.store(torch.tensor(tokens))
    backend = engine.storage_manager.storage_backends[PLUGIN]
    wait_until(lambda: not backend._puts._keys, "stores")
    destroy_engine()
    for tags in ({}, {"lmcache.tag.user": "alice"}):
        read = KvCache(len(tokens) + SHAPE[2], seed=2)
        engine = make_engine(options, read)
        more = [*tokens, *[7] * SHAPE[2]]  # the last chunk was never stored
        expected = 0 if tags else len(tokens)
        assert engine.lookup(more, lookup_id="r", pin=True, request_configs=tags) == expected
        mask = engine.retrieve(torch.tensor(more), req_id="r", request_configs=tags)
        assert mask.sum() == expected
        assert mask[:expected].all()
        assert torch.equal(read.tokens[:, :, :expected], written.tokens[:, :, :expected])
        engine.lookup_unpin("r")
        destroy_engine()


# --- kill -9 ---


def test_killed_process_loses_nothing_it_reported(start, tmp_path, layout):
    options = options_for(layout, tmp_path / "store")
    if layout != "object":
        options |= {"capacity_bytes": 2048 * MIB, "segment_bytes": 32 * MIB}
    timing = random.Random(seed := random.randrange(2**32))
    print(f"seed {seed}")
    done: list[int] = []
    for turn in range(3):
        job = json.dumps({"options": options, "first": 100_000 * turn})
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("engine_worker.py")), "write", job],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        lines = [process.stdout.readline()]
        assert lines[0].startswith("done"), process.stderr.read()[-4000:]
        time.sleep(timing.uniform(0.01, 0.3))
        process.kill()
        rest, _ = process.communicate(timeout=30)
        lines += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        done += [int(line.split()[1]) for line in lines if line.startswith("done")]
        engine = Engine(options)
        keys = [make_key(number) for number in done]
        for first in range(0, len(keys), 64):
            engine.load_and_verify(keys[first : first + 64])
        engine.close()


# --- on a device ---


@pytest.fixture
def loop_device(tmp_path):
    if os.geteuid() != 0 or shutil.which("losetup") is None:
        pytest.skip("loop devices need root and losetup")
    image = tmp_path / "image"
    with image.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 256 * MIB)
    command = ["losetup", "--find", "--show", str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no loop device: {done.stderr.strip()}")
    device = done.stdout.strip()
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)


def test_manager_on_a_loop_device_before_and_after_a_restart(loop_device):
    options = {"device_path": loop_device, "segment_bytes": 8 * MIB, "max_object_bytes": MIB}
    keys = make_keys(50)
    for turn in range(2):
        manager = Manager(options)
        try:
            if turn == 0:
                manager.put(keys)
                manager.wait_stored(keys)
            assert manager.backend.batched_contains(keys) == 50
            for key, obj in zip(keys, manager.manager.batched_get(keys, PLUGIN), strict=True):
                verify(key, obj)
                obj.ref_count_down()
        finally:
            manager.close()
