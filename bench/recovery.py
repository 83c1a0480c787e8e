"""What a kill -9 costs: fdpstore's raw-block mode against LMCache's `raw_block`.

A child process stores objects on a pre-sized file, says which stores were reported done, and is
killed. Then the adapter is opened again: how long that takes, and how many of those objects are
still hits.

    pip install lmcache-rust-raw-block-io
    python bench/recovery.py --path /mnt/nvme/bench --objects 100000
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from adapters import (
    KIB,
    MIB,
    RAW_CONTESTANTS,
    Contestant,
    batches,
    make_keys,
    make_memory,
    open_adapter,
)
from lmcache.v1.distributed.l2_adapters.base import L2AdapterInterface

TASK_KEYS = 64
LOOKUP_BATCH = 1000


def store(config: dict, count: int, object_bytes: int) -> None:
    """In the child: stores everything, prints "done", and waits to be killed."""
    memory = make_memory(object_bytes, TASK_KEYS)
    adapter = open_adapter(config, memory)
    for keys in batches(make_keys(count, 1), TASK_KEYS):
        task = adapter.submit_store_task(keys, memory.objects[: len(keys)])
        while True:
            done = adapter.pop_completed_store_tasks()
            if task in done:
                break
            select.select([adapter.get_store_event_fd()], [], [], 1)
        if not done[task].is_successful():
            raise RuntimeError("a store failed")
    print("done", flush=True)
    signal.pause()


def count_hits(adapter: L2AdapterInterface, count: int) -> int:
    hits = 0
    fd = adapter.get_lookup_and_lock_event_fd()
    for keys in batches(make_keys(count, 1), LOOKUP_BATCH):
        task = adapter.submit_lookup_and_lock_task(keys, {})
        while (result := adapter.query_lookup_and_lock_result(task)) is None:
            select.select([fd], [], [], 1)
        hits += result.popcount()
        adapter.submit_unlock(keys)
    return hits


def measure(
    contestant: Contestant, directory: Path, count: int, object_bytes: int, segment_bytes: int
) -> tuple[float, int]:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    device = directory / "device.img"
    size = count * (object_bytes + 4096) * 5 // 4 + 8 * segment_bytes
    with device.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    config = contestant.config(device, size, object_bytes)
    if "adapter_params" in config:
        config["adapter_params"]["segment_bytes"] = segment_bytes
    child = subprocess.Popen(
        [
            *(sys.executable, __file__, "--child", json.dumps(config)),
            *("--objects", str(count), "--object-kib", str(object_bytes // 1024)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    if child.stdout.readline().strip() != "done":
        raise RuntimeError(f"{contestant.name}: the child failed")
    child.send_signal(signal.SIGKILL)
    child.wait()
    memory = make_memory(object_bytes, TASK_KEYS)
    begin = time.perf_counter()
    adapter = open_adapter(config, memory)
    seconds = time.perf_counter() - begin
    hits = count_hits(adapter, count)
    adapter.close()
    shutil.rmtree(directory, ignore_errors=True)
    return seconds, hits


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--path", type=Path, help="directory to work in")
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--object-kib", type=int, default=4)
    parser.add_argument("--segment-mib", type=int, default=256, help="of fdpstore")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        store(json.loads(args.child), args.objects, args.object_kib * KIB)
    if args.path is None:
        parser.error("--path is missing: name a directory to work in")
    results: dict[str, list[tuple[float, int]]] = {c.name: [] for c in RAW_CONTESTANTS}
    order = random.Random(1)
    for number in range(args.rounds):
        for contestant in order.sample(RAW_CONTESTANTS, len(RAW_CONTESTANTS)):
            print(f"round {number + 1}: {contestant.name}", file=sys.stderr)
            found = measure(
                contestant,
                args.path / "recovery",
                args.objects,
                args.object_kib * KIB,
                args.segment_mib * MIB,
            )
            results[contestant.name].append(found)
    stored_mib = args.objects * args.object_kib // 1024
    print(f"{args.objects} objects of {args.object_kib} KiB ({stored_mib} MiB), then kill -9")
    for name, found in results.items():
        seconds = statistics.median(s for s, _ in found)
        hits = statistics.median(h for _, h in found)
        print(f"  {name:<22} open {seconds:8.3f} s   still there {hits / args.objects:7.2%}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
