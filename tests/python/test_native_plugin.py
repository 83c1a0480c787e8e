"""fdpstore.native.Connector behind LMCache's native_plugin adapter, and by itself."""

import json
import os
import select
import threading
import time

import fdpstore
import pytest
from conftest import options_for
from fdpstore.native import Connector
from helpers import (
    Driver,
    Recorder,
    bits,
    content_of,
    empty,
    filled,
    make_key,
    make_keys,
    memory,
    payload,
    readable,
    wait_until,
)
from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.l2_adapters import create_l2_adapter
from lmcache.v1.distributed.l2_adapters.config import get_l2_adapter_config_class
from lmcache.v1.distributed.l2_adapters.native_connector_l2_adapter import (
    NativeConnectorL2Adapter,
    _object_key_to_string,
)
from storage_manager import MIB, Server, bytes_layout

SIZE = 100_001


def native(options, **outer):
    """The `--l2-adapter` JSON."""
    return {
        "type": "native_plugin",
        "module_path": "fdpstore.native",
        "class_name": "Connector",
        "adapter_params": options,
        **outer,
    }


def open_native(options, **outer):
    spec = json.loads(json.dumps(native(options, **outer)))
    return create_l2_adapter(get_l2_adapter_config_class("native_plugin").from_dict(spec))


@pytest.fixture
def connector(start, options):
    return start(Connector, **options)


def text(number, **fields):
    return _object_key_to_string(make_key(number, **fields))


def wait_for(connector, future):
    """The completion of `future`, waited for as LMCache's adapter does."""
    poller = select.poll()
    poller.register(connector.event_fd(), select.POLLIN)
    done = {}
    deadline = time.monotonic() + 30
    while future not in done:
        assert poller.poll(1000 * max(0.0, deadline - time.monotonic())), "no event"
        done |= {completion[0]: completion for completion in connector.drain_completions()}
    return done[future][1:]


# --- behind LMCache's adapter ---


def test_adapter_stores_finds_loads_and_deletes(start, options):
    adapter = start(open_native, options)
    assert isinstance(adapter, NativeConnectorL2Adapter)
    driver = Driver(adapter)
    keys = make_keys(8, salt="alice:chat")
    assert driver.store(keys, filled(keys, SIZE)).is_successful()
    driver.load_and_verify(keys, SIZE)
    assert driver.present([*keys[:3], make_key(99), *keys[3:]]) == [0, 1, 2, 4, 5, 6, 7, 8]
    recorder = Recorder()
    adapter.register_listener(recorder)
    adapter.delete([*keys[:2], make_key(99)])
    assert recorder.deleted == keys[:2]
    assert driver.present(keys) == list(range(2, 8))
    objects = empty(8, SIZE)
    assert bits(driver.load(keys, objects)) == list(range(2, 8))
    for key, obj in list(zip(keys, objects, strict=True))[2:]:
        assert content_of(obj) == payload(key, SIZE)
    assert adapter.report_status()["is_healthy"]


def test_failed_store_is_reported_by_the_adapter(start, tmp_path, layout):
    adapter = start(open_native, options_for(layout, tmp_path / "store", max_object_bytes=SIZE))
    small, large = make_keys(2)
    driver = Driver(adapter)
    result = driver.store([small, large], [memory(SIZE), memory(SIZE + 1)])
    assert not result.is_successful()
    assert driver.present([small, large]) == [0]


@pytest.mark.parametrize("first", ["native", "plugin"])
def test_store_is_shared_with_the_other_adapter(open_adapter, start, options, first):
    """What one door has stored, the other finds; either way."""
    keys = [
        make_key(1),
        make_key(2, salt="alice:chat"),
        make_key(3, rank=ObjectKey.ComputeKVRank(300, 2, 8, 2)),
        ObjectKey(b"\x00\xff", "org/model with spaces", 0, 255, ""),
    ]
    opening = [lambda: start(open_native, options), lambda: open_adapter(options)]
    if first == "plugin":
        opening.reverse()
    adapter = opening[0]()
    assert Driver(adapter).store(keys, filled(keys, SIZE)).is_successful()
    adapter.close()
    adapter = opening[1]()
    Driver(adapter).load_and_verify(keys, SIZE)
    more = make_keys(3, first=10)
    assert Driver(adapter).store(more, filled(more, SIZE)).is_successful()
    adapter.delete(keys[:1])
    adapter.close()
    adapter = opening[0]()
    Driver(adapter).load_and_verify(keys[1:] + more, SIZE)
    assert Driver(adapter).present(keys[:1]) == []


@pytest.mark.parametrize("size", [256 * 1024, SIZE], ids=["aligned", "odd"])
def test_storage_manager_stores_evicts_and_prefetches(start, options, size):
    """LMCache's StorageManager and controllers on top, and again after a restart."""
    adapter = native(options, max_capacity_gb=0.25)
    server = start(Server, adapter, bytes_layout(size), size)
    keys = make_keys(24, salt="bob:agent")
    server.write(keys)
    wait_until(lambda: server.adapter.get_usage().total_bytes_used == 24 * size, "stores to L2")
    wait_until(lambda: server.manager.delete_l1_keys(keys)[1] == 0, "L1 locks released")
    assert server.prefetch(keys) == 24
    assert server.prefetch([*keys[:5], make_key(99), *keys[5:]]) == 5
    server.close()
    server = start(Server, adapter, bytes_layout(size), size)
    assert server.prefetch(keys) == 24


