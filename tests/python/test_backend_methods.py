"""The storage backend, one method at a time, and what happens when something fails."""

import os
import resource
import threading

import fdpstore
import pytest
from conftest import options_for
from engine import (
    DTYPE,
    SHAPE,
    Engine,
    Loop,
    make_config,
    make_key,
    make_keys,
    make_metadata,
    memory_is_back,
    seed_of,
    torch,
    verify,
)
from helpers import wait_until

CHUNK_BYTES = SHAPE.numel() * DTYPE.itemsize


# --- one method at a time ---


def test_store_in_flight_is_known_and_holds_a_reference(start, options):
    engine = start(Engine, options)
    stop, running = threading.Event(), threading.Event()

    def block():
        running.set()
        stop.wait(30)

    engine.loop.loop.call_soon_threadsafe(block)  # results are dealt with on LMCache's loop
    running.wait(30)
    key = make_key(1)
    obj = engine.new(seed_of(key))
    (future,) = engine.backend.batched_submit_put_task([key], [obj])
    assert engine.backend.exists_in_put_tasks(key)
    assert not engine.backend.exists_in_put_tasks(make_key(2))
    assert obj.get_ref_count() == 2
    assert engine.backend.batched_submit_put_task([key], [obj]) is None  # on its way already
    assert obj.get_ref_count() == 2
    stop.set()
    future.result(30)
    assert not engine.backend.exists_in_put_tasks(key)
    assert obj.get_ref_count() == 1
    obj.ref_count_down()
    engine.load_and_verify([key])
    assert memory_is_back(engine)


def test_callbacks_hear_of_each_key_once_and_may_fail(start, options):
    engine = start(Engine, options)
    told = []

    def tell(key):
        told.append(key)
        raise RuntimeError("a callback that fails")

    keys = make_keys(4)
    for _ in range(2):  # the second time they are there already
        objects = [engine.new(seed_of(key)) for key in keys]
        for future in engine.backend.batched_submit_put_task(keys, objects, None, tell) or []:
            future.result(30)
    wait_until(lambda: len(told) == 4, "callbacks")
    assert told == keys
    engine.load_and_verify(keys)


def test_store_that_fails_is_reported_and_gives_memory_back(start, tmp_path, layout):
    options = options_for(layout, tmp_path / "store", max_object_bytes=CHUNK_BYTES)
    engine = start(Engine, options)
    small, large = make_keys(2)
    objects = [engine.new(seed_of(small)), engine.new(1, torch.Size([2, 4, 17, 32]))]
    told = []
    (future,) = engine.backend.batched_submit_put_task([small, large], objects, None, told.append)
    with pytest.raises(fdpstore.Error, match="max_object_bytes"):
        future.result(30)
    assert told == [small]
    for obj in objects:
        obj.ref_count_down()
    assert not engine.backend.contains(large)
    engine.load_and_verify([small])
    assert memory_is_back(engine)


def test_async_store_returns_when_stored(start, options):
    engine = start(Engine, options)
    keys = make_keys(3)
    objects = [engine.new(seed_of(key)) for key in keys]
    engine.loop.run(engine.backend.async_batched_submit_put_task(keys, objects))
    assert engine.backend.batched_contains(keys) == 3


def test_pins_keep_an_object_until_the_last_is_off(start, options):
    engine = start(Engine, options)
    key, other = make_keys(2)
    engine.store_new([key, other])
    assert engine.backend.pin(key)
    assert engine.backend.contains(key, pin=True)
    assert not engine.backend.pin(make_key(99))
    assert not engine.backend.remove(key, force=False)
    assert engine.backend.unpin(key)
    assert not engine.backend.remove(key, force=False)
    assert engine.backend.unpin(key)
    assert engine.backend.unpin(key)  # not pinned, but there
    assert engine.backend.remove(key, force=False)
    assert not engine.backend.unpin(key)
    assert engine.backend.batched_contains([other, key], pin=True) == 1
    assert engine.backend.remove(other)  # by force
    assert not engine.backend.contains(other)


def test_only_the_leading_run_is_pinned(start, options):
    engine = start(Engine, options)
    keys = make_keys(4)
    engine.store_new(keys[:1] + keys[2:])
    assert engine.loop.run(engine.backend.batched_async_contains("r", keys, pin=True)) == 1
    assert engine.backend.batched_remove(keys, force=False) == 2
    assert [engine.backend.contains(key) for key in keys] == [True, False, False, False]


def test_pin_of_an_aborted_request_ends(start, tmp_path, layout):
    engine = start(Engine, options_for(layout, tmp_path / "store", lock_timeout_s=0.2))
    key = make_key(1)
    engine.store_new([key])
    assert engine.backend.pin(key)
    assert not engine.backend.remove(key, force=False)
    wait_until(lambda: engine.backend.remove(key, force=False), "the end of the lease")
    assert not engine.backend.contains(key)  # not from what is remembered of the pin


def test_no_memory_for_all_loads_a_prefix(start, options):
    engine = start(Engine, options, cpu_bytes=64 * CHUNK_BYTES, local_cpu=False)
    keys = make_keys(40)
    engine.store_new(keys)
    held = [engine.new(0) for _ in range(40)]
    loaded = engine.backend.batched_get_blocking(keys)
    assert [obj is not None for obj in loaded] == [True] * 24 + [False] * 16
    for key, obj in zip(keys, loaded[:24], strict=False):
        verify(key, obj)
    asynchronous = engine.backend.batched_get_non_blocking("r", keys)
    assert engine.loop.run(asynchronous) == []  # now there is none at all
    for obj in [*held, *loaded[:24]]:
        obj.ref_count_down()
    assert memory_is_back(engine)


