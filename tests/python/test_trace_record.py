"""`fdpstore trace record` of a store that LMCache's adapter interface drives, read by LMCache."""

import subprocess
import sys
import time

import pytest
from conftest import options_for
from helpers import Driver, filled, make_keys
from lmcache.v1.mp_observability.trace import TraceReader
from lmcache.v1.mp_observability.trace.codecs import decode_args
from test_recordings import COMMAND, trace_info

pytestmark = pytest.mark.skipif(COMMAND is None, reason="no `fdpstore` command is built")


@pytest.mark.parametrize("layout", ["segment", "object"])
def test_lmcache_reads_the_recording_of_a_live_store(open_adapter, tmp_path, layout):
    path = tmp_path / "live.lct"
    driver = Driver(open_adapter(options_for(layout, tmp_path / "store")))
    record = subprocess.Popen(
        [COMMAND, "trace", "record", str(tmp_path / "store"), str(path), "--seconds", "2"],
        stdout=subprocess.PIPE,
        text=True,
    )
    while not path.exists() or path.stat().st_size == 0:
        assert record.poll() is None
        time.sleep(0.01)
    keys = make_keys(6)
    driver.store(keys, filled(keys, 10_000))
    driver.load_and_verify(keys, 10_000)
    driver.adapter.delete(keys[:2])
    out, _ = record.communicate(timeout=30)
    assert record.returncode == 0

    with TraceReader(str(path)) as reader:
        assert reader.header.level == "l2"
        assert reader.header.level_meta["layout"] == layout
        assert reader.header.level_meta["recorded_by"].startswith("fdpstore ")
        records = list(reader.records())
    assert f"{len(records)} calls" in out
    calls = {record.qualname: decode_args(record.args) for record in records}
    assert {"fdpstore.store", "fdpstore.load", "fdpstore.delete"} <= set(calls)
    assert calls["fdpstore.store"]["keys"] == keys
    assert calls["fdpstore.store"]["sizes"] == [10_000] * 6
    assert calls["fdpstore.delete"]["keys"] == keys[:2]
    assert all(0 <= record.t_mono < 5 for record in records)
    assert all(abs(record.t_wall - time.time()) < 60 for record in records)

    shown = subprocess.run(
        [sys.executable, "-m", "lmcache.cli.main", "trace", "info", str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert "fdpstore.store: 1" in shown.stdout
    assert "recorded_by" in shown.stdout

    info = trace_info(path)
    assert info["unique_objects"] == 6
    assert info["unique_bytes"] == 60_000
    assert info["operations_by_kind"]["erase"] == 1
