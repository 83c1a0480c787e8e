"""What LMCache's L2AdapterInterface asks of an adapter, on every layout."""

import json
import threading

import fdpstore
import pytest
from conftest import options_for
from helpers import (
    MODEL,
    Driver,
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
from lmcache.v1.memory_management import BytesBufferMemoryObj

SIZE = 20_000  # no multiple of a block


@pytest.fixture
def adapter(open_adapter, options):
    return open_adapter(options)


@pytest.fixture
def driver(adapter):
    return Driver(adapter)


def test_event_descriptors_are_distinct_and_quiet_at_first(adapter):
    fds = {
        adapter.get_store_event_fd(),
        adapter.get_lookup_and_lock_event_fd(),
        adapter.get_load_event_fd(),
    }
    assert len(fds) == 3
    assert not any(readable(fd) for fd in fds)


def test_store_lookup_load_round_trip(driver):
    keys = make_keys(5)
    result = driver.store(keys, filled(keys, SIZE))
    assert result.is_successful()
    assert result.bytes_transferred() == 5 * SIZE
    assert bits(driver.lookup(keys)) == [0, 1, 2, 3, 4]
    driver.load_and_verify(keys, SIZE)


def test_each_kind_of_task_signals_its_own_descriptor(adapter):
    keys = make_keys(1)
    adapter.submit_store_task(keys, filled(keys, SIZE))
    assert readable(adapter.get_store_event_fd(), 30)
    assert not readable(adapter.get_lookup_and_lock_event_fd())
    wait_until(adapter.pop_completed_store_tasks, "store")
    adapter.submit_lookup_and_lock_task(keys, {})
    assert readable(adapter.get_lookup_and_lock_event_fd(), 30)
    assert not readable(adapter.get_load_event_fd())
    adapter.submit_load_task(keys, empty(1, SIZE))
    assert readable(adapter.get_load_event_fd(), 30)


def test_results_are_given_once(adapter, driver):
    keys = make_keys(2)
    task = adapter.submit_store_task(keys, filled(keys, SIZE))
    assert wait_until(adapter.pop_completed_store_tasks, "store").keys() == {task}
    assert adapter.pop_completed_store_tasks() == {}
    lookup = adapter.submit_lookup_and_lock_task(keys, {})
    wait_until(lambda: adapter.query_lookup_and_lock_result(lookup), "lookup")
    assert adapter.query_lookup_and_lock_result(lookup) is None
    load = adapter.submit_load_task(keys, empty(2, SIZE))
    wait_until(lambda: adapter.query_load_result(load), "load")
    assert adapter.query_load_result(load) is None


def test_results_of_several_tasks_can_be_asked_in_any_order(adapter):
    keys = make_keys(3)
    tasks = [adapter.submit_lookup_and_lock_task(keys[: i + 1], {}) for i in range(3)]
    for task in reversed(tasks):
        result = wait_until(lambda t=task: adapter.query_lookup_and_lock_result(t), "lookup")
        assert len(result) == tasks.index(task) + 1


def test_bitmaps_tell_hits_from_misses_per_key(driver):
    keys = make_keys(8)
    there = [keys[i] for i in (0, 1, 3, 6)]
    driver.store(there, filled(there, SIZE))
    assert bits(driver.lookup(keys)) == [0, 1, 3, 6]
    objects = empty(8, SIZE)
    assert bits(driver.load(keys, objects)) == [0, 1, 3, 6]
    assert content_of(objects[6]) == payload(keys[6], SIZE)
    assert content_of(objects[2]) == bytes(SIZE)


def test_no_keys_make_an_empty_task(driver):
    assert driver.store([], []).is_successful()
    assert len(driver.lookup([])) == 0
    assert len(driver.load([], [])) == 0


def test_keys_differing_in_one_field_are_different_objects(driver):
    base = make_key(1)
    keys = [
        base,
        make_key(2),
        make_key(1, salt="tenant:1"),
        make_key(1, rank=ObjectKey.ComputeKVRank(2, 1, 2, 1)),
        make_key(1, model="other"),
        ObjectKey(base.chunk_hash, base.model_name, base.kv_rank, 7, base.cache_salt),
    ]
    driver.store(keys, filled(keys, SIZE))
    driver.load_and_verify(keys, SIZE)


def test_buffer_of_another_size_is_a_miss_and_stays_untouched(driver):
    keys = make_keys(2)
    driver.store(keys, filled(keys, SIZE))
    objects = [memory(SIZE - 1), memory(SIZE + 1)]
    assert bits(driver.load(keys, objects)) == []
    driver.load_and_verify(keys, SIZE)


def test_narrowed_memory_object_is_stored_at_its_used_size(driver):
    key = make_key(1)
    obj = memory(SIZE, payload(key, SIZE))
    obj.set_used_size(100)
    assert driver.store([key], [obj]).bytes_transferred() == 100
    target = memory(SIZE)
    target.set_used_size(100)
    assert bits(driver.load([key], [target])) == [0]
    assert content_of(target)[:101] == payload(key, SIZE)[:100] + b"\0"


def test_bytes_buffer_object_can_be_stored_but_not_loaded_into(adapter, driver):
    key = make_key(1)
    assert driver.store([key], [BytesBufferMemoryObj(payload(key, SIZE))]).is_successful()
    driver.load_and_verify([key], SIZE)
    with pytest.raises(TypeError, match=r"BytesBufferMemoryObj.*read-only"):
        adapter.submit_load_task([key], [BytesBufferMemoryObj(bytes(SIZE))])


def test_unequal_numbers_of_keys_and_objects_are_refused(adapter):
    with pytest.raises(ValueError, match="2 keys but 1 objects"):
        adapter.submit_store_task(make_keys(2), empty(1, SIZE))


def test_store_of_a_live_key_writes_nothing(driver):
    keys = make_keys(2)
    driver.store(keys[:1], filled(keys[:1], SIZE))
    again = driver.store(keys, [memory(SIZE), *filled(keys[1:], SIZE)])
    assert again.is_successful()
    assert again.bytes_transferred() == SIZE
    driver.load_and_verify(keys, SIZE)


def test_stores_of_one_key_in_flight_together_all_succeed(adapter, driver):
    key = make_key(1)
    tasks = [adapter.submit_store_task([key], filled([key], SIZE)) for _ in range(10)]
    results = [driver.wait_store(task) for task in tasks]
    assert all(result.is_successful() for result in results)
    assert sum(result.bytes_transferred() for result in results) == SIZE
    driver.load_and_verify([key], SIZE)


def test_locked_keys_survive_delete_until_unlocked_as_often(adapter, driver):
    keys = make_keys(2)
    driver.store(keys, filled(keys, SIZE))
    driver.lookup(keys[:1])
    driver.lookup(keys[:1])
    adapter.delete(keys)
    assert driver.present(keys) == [0]
    adapter.submit_unlock(keys[:1])
    adapter.delete(keys)
    assert driver.present(keys) == [0]
    adapter.submit_unlock(keys[:1])
    adapter.delete(keys)
    assert driver.present(keys) == []


def test_unlock_of_what_is_not_locked_or_absent_is_a_no_op(adapter, driver):
    keys = make_keys(2)
    driver.store(keys[:1], filled(keys[:1], SIZE))
    adapter.submit_unlock(keys)
    driver.lookup(keys)
    adapter.delete(keys)
    assert driver.present(keys) == [0]


def test_deleted_key_can_be_stored_again(adapter, driver):
    keys = make_keys(3)
    driver.store(keys, filled(keys, SIZE))
    adapter.delete(keys)
    adapter.delete(keys)
    assert driver.present(keys) == []
    assert driver.store(keys, filled(keys, SIZE)).bytes_transferred() == 3 * SIZE
    driver.load_and_verify(keys, SIZE)


def test_a_thousand_keys_in_one_task(driver):
    keys = make_keys(1000)
    size = 4096
    assert driver.store(keys, filled(keys, size)).bytes_transferred() == 1000 * size
    assert bits(driver.lookup(keys)) == list(range(1000))
    driver.load_and_verify(keys, size)


def test_listing_gives_every_key_once_in_pages(adapter, driver):
    ours = make_keys(25)
    others = make_keys(5, model="other")
    driver.store(ours, filled(ours, SIZE))
    driver.store(others, filled(others, SIZE + 1))

    def listed(model: str | None) -> list[tuple[ObjectKey, int]]:
        found, cursor = [], None
        while True:
            page = adapter.list_l2_keys(model, page_size=7, cursor=cursor)
            assert len(page.entries) <= 7
            found += [(entry.key.to_object_key(), entry.size_bytes) for entry in page.entries]
            cursor = page.next_page_token
            if cursor is None:
                return found

    assert sorted(map(repr, listed(MODEL))) == sorted(repr((key, SIZE)) for key in ours)
    assert len(listed(None)) == len(set(listed(None))) == 30
    assert {size for _, size in listed("other")} == {SIZE + 1}
    assert listed("absent") == []


@pytest.mark.parametrize("arguments", [{"page_size": 0}, {"cursor": "no cursor!"}])
def test_listing_refuses_bad_arguments(adapter, arguments):
    with pytest.raises(ValueError, match=r"page_size|cursor"):
        adapter.list_l2_keys(**arguments)


def test_status_is_json_with_health_and_placement(adapter, driver):
    keys = make_keys(3)
    driver.store(keys, filled(keys, SIZE))
    driver.load_and_verify(keys, SIZE)
    status = json.loads(json.dumps(adapter.report_status()))
    assert status["is_healthy"] is True
    assert status["type"] == "FdpL2Adapter"
    assert status["placement"]["asked"] == "auto"
    assert status["placement"]["effective"] in {"hint", "plain"}
    assert status["placement"]["reason"]
    assert status["stored_objects"] == 3
    assert status["loaded_bytes"] == 3 * SIZE


def test_close_refuses_submits_and_is_idempotent(adapter, driver):
    keys = make_keys(1)
    driver.store(keys, filled(keys, SIZE))
    driver.lookup(keys)
    adapter.close()
    adapter.close()
    for submit in (
        lambda: adapter.submit_store_task(keys, filled(keys, SIZE)),
        lambda: adapter.submit_load_task(keys, empty(1, SIZE)),
        lambda: adapter.submit_lookup_and_lock_task(keys, {}),
    ):
        with pytest.raises(fdpstore.Error, match="closed") as raised:
            submit()
        assert raised.value.code == "closed"
    adapter.submit_unlock(keys)  # LMCache never retries an unlock, so it must not fail
    assert adapter.report_status()["is_healthy"] is False
    assert adapter.get_usage().total_bytes_used == 0


def test_close_finishes_what_is_in_flight(adapter, open_adapter, options):
    keys = make_keys(40)
    size = 300_000
    task = adapter.submit_store_task(keys, filled(keys, size))
    adapter.close()
    assert adapter.pop_completed_store_tasks()[task].bytes_transferred() == 40 * size
    Driver(open_adapter(options)).load_and_verify(keys, size)


def test_close_never_writes_into_buffers_afterwards(adapter, driver):
    keys = make_keys(40)
    size = 300_000
    driver.store(keys, filled(keys, size))
    objects = empty(40, size)
    task = adapter.submit_load_task(keys, objects)
    adapter.close()
    loaded = bits(adapter.query_load_result(task))
    for i in loaded:
        assert content_of(objects[i]) == payload(keys[i], size)
    for obj in objects:
        obj.raw_data.fill_(7)
    assert all(content_of(obj) == b"\7" * size for obj in objects)


def test_close_closes_the_event_descriptors(adapter):
    fd = adapter.get_store_event_fd()
    adapter.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        readable(fd)


def test_controllers_in_two_threads(adapter):
    """Stores and prefetches at the same time, each on its own thread, as LMCache runs them."""
    size = 50_000
    batches = [make_keys(8, first=100 * i) for i in range(30)]
    stored = threading.Semaphore(0)
    failures: list[BaseException] = []

    def store_all() -> None:
        try:
            driver = Driver(adapter)
            for keys in batches:
                assert driver.store(keys, filled(keys, size)).is_successful()
                stored.release()
        except BaseException as error:
            failures.append(error)
            stored.release(len(batches))

    thread = threading.Thread(target=store_all)
    thread.start()
    driver = Driver(adapter)
    for keys in batches:
        stored.acquire()
        if failures:
            break
        assert bits(driver.lookup(keys)) == list(range(8))
        driver.load_and_verify(keys, size)
        adapter.submit_unlock(keys)
    thread.join()
    assert failures == []
    adapter.delete([key for keys in batches for key in keys])
    assert adapter.get_usage().total_bytes_used == 0


def test_stable_l1_memory_is_registered_and_used(open_adapter, tmp_path, layout):
    from lmcache.v1.distributed.internal_api import L1MemoryDesc

    arena = memory(4 << 20)
    desc = L1MemoryDesc(arena.data_ptr, 4 << 20, 4096, stable_registration_size=4 << 20)
    driver = Driver(
        open_adapter(options_for(layout, tmp_path / "registered"), l1_memory_desc=desc, later=1)
    )
    key = make_key(1)
    size = 1 << 20
    inside = memory(size)
    inside.raw_data = arena.raw_data[4096 : 4096 + size]
    inside.raw_data.numpy()[:] = list(payload(key, 4096)) * (size // 4096)
    assert driver.store([key], [inside]).bytes_transferred() == size
    expected = content_of(inside)
    inside.raw_data.zero_()
    assert bits(driver.load([key], [inside])) == [0]
    assert content_of(inside) == expected
