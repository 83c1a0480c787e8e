"""LMCache's StorageManager end to end: L1, its controllers, our adapter, restarts in between."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import MIB
from helpers import Recorder, make_keys, wait_until
from lmcache.v1.distributed.api import MemoryLayoutDesc, ObjectKey
from storage_manager import Server, bytes_layout, plugin

SIZE = 256 * 1024
SALTS = ["alice:chat", "bob:agent"]
RANKS = [ObjectKey.ComputeKVRank(2, rank, 2, rank) for rank in (0, 1)]


@pytest.fixture
def start():
    servers = []

    def start_one(adapter, size=SIZE, **kwargs):
        kwargs.setdefault("layout", bytes_layout(size))
        servers.append(Server(adapter, size=size, **kwargs))
        return servers[-1]

    yield start_one
    for server in servers:
        server.close()


def rows(count):
    return [make_keys(count, salt=salt, rank=rank) for salt in SALTS for rank in RANKS]


def in_new_process(job):
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("storage_manager.py")), json.dumps(job)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("size", [SIZE, 100_001], ids=["aligned", "odd"])
def test_stored_evicted_loaded_restarted_loaded(start, options, size):
    """Two tenants, two ranks: everything comes back from L2, before and after a restart."""
    server = start(plugin(options), size)
    for row in rows(12):
        server.write(row)
    for row in rows(12):
        server.drop_from_l1(row)
    for salt_rows in (rows(12)[:2], rows(12)[2:]):
        assert server.prefetch(*salt_rows) == 24
    status = server.manager.report_status()
    assert status["is_healthy"]
    usage = server.adapter.get_usage()
    assert dict(usage.bytes_by_cache_salt) == dict.fromkeys(SALTS, 24 * size)
    server.close()
    job = {"adapter": plugin(options), "size": size, "count": 12, "salts": SALTS, "ranks": RANKS}
    assert in_new_process(job) == {"loaded": 48}


def test_tenants_do_not_see_each_other(start, options):
    server = start(plugin(options))
    mine = make_keys(4, salt=SALTS[0])
    server.write(mine)
    server.drop_from_l1(mine)
    assert server.prefetch(make_keys(4, salt=SALTS[1])) == 0
    assert server.prefetch(mine) == 4


def test_prefix_ends_at_the_first_chunk_that_is_missing(start, options):
    server = start(plugin(options))
    keys = make_keys(6)
    there = keys[:3] + keys[4:]
    server.write(there)
    server.drop_from_l1(there)
    assert server.prefetch(keys) == 3


def test_controllers_store_and_prefetch_at_the_same_time(start, options):
    """Four times L1 goes through, while another thread loads what is already there."""
    server = start(plugin(options), l1_bytes=32 * MIB, store_policy="skip_l1")
    batches = [make_keys(16, first=100 * i) for i in range(32)]
    written = threading.Semaphore(0)
    failures = []

    def write_all():
        try:
            for batch in batches:
                server.write(batch)
                written.release()
        except BaseException as error:
            failures.append(error)
            written.release(len(batches))

    writer = threading.Thread(target=write_all)
    writer.start()
    for batch in batches[:-4]:
        written.acquire()
        server.prefetch(batch)  # hits or not, whatever comes back is verified
    writer.join()
    assert failures == []
    server.drop_from_l1([key for batch in batches for key in batch])
    for batch in batches:
        assert server.prefetch(batch) == 16


def test_eviction_by_lmcache_deletes_from_the_store(start, options):
    """An `eviction` block: LMCache's LRU brings usage down, through `delete`."""
    if options["layout"] == "object":
        options["capacity_bytes"] = 256 * MIB
    server = start(
        plugin(
            options,
            eviction={"eviction_policy": "LRU", "trigger_watermark": 0.1, "eviction_ratio": 0.5},
        )
    )
    watermark = 0.1 * server.adapter.get_usage().total_capacity_bytes
    assert 0 < watermark < 160 * SIZE
    listener = Recorder()
    server.manager.register_l2_listener(listener)
    server.write(make_keys(160))
    wait_until(lambda: listener.deleted, "LMCache evicts")
    wait_until(
        lambda: server.adapter.get_usage().total_bytes_used < watermark, "usage below the watermark"
    )


def test_serde_of_lmcache_works_on_top(start, options):
    """fp8 halves bf16 objects; LMCache wraps our adapter and hands it temporary buffers."""
    import torch

    count = 4096
    layout = MemoryLayoutDesc([torch.Size([count])], [torch.bfloat16])
    server = start(plugin(options, serde={"type": "fp8"}), size=2 * count, layout=layout)
    keys = make_keys(4)
    objects = server.manager.reserve_write(keys, layout)
    for number, key in enumerate(keys):
        objects[key].tensor.fill_(float(2**number))  # exact in fp8
    server.manager.finish_write(keys)
    server.drop_from_l1(keys)
    assert server.adapter.get_usage().total_bytes_used == 4 * count

    from lmcache.v1.distributed.api import GroupedObjectKeys, PrefetchTaskSpec

    handle = server.manager.submit_prefetch_task(
        PrefetchTaskSpec([GroupedObjectKeys(keys, 0, layout)])
    )
    assert server.manager.wait_prefetch_status(handle, 30)
    assert server.manager.query_prefetch_status(handle).l2_hit_count == 4
    with server.manager.read_prefetched_results(keys) as loaded:
        for number, obj in enumerate(loaded):
            assert torch.all(obj.tensor == float(2**number))
    server.manager.finish_read_prefetched(keys)


def test_adapter_can_be_added_and_removed_at_run_time(start, options, tmp_path):
    from conftest import options_for
    from lmcache.v1.distributed.l2_adapters.config import get_l2_adapter_config_class

    server = start(plugin(options))
    keys = make_keys(4)
    server.write(keys)
    server.drop_from_l1(keys)
    more = plugin(options_for(options["layout"], tmp_path / "second"))
    added = server.manager.add_l2_adapter(get_l2_adapter_config_class("plugin").from_dict(more))
    others = make_keys(4, first=100)
    server.write(others)
    server.drop_from_l1(others)
    server.manager.delete_l2_adapter(added)
    assert server.prefetch(keys) == 4
    assert server.prefetch(others) == 4
