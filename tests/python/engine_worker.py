"""A process with a storage backend of ours: ``engine_worker.py ACTION JOB_JSON``.

``write`` stores without end and prints "done <number>" per object; its parent kills it. ``rank``
works as one of four tensor-parallel ranks on several stores, and prints what it found.
"""

import json
import sys

from engine import Engine, make_key, make_keys
from helpers import wait_until


def write(job: dict) -> None:
    engine = Engine(job["options"])
    number = job["first"]
    while True:
        engine.store_new([make_key(number + i) for i in range(4)])
        for i in range(4):
            print(f"done {number + i}", flush=True)
        number += 4


def work_as_rank(options: dict, rank: int) -> dict[str, int]:
    keys = make_keys(40, worker_id=rank, world_size=4)
    engine = Engine(options, world_size=4, worker_id=rank)
    engine.store_new(keys)
    engine.close()
    engine = Engine(options, world_size=4, worker_id=rank)
    engine.load_and_verify(keys)
    others = make_keys(40, worker_id=(rank + 1) % 4, world_size=4)
    if "base_path" in options:
        wait_until(lambda: engine.backend.batched_contains(others) == 40, "the other rank")
    said = {"loaded": len(keys), "of other ranks": engine.backend.batched_contains(others)}
    engine.close()
    return said


def main() -> None:
    action, job = sys.argv[1], json.loads(sys.argv[2])
    if action == "write":
        write(job)
    stores = job["stores"].items()
    print(json.dumps({kind: work_as_rank(options, job["rank"]) for kind, options in stores}))


if __name__ == "__main__":
    main()
