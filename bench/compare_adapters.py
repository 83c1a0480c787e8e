"""Compare LMCache L2 adapters: fdpstore against `fs` and `fs_native` in a directory, or, with --raw
or --loop, its raw-block mode against LMCache's `raw_block` on pre-sized files or loop devices.

Every adapter is driven through LMCache's own adapter interface, in one process, in rounds. In a
round each operation is measured with every contestant, in random order, before the next operation:
a disk whose speed drifts drifts for all. Reported is the median over rounds and, for each figure,
the ratio to the best of the peers in the same mode (page cache or O_DIRECT) *within the same
round*: median and 95 % bootstrap interval over rounds. Beside them stands what fio reaches with
io_uring, O_DIRECT and registered buffers at the same sizes and depth.

    python bench/compare_adapters.py --path /mnt/nvme/bench --rounds 5
    pip install lmcache-rust-raw-block-io   # raw_block's engine, for --raw and --loop
    python bench/compare_adapters.py --path /mnt/nvme/bench --loop

Stores are measured into recycled space (written once before, then deleted) and, for fdpstore, also
into fresh space: never-written blocks are slower on most disks. Peers' directories are written and
deleted once before they are measured, too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import select
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import rounds as statistics_of
from adapters import (
    CONTESTANTS,
    KIB,
    MIB,
    RAW_CONTESTANTS,
    SHAPES,
    Contestant,
    Device,
    Memory,
    batches,
    make_keys,
    make_memory,
    open_adapter,
)
from fio_limit import NAME as FIO
from fio_limit import FioLimit, FioMissing
from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.l2_adapters.base import L2AdapterInterface
from lmcache.v1.memory_management import TensorMemoryObj
from machine import environment, warn_if_busy

LOOKUP_BATCH = 1000
LAST_GENERATION = 1000  # the keys that are loaded, looked up, and deleted
PROMPT_OBJECTS = 32  # of 1 MiB, loaded by one task
PROMPT_REPEATS = 9

# What is compared: figure, whether less of it is better, and what ours must reach against the best
# peer and against fio.
BARS = [
    ("store GB/s", False, 1.0, 0.95),
    ("load GB/s", False, 1.0, 0.95),
    ("cached load GB/s", False, 1.0, None),
    ("store p99 ms", True, 1.0, None),
    ("load p99 ms", True, 1.0, None),
    ("prompt ms", True, 1.0, None),
    ("store CPU s/GB", True, 1.0, None),
    ("load CPU s/GB", True, 1.0, None),
    ("lookups k/s", False, 1.0, None),
    ("deletes k/s", False, 1.0, None),
]


@dataclass
class Figure:
    gb_per_s: float
    cpu_s_per_gb: float
    p50_ms: float
    p99_ms: float


def run_tasks(
    submit: Callable[[int], int],
    completed: Callable[[set[int]], list[int]],
    fd: int,
    tasks: int,
    depth: int,
    total_bytes: int,
) -> Figure:
    """Keeps `depth` tasks in flight until `tasks` are done."""
    started: dict[int, float] = {}
    latencies: list[float] = []
    next_task = 0
    cpu, begin = time.process_time(), time.perf_counter()
    while len(latencies) < tasks:
        while next_task < tasks and len(started) < depth:
            now = time.perf_counter()
            started[submit(next_task)] = now
            next_task += 1
        select.select([fd], [], [], 60)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(fd)
        now = time.perf_counter()
        for task in completed(set(started)):
            latencies.append(now - started.pop(task))
    seconds = time.perf_counter() - begin
    cpu = time.process_time() - cpu
    latencies.sort()
    gigabytes = total_bytes / 1e9
    return Figure(
        gigabytes / seconds,
        cpu / gigabytes,
        latencies[len(latencies) // 2] * 1e3,
        latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))] * 1e3,
    )


class Bench:
    """One open adapter and the working set it is measured with."""

    def __init__(self, adapter: L2AdapterInterface, size: int, count: int) -> None:
        self.adapter = adapter
        self.size, self.count = size, count
        self.batch, self.depth = SHAPES[size]

    def store(self, keys: list[ObjectKey], objects: list[TensorMemoryObj]) -> Figure:
        groups = list(zip(batches(keys, self.batch), batches(objects, self.batch), strict=True))

        def completed(_: set[int]) -> list[int]:
            done = self.adapter.pop_completed_store_tasks()
            for task, result in done.items():
                if not result.is_successful():
                    raise RuntimeError(f"store task {task} failed")
            return list(done)

        return run_tasks(
            lambda i: self.adapter.submit_store_task(*groups[i]),
            completed,
            self.adapter.get_store_event_fd(),
            len(groups),
            self.depth,
            self.size * len(keys),
        )

    def load(self, keys: list[ObjectKey], objects: list[TensorMemoryObj]) -> Figure:
        groups = list(zip(batches(keys, self.batch), batches(objects, self.batch), strict=True))

        def completed(pending: set[int]) -> list[int]:
            done = []
            for task in pending:
                result = self.adapter.query_load_result(task)
                if result is None:
                    continue
                if result.popcount() != self.batch:
                    raise RuntimeError(f"load task {task}: {result.popcount()} hits")
                done.append(task)
            return done

        return run_tasks(
            lambda i: self.adapter.submit_load_task(*groups[i]),
            completed,
            self.adapter.get_load_event_fd(),
            len(groups),
            self.depth,
            self.size * len(keys),
        )

    def prompt_ms(self, keys: list[ObjectKey], objects: list[TensorMemoryObj]) -> float:
        """One task that loads a whole prompt, nothing else in flight: median, milliseconds."""
        fd = self.adapter.get_load_event_fd()
        times = []
        for _ in range(PROMPT_REPEATS):
            drop_caches()
            begin = time.perf_counter()
            task = self.adapter.submit_load_task(keys, objects)
            while (result := self.adapter.query_load_result(task)) is None:
                select.select([fd], [], [], 10)
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(fd)
            times.append((time.perf_counter() - begin) * 1e3)
            if result.popcount() != len(keys):
                raise RuntimeError("a stored key was not loaded")
        return median(times)

    def lookups_per_s(self, keys: list[ObjectKey], seconds: float = 1.0) -> float:
        fd = self.adapter.get_lookup_and_lock_event_fd()
        groups = list(batches(keys, LOOKUP_BATCH))
        looked_up, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            group = groups[looked_up // LOOKUP_BATCH % len(groups)]
            task = self.adapter.submit_lookup_and_lock_task(group, {})
            while (result := self.adapter.query_lookup_and_lock_result(task)) is None:
                select.select([fd], [], [], 10)
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(fd)
            if result.popcount() != len(group):
                raise RuntimeError("a stored key was not found")
            self.adapter.submit_unlock(group)
            looked_up += len(group)
        return looked_up / (time.perf_counter() - begin)

    def deletes_per_s(self, keys: list[ObjectKey]) -> float:
        begin = time.perf_counter()
        for group in batches(keys, LOOKUP_BATCH):
            self.adapter.delete(group)
        return len(keys) / (time.perf_counter() - begin)


class Entrant:
    """A contestant with its store in one round: a directory that was empty before it."""

    def __init__(
        self,
        contestant: Contestant,
        root: Path,
        size: int,
        total: int,
        loop: bool,
        memory: Memory,
    ) -> None:
        self.contestant = contestant
        self.name = contestant.name
        self.directory = root / contestant.name.replace(" ", "-")
        shutil.rmtree(self.directory, ignore_errors=True)
        self.size = size
        self.count = total // size // SHAPES[size][0] * SHAPES[size][0]
        self.device = None
        place = self.directory
        if contestant.raw:
            # Room for the working set with headers, raw_block's checkpoints, our open segments.
            self.device = Device(self.directory, total + total // 16 + 7 * 256 * MIB, loop)
            place = self.device.path
        adapter = open_adapter(contestant.config(place, total, size), memory)
        self.bench = Bench(adapter, size, self.count)
        self.out: dict[str, float] = {}

    def close(self) -> None:
        self.bench.adapter.close()
        if self.device:
            self.device.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def note(self, name: str, figure: Figure) -> None:
        self.out[f"{name} GB/s"] = figure.gb_per_s
        self.out[f"{name} CPU s/GB"] = figure.cpu_s_per_gb
        self.out[f"{name} p50 ms"] = figure.p50_ms
        self.out[f"{name} p99 ms"] = figure.p99_ms

    def keys(self, generation: int) -> list[ObjectKey]:
        return make_keys(self.count, generation)

    def store(self, buffers: list[TensorMemoryObj]) -> None:
        """Into space that was never written, and again when all of it has been written."""
        self.note("store fresh", self.bench.store(self.keys(1), buffers))
        self.bench.adapter.delete(self.keys(1))
        # A log goes round all of a device before it comes back to where it began.
        again = 2 if self.device is None else self.device.size // (self.size * self.count) + 1
        for generation in range(2, 2 + again):
            self.bench.store(self.keys(generation), buffers)
            self.bench.adapter.delete(self.keys(generation))
        self.note("store", self.bench.store(self.keys(LAST_GENERATION), buffers))

    def load(self, buffers: list[TensorMemoryObj]) -> None:
        drop_caches()
        self.note("load", self.bench.load(self.keys(LAST_GENERATION), buffers))

    def load_cached(self, buffers: list[TensorMemoryObj]) -> None:
        """Out of the page cache."""
        if not self.contestant.direct:
            self.bench.load(self.keys(LAST_GENERATION), buffers)
            self.note("cached load", self.bench.load(self.keys(LAST_GENERATION), buffers))

    def load_prompt(self, buffers: list[TensorMemoryObj]) -> None:
        if self.size == MIB and self.count >= PROMPT_OBJECTS:
            keys = self.keys(LAST_GENERATION)[:PROMPT_OBJECTS]
            self.out["prompt ms"] = self.bench.prompt_ms(keys, buffers[:PROMPT_OBJECTS])

    def look_up(self, _: list[TensorMemoryObj]) -> None:
        if self.size == min(SHAPES):
            self.out["lookups k/s"] = self.bench.lookups_per_s(self.keys(LAST_GENERATION)) / 1e3

    def delete(self, _: list[TensorMemoryObj]) -> None:
        if self.size == min(SHAPES):
            self.out["deletes k/s"] = self.bench.deletes_per_s(self.keys(LAST_GENERATION)) / 1e3


def measure_round(
    contestants: list[Contestant],
    root: Path,
    size: int,
    total: int,
    order: random.Random,
    step: Callable[[str], None],
    loop: bool,
    with_fio: bool,
    rest_s: float,
) -> dict[str, dict[str, float]]:
    """Each operation goes round all contestants, in random order, before the next one begins."""
    entrants: list[Entrant | FioLimit] = []
    batch, depth = SHAPES[size]
    memory = make_memory(size, max(batch * depth * 2, PROMPT_OBJECTS))
    try:
        for contestant in contestants:
            entrants.append(Entrant(contestant, root, size, total, loop, memory))
        if with_fio:
            count = total // size // batch * batch
            entrants.append(FioLimit(root, size, count, batch * depth))
        buffers = [memory.objects[i % len(memory.objects)] for i in range(total // size)]
        for operation in ("store", "load", "load_cached", "load_prompt", "look_up", "delete"):
            able = [e for e in entrants if hasattr(e, operation)]  # fio has no keys
            for entrant in order.sample(able, len(able)):
                step(f"{operation} {entrant.name}")
                time.sleep(rest_s)
                if isinstance(entrant, Entrant):
                    getattr(entrant, operation)(buffers[: entrant.count])
                else:
                    getattr(entrant, operation)()
                os.sync()  # what one left in the page cache must not slow the next
    finally:
        for entrant in entrants:
            entrant.close()
    return {entrant.name: entrant.out for entrant in entrants}


def drop_caches() -> None:
    # Without root buffered loads come from the page cache, for all alike.
    with contextlib.suppress(OSError):
        Path("/proc/sys/vm/drop_caches").write_text("1")


def median(values: list[float]) -> float:
    return statistics.median(values) if values else float("nan")


def report(size: int, rounds: list[dict[str, dict[str, float]]], names: list[Contestant]) -> None:
    label = f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"
    print(f"\n{label}: {SHAPES[size][0]} keys a task, {SHAPES[size][1]} tasks in flight")
    columns = ["store fresh GB/s", "store GB/s", "load GB/s", "store CPU s/GB", "load CPU s/GB"]
    columns += ["store p50 ms", "store p99 ms", "load p50 ms", "load p99 ms"]
    more = ("cached load GB/s", "prompt ms", "lookups k/s", "deletes k/s")
    columns += [c for c in more if any(c in rounds[0][name] for name in rounds[0])]
    print("  " + "".ljust(20) + "".join(c.rjust(18) for c in columns))
    for name in rounds[0]:
        cells = [median([r[name][c] for r in rounds if c in r[name]]) for c in columns]
        print("  " + name.ljust(20) + "".join(f"{cell:.2f}".rjust(18) for cell in cells))
    for contestant in names:
        if not contestant.peer:
            report_ratios(contestant, rounds, names)


def report_ratios(
    ours: Contestant, rounds: list[dict[str, dict[str, float]]], names: list[Contestant]
) -> None:
    """Like with like: page cache with page cache, O_DIRECT with O_DIRECT."""
    peers = [c.name for c in names if c.peer and c.direct == ours.direct]
    limits = [FIO] if ours.direct and FIO in rounds[0] else []
    print(f"  {ours.name}: above 1 is better than the best peer, or fio; median [95 % interval]")
    for column, lower, peer_bar, fio_bar in BARS:
        for others, who, bar in ((peers, "best peer", peer_bar), (limits, FIO, fio_bar)):
            if not others or bar is None or column not in rounds[0][ours.name]:
                continue
            ratios = [
                statistics_of.paired(r[ours.name][column], [r[o][column] for o in others], lower)
                for r in rounds
            ]
            ratio = statistics_of.ratio_of(ratios)
            verdict = "met" if ratio.high >= bar else "missed"
            print(f"    {column:<16}{who:<10}{ratio!s:<22}wanted {bar:.2f}: {verdict}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--path", type=Path, required=True, help="directory to work in")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--total-mib", type=int, default=1024, help="working set of one measurement"
    )
    parser.add_argument("--sizes-kib", default="256,1024,4096,16384,32768")
    parser.add_argument("--raw", action="store_true", help="raw-block mode on pre-sized files")
    parser.add_argument("--loop", action="store_true", help="the same on loop devices (root)")
    parser.add_argument("--only", default="", help="comma-separated names; default: all")
    parser.add_argument("--no-fio", action="store_true", help="leave out what fio reaches")
    parser.add_argument(
        "--rest",
        type=float,
        default=0,
        metavar="SECONDS",
        help="before each operation: rented disks give more after a pause, and fio's start is one",
    )
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    sizes = [int(s) * KIB for s in args.sizes_kib.split(",")]
    if unknown := [s for s in sizes if s not in SHAPES]:
        parser.error(f"no shape for {unknown}; choose from {[s // KIB for s in SHAPES]} KiB")
    wanted = {n.strip() for n in args.only.split(",") if n.strip()}
    candidates = RAW_CONTESTANTS if args.raw or args.loop else CONTESTANTS
    contestants = [c for c in candidates if not wanted or c.name in wanted]
    if missing := wanted - {c.name for c in candidates}:
        parser.error(f"unknown {missing}; choose from {[c.name for c in candidates]}")
    args.path.mkdir(parents=True, exist_ok=True)
    order = random.Random(args.seed)
    env = environment(args.path)
    print("environment: " + ", ".join(f"{k} {v}" for k, v in env.items()))
    warn_if_busy(env["load_average"])
    if not args.no_fio:
        try:
            FioLimit(args.path, MIB, 4, 4).close()
        except FioMissing as error:
            parser.error(str(error))
    results: dict[int, list[dict[str, dict[str, float]]]] = {}
    for size in sizes:
        results[size] = []
        for number in range(args.rounds):

            def step(what: str, size: int = size, number: int = number) -> None:
                print(f"\r{size // KIB} KiB round {number + 1}: {what:<40}", end="", flush=True)

            results[size].append(
                measure_round(
                    contestants,
                    args.path,
                    size,
                    args.total_mib * MIB,
                    order,
                    step,
                    args.loop,
                    not args.no_fio,
                    args.rest,
                )
            )
        print("\r" + " " * 70 + "\r", end="")
        report(size, results[size], contestants)
    if args.json:
        args.json.write_text(
            json.dumps({"environment": env, "rounds": {str(k): v for k, v in results.items()}})
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
