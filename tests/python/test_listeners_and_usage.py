"""What LMCache is told of stored, accessed and deleted objects, and how full it thinks we are."""

import threading

import pytest
from conftest import MIB, options_for
from helpers import Driver, Recorder, Thrower, filled, make_keys, memory, wait_until
from lmcache.v1.distributed.internal_api import L2AdapterListener

SIZE = 30_001


@pytest.fixture
def adapter(open_adapter, options):
    return open_adapter(options)


@pytest.fixture
def driver(adapter):
    return Driver(adapter)


@pytest.fixture
def listener(adapter):
    recorder = Recorder()
    adapter.register_listener(recorder)
    return recorder


def test_stored_accessed_deleted_are_told_with_payload_sizes(adapter, driver, listener):
    keys = make_keys(3)
    driver.store(keys, filled(keys, SIZE))
    assert sorted(map(repr, listener.stored)) == sorted(repr((key, SIZE)) for key in keys)
    assert listener.accessed == []
    driver.load_and_verify(keys[:2], SIZE)
    assert listener.accessed == keys[:2]
    adapter.delete(keys[1:])
    assert listener.deleted == keys[1:]


def test_store_of_a_live_key_is_a_touch_only(driver, listener):
    keys = make_keys(1)
    driver.store(keys, filled(keys, SIZE))
    driver.store(keys, filled(keys, SIZE))
    assert len(listener.stored) == 1
    assert listener.accessed == keys


def test_locked_and_absent_keys_are_not_told_as_deleted(adapter, driver, listener):
    keys = make_keys(3)
    driver.store(keys[:2], filled(keys[:2], SIZE))
    driver.lookup(keys[:1])
    adapter.delete(keys)
    assert listener.deleted == [keys[1]]


def test_a_throwing_listener_stops_nothing(adapter, driver):
    keys = make_keys(2)
    driver.store(keys[:1], filled(keys[:1], SIZE))
    adapter.register_listener(Thrower())  # fails in the replay already
    after = Recorder()
    adapter.register_listener(after)
    assert driver.store(keys, filled(keys, SIZE)).is_successful()
    driver.load_and_verify(keys, SIZE)
    adapter.delete(keys)
    assert [key for key, _ in after.stored] == keys
    assert sorted(map(repr, after.deleted)) == sorted(map(repr, keys))
    assert adapter.get_usage().total_bytes_used == 0


def test_usage_is_payload_bytes_by_salt(adapter, driver):
    plain, salted = make_keys(3), make_keys(2, salt="tenant:7")
    driver.store(plain, filled(plain, SIZE))
    driver.store(salted, filled(salted, SIZE))
    usage = adapter.get_usage()
    assert usage.total_bytes_used == 5 * SIZE
    assert dict(usage.bytes_by_cache_salt) == {"": 3 * SIZE, "tenant:7": 2 * SIZE}
    adapter.delete(salted)
    assert dict(adapter.get_usage().bytes_by_cache_salt) == {"": 3 * SIZE}


def test_usage_and_replay_after_restart(open_adapter, options):
    keys = make_keys(30) + make_keys(10, salt="tenant:7")
    first = open_adapter(options)
    Driver(first).store(keys, filled(keys, SIZE))
    first.close()
    second = open_adapter(options)
    usage = second.get_usage()
    assert usage.total_bytes_used == 40 * SIZE
    assert dict(usage.bytes_by_cache_salt) == {"": 30 * SIZE, "tenant:7": 10 * SIZE}
    recorder = Recorder()
    second.register_listener(recorder)
    assert sorted(map(repr, recorder.stored)) == sorted(repr((key, SIZE)) for key in keys)


def test_replay_goes_to_the_new_listener_only(adapter, driver, listener):
    keys = make_keys(2)
    driver.store(keys, filled(keys, SIZE))
    late = Recorder()
    adapter.register_listener(late)
    assert len(listener.stored) == len(late.stored) == 2


def test_events_during_a_replay_come_after_it(adapter, driver):
    keys = make_keys(3)
    driver.store(keys, filled(keys, SIZE))

    class Slow(L2AdapterListener):
        def __init__(self) -> None:
            self.events: list[str] = []
            self.in_replay = threading.Event()
            self.go_on = threading.Event()

        def on_l2_keys_stored(self, keys, sizes) -> None:
            self.events.append("stored")
            self.in_replay.set()
            assert self.go_on.wait(30)

        def on_l2_keys_accessed(self, keys) -> None:
            self.events.append("accessed")

        def on_l2_keys_deleted(self, keys) -> None:
            self.events.append("deleted")

    slow = Slow()
    registering = threading.Thread(target=adapter.register_listener, args=(slow,))
    registering.start()
    assert slow.in_replay.wait(30)
    adapter.delete(keys)
    slow.go_on.set()
    registering.join()
    assert slow.events == ["stored", "deleted"]


@pytest.mark.parametrize("layout", ["segment", "prompt"])
def test_reclaimed_objects_are_told_and_capacity_holds(open_adapter, tmp_path, layout):
    """Twice the capacity goes in: the rest is told as deleted, and listener and store agree."""
    options = options_for(layout, tmp_path / "small", capacity_bytes=96 * MIB)
    adapter = open_adapter(options)
    capacity = adapter.get_usage().total_capacity_bytes
    assert 0 < capacity < 96 * MIB
    assert adapter.supports_global_eviction
    listener = Recorder()
    adapter.register_listener(listener)
    driver = Driver(adapter)
    keys = make_keys(192)
    for start in range(0, len(keys), 8):
        batch = keys[start : start + 8]
        assert driver.store(batch, filled(batch, MIB)).is_successful()
        # What open segments hold comes on top of the declared capacity; the bound on disk stands.
        assert adapter.get_usage().total_bytes_used < 96 * MIB
    assert listener.deleted

    def agree() -> bool:
        used = adapter.get_usage().total_bytes_used
        told = {key for key, _ in listener.stored} - set(listener.deleted)
        return used == len(told) * MIB and len(driver.present(keys)) == len(told)

    wait_until(agree, "what listeners were told and what is in the store agree")
    on_disk = sum(f.stat().st_blocks * 512 for f in (tmp_path / "small").rglob("*"))
    assert on_disk <= 96 * MIB


def test_drops_signal_the_store_descriptor(open_adapter, tmp_path):
    """LMCache may store nothing for a while: the store controller must still hear of drops."""
    from helpers import empty, readable
    from test_damage import flip_a_byte_of

    options = options_for("segment", tmp_path / "store")
    first = open_adapter(options)
    keys = make_keys(1)
    Driver(first).store(keys, filled(keys, SIZE))
    first.close()
    flip_a_byte_of(tmp_path / "store", keys[0], SIZE)
    adapter = open_adapter(options)
    listener = Recorder()
    adapter.register_listener(listener)
    task = adapter.submit_load_task(keys, empty(1, SIZE))
    assert readable(adapter.get_store_event_fd(), 30)
    assert adapter.pop_completed_store_tasks() == {}
    assert listener.deleted == keys
    wait_until(lambda: adapter.query_load_result(task), "load")
    assert listener.deleted == keys
    assert adapter.get_usage().total_bytes_used == 0
    assert Driver(adapter).store(keys, [memory(SIZE)]).bytes_transferred() == SIZE
