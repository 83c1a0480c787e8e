"""Recordings that LMCache's own recorder writes, read by `fdpstore trace info`."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import fdpstore
import pytest
from conftest import options_for
from helpers import make_keys

import torch  # isort: skip  # after helpers, which skips without LMCache
from lmcache.v1.distributed.api import (
    GroupedObjectKeys,
    MemoryLayoutDesc,
    ObjectKey,
    PrefetchTaskSpec,
)
from lmcache.v1.mp_observability.event_bus import EventBusConfig, init_event_bus
from lmcache.v1.mp_observability.trace import StorageTraceRecorder, TraceReader
from lmcache.v1.mp_observability.trace.recorder import EventsTraceRecorder
from storage_manager import Server, bytes_layout, plugin

SIZE = 256 * 1024
RANKS = [ObjectKey.ComputeKVRank(2, rank, 2, rank) for rank in (0, 1)]
MANAGER = "lmcache.v1.distributed.storage_manager.StorageManager."


def find_command() -> str | None:
    """$FDPSTORE_COMMAND, that of the build tree of the package under test, or the installed one."""
    in_build_tree = Path(fdpstore.__file__).parents[2] / "src" / "cli" / "fdpstore"
    named = os.environ.get("FDPSTORE_COMMAND")
    return named or (str(in_build_tree) if in_build_tree.exists() else shutil.which("fdpstore"))


COMMAND = find_command()
pytestmark = pytest.mark.skipif(COMMAND is None, reason="no `fdpstore` command is built")


def trace_info(path: Path, expect: int = 0):
    done = subprocess.run(
        [COMMAND, "trace", "info", str(path), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return json.loads(done.stdout) if expect == 0 else done.stderr


@pytest.fixture
def bus():
    bus = init_event_bus(EventBusConfig(enabled=True))
    bus.start()
    yield bus
    bus.stop()
    init_event_bus(EventBusConfig(enabled=False))


def test_what_a_storage_manager_was_asked(bus, tmp_path):
    path = tmp_path / "server.lct"
    bus.register_subscriber(StorageTraceRecorder(str(path)))
    rows = [make_keys(6, rank=rank) for rank in RANKS]
    server = Server(plugin(options_for("segment", tmp_path / "store")), bytes_layout(SIZE), SIZE)
    try:
        assert server.prefetch(*rows) == 0
        for row in rows:
            server.write(row[:4])
            server.drop_from_l1(row[:4])
        assert server.prefetch(*rows) == 8
    finally:
        server.close()
        bus.stop()

    info = trace_info(path)
    assert info["operations_by_kind"] == {
        "request": 0,
        "lookup": 4,
        "load": 4,
        "store": 2,
        "erase": 0,
    }
    assert info["unique_objects"] == 12
    assert info["unique_bytes"] == 12 * SIZE
    assert {one["kv_rank"] for one in info["scopes"]} == set(RANKS)
    assert {one["model_name"] for one in info["scopes"]} == {rows[0][0].model_name}
    # 12 keys asked for twice; 4 of 6 were there the second time.
    assert info["hit_ratio_unlimited"]["leading_run"] == pytest.approx(8 / 24)
    assert 0 < info["duration_s"] < 60


def record(recorder, name, t_mono=None, **args):
    now = time.monotonic() if t_mono is None else t_mono
    recorder.write_record(MANAGER + name, args, t_wall=time.time(), t_mono=now)


def test_sizes_groups_and_types(tmp_path):
    path = tmp_path / "t.lct"
    recorder = StorageTraceRecorder(str(path))
    kv = MemoryLayoutDesc(
        [torch.Size([2, 32, 256, 1024]), torch.Size([256])], [torch.bfloat16, torch.float8_e4m3fn]
    )
    state = MemoryLayoutDesc([torch.Size([1000])], [torch.float32])
    keys = make_keys(5)
    other = [ObjectKey(k.chunk_hash, k.model_name, k.kv_rank, 1) for k in keys]
    spec = PrefetchTaskSpec([GroupedObjectKeys(keys, 0, kv), GroupedObjectKeys(other, 1, state)])
    record(recorder, "submit_prefetch_task", spec=spec, external_request_id="r", skip_l2=False)
    record(recorder, "submit_prefetch_task", spec=spec, external_request_id="r", skip_l2=True)
    record(recorder, "reserve_write", keys=keys, layout_desc=kv)
    record(recorder, "finish_write", keys=keys)
    record(recorder, "finish_read_prefetched", keys=keys, read_locks=1)
    record(recorder, "some_new_call", what={"a": (1, 2.5, None, True)})
    recorder.close()
    assert recorder.dropped_count == 0
    with TraceReader(str(path)) as reader:
        assert len(list(reader.records())) == 6

    info = trace_info(path)
    bytes_of = {one["object_group_id"]: one["unique_bytes"] for one in info["scopes"]}
    assert bytes_of == {0: 5 * (2 * 32 * 256 * 1024 * 2 + 256), 1: 5 * 4000}
    assert info["operations_by_kind"]["store"] == 1
    notes = " ".join(info["notes"])
    assert "1 records of other calls" in notes
    assert "1 lookups in memory only" in notes
    assert "no cache_salt" in notes


def test_recording_of_a_killed_server_is_read_up_to_its_end(tmp_path):
    path = tmp_path / "t.lct"
    recorder = StorageTraceRecorder(str(path))
    layout = bytes_layout(SIZE)
    for key in make_keys(20):
        record(recorder, "reserve_write", keys=[key], layout_desc=layout)
        record(recorder, "finish_write", keys=[key])
    recorder.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    info = trace_info(path)
    assert info["unique_objects"] == 19
    assert "cut off" in " ".join(info["notes"])


def test_recording_without_calls_and_other_levels_are_refused(tmp_path):
    empty, events = tmp_path / "empty.lct", tmp_path / "events.lct"
    StorageTraceRecorder(str(empty)).close()
    EventsTraceRecorder(str(events), {"instance_id": "x"}).close()
    assert "no request in it" in trace_info(empty, expect=2)
    assert "--trace-level storage" in trace_info(events, expect=2)