def test_eviction_by_lmcache_deletes_from_the_store(start, options):
    size = 256 * 1024
    eviction = {"eviction_policy": "LRU", "trigger_watermark": 0.5, "eviction_ratio": 0.5}
    adapter = native(options, max_capacity_gb=32 / 1024, eviction=eviction)
    server = start(Server, adapter, bytes_layout(size), size)
    listener = Recorder()
    server.manager.register_l2_listener(listener)
    server.write(make_keys(100))
    wait_until(lambda: listener.deleted, "LMCache evicts")
    wait_until(lambda: server.adapter.get_usage().total_bytes_used < 16 * MIB, "below watermark")


# --- by itself ---


def test_completions_say_what_happened_to_each_key(connector):
    keys = [text(number) for number in range(4)]
    contents = [payload(make_key(number), SIZE) for number in range(4)]
    stored = connector.submit_batch_set(keys[:2] + keys[3:], [*contents[:2], contents[3]])
    assert wait_for(connector, stored) == (True, "", None)
    found = connector.submit_batch_exists(keys)
    assert wait_for(connector, found) == (True, "", [True, True, False, True])
    buffers = [bytearray(SIZE) for _ in keys]
    loaded = connector.submit_batch_get(keys, [memoryview(buffer) for buffer in buffers])
    assert wait_for(connector, loaded) == (True, "", [True, True, False, True])
    assert [bytes(buffer) for buffer in buffers] == [*contents[:2], bytes(SIZE), contents[3]]
    deleted = connector.submit_batch_delete(keys[1:])
    assert wait_for(connector, deleted) == (True, "", [True, False, True])
    assert len({stored, found, loaded, deleted}) == 4
    assert not readable(connector.event_fd())
    assert connector.drain_completions() == []


def test_failed_set_says_why(start, tmp_path, layout):
    options = options_for(layout, tmp_path / "store", max_object_bytes=SIZE)
    connector = start(Connector, **options)
    stored = connector.submit_batch_set([text(1)], [bytes(SIZE + 1)])
    ok, error, _ = wait_for(connector, stored)
    assert not ok
    assert "max_object_bytes" in error


@pytest.mark.parametrize(
    "key",
    [
        "",
        "model",
        "model@00000001@0",
        "model@00000001@0@",
        "model@00000001@0@abc",
        "model@00000001@0@zz",
        "model@00000001@0@AB",
        "model@1@0@ab",
        "model@000000001@0@ab",
        "model@0x000001@0@ab",
        "model@00000001@00@ab",
        "model@00000001@100000000@ab",
        "model@11111111111111111@0@ab",
        "model@00000001@0@ab@",
        "model@00000001@0@ab@salt@more",
        "model@1@0@1f@bfloat16",  # as LMCache writes keys outside MP mode
    ],
)
def test_text_that_is_no_key_is_refused(connector, key):
    for submit in (
        lambda: connector.submit_batch_exists([text(1), key]),
        lambda: connector.submit_batch_set([key], [b"x"]),
        lambda: connector.submit_batch_get([key], [bytearray(1)]),
    ):
        with pytest.raises(ValueError, match="<chunk hash: hex>") as raised:
            submit()
        assert f"'{key}'" in str(raised.value)
    ok, error, bools = wait_for(connector, connector.submit_batch_delete([text(1), key]))
    assert (ok, bools) == (False, [False, False])
    assert "is not a key" in error


def test_keys_are_those_of_the_other_door(connector):
    """Text and ObjectKey name the same object, in every field."""
    keys = [
        make_key(1),
        ObjectKey(b"\x00", "m", 0, 0, "s:t"),
        ObjectKey(bytes(range(128)), "a/b c-é", 0xFFFFFFFFFFFF, 0xFFFFFFFF, "ü"),
    ]
    texts = [_object_key_to_string(key) for key in keys]
    assert wait_for(connector, connector.submit_batch_set(texts, [b"1", b"2", b"3"]))[0]
    listed, _ = connector._store.list(b"", 10, "")
    assert {ObjectKey(*row[:5]) for row in listed} == set(keys)


def test_close_finishes_what_is_in_flight(start, options):
    connector = start(Connector, **options)
    keys = [text(number) for number in range(100)]
    connector.submit_batch_set(keys[50:], [b"y" * SIZE] * 50)
    deleted = connector.submit_batch_delete(keys[:1])
    future = connector.submit_batch_set(keys[:50], [b"x" * SIZE] * 50)
    connector.close()
    connector.close()
    done = {completion[0]: completion for completion in connector.drain_completions()}
    assert done[future][1:3] == (True, "")
    assert deleted in done
    for submit in (
        lambda: connector.submit_batch_set(keys[:1], [b"x"]),
        lambda: connector.submit_batch_get(keys[:1], [bytearray(1)]),
        lambda: connector.submit_batch_exists(keys[:1]),
        lambda: connector.submit_batch_delete(keys[:1]),
    ):
        with pytest.raises(fdpstore.Error) as raised:
            submit()
        assert raised.value.code == "closed"
    again = start(Connector, **options)
    assert wait_for(again, again.submit_batch_exists(keys))[2].count(True) >= 99


def test_no_thread_but_for_deletes(start, options):
    before = set(threading.enumerate())
    connector = start(Connector, **options)
    assert wait_for(connector, connector.submit_batch_set([text(1)], [b"x"]))[0]
    assert set(threading.enumerate()) == before
    wait_for(connector, connector.submit_batch_delete([text(1)]))
    assert len(set(threading.enumerate()) - before) == 1
    connector.close()
    assert set(threading.enumerate()) == before


def test_descriptors_are_given_back(start, options):
    for _ in range(3):
        Connector(**options).close()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        connector = Connector(**options)
        wait_for(connector, connector.submit_batch_delete([text(1)]))
        connector.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_bad_option_is_named():
    with pytest.raises(ValueError, match="no_such_option"):
        Connector(no_such_option=1)
