"""Runs in the guest: LMCache's StorageManager stores a trace's chunks on /dev/ng0n1, is closed, and
loads them through /dev/nvme0n1. Prints one JSON object for each of the two."""

import json
from pathlib import Path

from fdpstore import quickstart
from fdpstore.replay import Replay, Request

# This import makes LMCache's adapter of type "plugin" known.
from lmcache.v1.distributed.l2_adapters import factory, plugin_l2_adapter  # noqa: F401

TRACE = Path(__file__).resolve().parents[2] / "bench" / "traces" / "quickstart.jsonl"
CHUNK_BYTES = 128 << 10
L1_BYTES = 64 << 20


def replay(device: str, write_mode: str) -> Replay:
    params = {
        "device_path": device,
        "write_mode": write_mode,
        "placement": "require",
        "max_object_bytes": CHUNK_BYTES,
        "policy": "tenant",
    }
    adapter = {
        "type": "plugin",
        "module_path": "fdpstore.lmcache",
        "class_name": "FdpL2Adapter",
        "adapter_params": params,
    }
    return Replay(json.dumps(adapter), CHUNK_BYTES, L1_BYTES)


def finish(run: Replay) -> None:
    report = run.report(0.0)
    report["placement"] = report.pop("adapter")["placement"]
    run.close()
    print(json.dumps(report), flush=True)


def main() -> None:
    # For its help, LMCache's parser imports all adapters and what they need: 40 s in the guest.
    factory.load_all_adapters = lambda: None
    workload = quickstart.read_trace(TRACE, 8)
    requests = [Request(tenant, chunks) for tenant, chunks in workload.requests]
    storing = replay("/dev/ng0n1", "uring_cmd")
    storing.store_all(requests, lambda _: None)
    finish(storing)
    loading = replay("/dev/nvme0n1", "write_stream")
    loading.load_all(requests, lambda _: None)
    finish(loading)


main()