def test_load_waits_for_memory_of_stores_in_flight(start, options):
    engine = start(Engine, options, cpu_bytes=64 * CHUNK_BYTES, local_cpu=False)
    keys = make_keys(60)
    engine.store_new(keys[:10])
    objects = [engine.new(seed_of(key)) for key in keys[10:]]
    engine.backend.batched_submit_put_task(keys[10:], objects)
    for obj in objects:
        obj.ref_count_down()
    engine.load_and_verify(keys[:10])
    wait_until(lambda: memory_is_back(engine), "stores")
    engine.load_and_verify(keys)


def test_objects_that_vanish_end_the_run_and_give_memory_back(start, options):
    """Between look-up and load: removed behind the back of the backend's look-up."""
    engine = start(Engine, options)
    keys = make_keys(6)
    engine.store_new(keys)
    found = engine.backend._finder.find(keys)
    engine.backend.batched_remove([keys[3]])
    engine.backend._finder.find = lambda _: found
    loaded = engine.backend.batched_get_blocking(keys)
    assert [obj is not None for obj in loaded] == [True] * 3 + [False] * 3
    for key, obj in zip(keys, loaded[:3], strict=False):
        verify(key, obj)
        obj.ref_count_down()
    assert memory_is_back(engine)


def test_read_error_is_raised_and_gives_memory_back(start, tmp_path):
    engine = start(Engine, options_for("object", tmp_path / "store"))
    keys = make_keys(3)
    engine.store_new(keys)
    found = engine.backend._finder.find(keys)
    engine.backend._finder.find = lambda _: found
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(lowest := os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))  # no file can be opened
    try:
        with pytest.raises(fdpstore.Error, match="loading failed"):
            engine.backend.batched_get_blocking(keys)
        with pytest.raises(fdpstore.Error, match="loading failed"):
            engine.loop.run(engine.backend.batched_get_non_blocking("r", keys))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert memory_is_back(engine)
    engine.load_and_verify(keys)


def test_allocator_that_raises_gives_memory_back(start, options):
    engine = start(Engine, options)
    keys = make_keys(5)
    engine.store_new(keys)
    allocate, calls = engine.cpu.allocate, iter(range(3))

    def fail_at_the_fourth(*args, **kwargs):
        if next(calls, None) is None:
            raise RuntimeError("the allocator fails")
        return allocate(*args, **kwargs)

    engine.cpu.allocate = fail_at_the_fourth
    with pytest.raises(RuntimeError, match="allocator fails"):
        engine.backend.batched_get_blocking(keys)
    assert memory_is_back(engine)


def test_get_non_blocking_gives_a_future_or_nothing(start, options):
    engine = start(Engine, options)
    key, missing = make_keys(2)
    engine.store_new([key])
    assert engine.backend.get_non_blocking(missing) is None
    obj = engine.backend.get_non_blocking(key).result(30)
    verify(key, obj)
    obj.ref_count_down()


def test_many_threads_load_and_store_at_once(start, options):
    engine = start(Engine, options)
    keys = make_keys(64)
    engine.store_new(keys[:32])
    failures = []

    def work(number):
        try:
            mine = keys[32 + 8 * number : 40 + 8 * number]
            for _ in range(20):
                engine.load_and_verify(keys[8 * number : 32])
                engine.store_new(mine)
                assert engine.backend.batched_contains(mine) == 8
                assert engine.backend.batched_remove(mine) == 8
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    wait_until(lambda: memory_is_back(engine), "memory back")


def test_closed_backend_refuses_and_has_given_everything_back(start, options):
    engine = start(Engine, options)
    keys = make_keys(200)
    objects = [engine.new(seed_of(key)) for key in keys]
    (future,) = engine.backend.batched_submit_put_task(keys, objects)
    assert engine.backend.pin(keys[0]) in (True, False)
    engine.backend.close()
    engine.backend.close()
    assert future.done()
    assert not engine.backend.exists_in_put_tasks(keys[0])
    assert {obj.get_ref_count() for obj in objects} == {1}
    for call in (
        lambda: engine.backend.contains(keys[1]),
        lambda: engine.backend.get_blocking(keys[1]),
        lambda: engine.backend.batched_submit_put_task(keys[:1], objects[:1]),
        lambda: engine.backend.remove(keys[1]),
    ):
        with pytest.raises(fdpstore.Error) as raised:
            call()
        assert raised.value.code == "closed"
    assert {obj.get_ref_count() for obj in objects} == {1}


def test_descriptors_are_given_back(options):
    Engine(options).close()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        engine = Engine(options)
        engine.store_new(make_keys(2))
        engine.load_and_verify(make_keys(2))
        engine.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_rest_of_the_contract(start, options):
    engine = start(Engine, options)
    assert engine.backend.get_allocator_backend() is engine.cpu
    assert str(engine.backend) == "FdpStorageBackend"
    engine.backend.touch_cache()
    engine.backend.cancel_request("r")


def test_scheduler_without_memory_can_look_up(start, tmp_path):
    """The scheduler's process has no LocalCPUBackend, and shares a directory with the workers."""
    from fdpstore.lmcache_backend import FdpStorageBackend

    options = options_for("object", tmp_path / "store")
    engine = start(Engine, options)
    loop = start(Loop)
    scheduler = FdpStorageBackend(make_config(options), make_metadata(), None, loop.loop)
    key = make_key(1)
    engine.store_new([key])
    wait_until(lambda: scheduler.contains(key), "the layout that the worker stores")
    with pytest.raises(RuntimeError, match="LocalCPUBackend"):
        scheduler.get_blocking(key)
    scheduler.close()


def test_backend_needs_config_and_loop(tmp_path):
    from fdpstore.lmcache_backend import FdpStorageBackend

    with pytest.raises(ValueError, match="event loop"):
        FdpStorageBackend(config=make_config(options_for("object", tmp_path)))
