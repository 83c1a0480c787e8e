"""How long one object takes that nothing else runs beside, through LMCache's adapter interface.

Stores and loads one object after the other, O_DIRECT, and prints medians in ms; with `fs_native`
beside ours in each round. To compare two builds, run it with each one's `python` folder in
PYTHONPATH by turns.

    python bench/latency.py --path /mnt/nvme/bench --sizes-mib 1,32
"""

from __future__ import annotations

import argparse
import select
import shutil
import statistics
import time
from pathlib import Path

from adapters import CONTESTANTS, MIB, make_keys, make_memory, open_adapter
from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.l2_adapters.base import L2AdapterInterface
from lmcache.v1.memory_management import TensorMemoryObj
from machine import environment
from rounds import paired, ratio_of

NAMES = ("fs_native O_DIRECT", "segment O_DIRECT")
OBJECTS = 8


def store(adapter: L2AdapterInterface, key: ObjectKey, one: TensorMemoryObj) -> float:
    """Seconds until it is reported."""
    begin = time.perf_counter()
    task = adapter.submit_store_task([key], [one])
    while not (done := adapter.pop_completed_store_tasks()):
        select.select([adapter.get_store_event_fd()], [], [], 1)
    seconds = time.perf_counter() - begin
    if not done[task].is_successful():
        raise RuntimeError("a store failed")
    return seconds


def load(adapter: L2AdapterInterface, key: ObjectKey, one: TensorMemoryObj) -> float:
    begin = time.perf_counter()
    task = adapter.submit_load_task([key], [one])
    while (found := adapter.query_load_result(task)) is None:
        select.select([adapter.get_load_event_fd()], [], [], 1)
    seconds = time.perf_counter() - begin
    if not found.test(0):
        raise RuntimeError("a load missed")
    return seconds


def one_round(adapter: L2AdapterInterface, objects: list, generation: int) -> dict[str, float]:
    keys = make_keys(len(objects), generation)
    pairs = list(zip(keys, objects, strict=True))
    stores = [store(adapter, key, one) for key, one in pairs]
    loads = [load(adapter, key, one) for key, one in pairs]
    adapter.delete(keys)
    return {"store": statistics.median(stores), "load": statistics.median(loads)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--path", type=Path, required=True, help="directory to work in")
    parser.add_argument("--sizes-mib", default="1,4,32")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    args.path.mkdir(parents=True, exist_ok=True)
    print("environment:", ", ".join(f"{k} {v}" for k, v in environment(args.path).items()))
    for size in (int(mib) * MIB for mib in args.sizes_mib.split(",")):
        memory = make_memory(size, OBJECTS)
        adapters = {}
        for one in (one for one in CONTESTANTS if one.name in NAMES):
            directory = args.path / one.name.replace(" ", "-")
            shutil.rmtree(directory, ignore_errors=True)
            adapters[one.name] = open_adapter(one.config(directory, OBJECTS * size, size), memory)
        rounds = []
        for number in range(args.rounds + 1):
            order = NAMES if number % 2 else NAMES[::-1]
            taken = {name: one_round(adapters[name], memory.objects, number) for name in order}
            if number > 0:  # the first warms up
                rounds.append(taken)
        for adapter in adapters.values():
            adapter.close()
        peer, ours = NAMES
        for what in ("store", "load"):
            ratio = ratio_of(
                [paired(one[ours][what], [one[peer][what]], lower_is_better=True) for one in rounds]
            )
            medians = [1e3 * statistics.median(one[n][what] for one in rounds) for n in NAMES]
            print(
                f"{size // MIB:3} MiB {what:5}: {peer} {medians[0]:7.2f} ms, "
                f"{ours} {medians[1]:7.2f} ms; above 1 is better: {ratio}"
            )
    for name in NAMES:
        shutil.rmtree(args.path / name.replace(" ", "-"), ignore_errors=True)


if __name__ == "__main__":
    main()
