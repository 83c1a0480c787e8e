"""kill -9 in the middle of stores: every store reported done is a hit on reopen."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

from conftest import MIB, options_for
from helpers import Driver, bits, content_of, empty, make_key, payload

SIZE = 50_001
ROUNDS = 3


def store_until_killed(options, first, seconds):
    """Numbers of the objects that the process reported as stored."""
    process = subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).with_name("crash_writer.py")),
            json.dumps(options),
            str(first),
            str(SIZE),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = [process.stdout.readline()]  # the first store is done
    assert lines[0].startswith("done"), process.stderr.read()[-4000:]
    time.sleep(seconds)
    process.kill()
    rest, _ = process.communicate(timeout=30)
    complete = [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    return [int(line.split()[1]) for line in lines + complete if line.startswith("done")]


def test_killed_writer_loses_nothing_it_reported(open_adapter, layout, tmp_path):
    options = options_for(layout, tmp_path / "store")
    if layout != "object":  # room for all of it: nothing may be reclaimed
        options |= {"capacity_bytes": 4096 * MIB, "segment_bytes": 32 * MIB}
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    timing = random.Random(seed)
    done: list[int] = []
    for turn in range(ROUNDS):
        done += store_until_killed(options, 1_000_000 * turn, timing.uniform(0.01, 0.3))
        adapter = open_adapter(options)
        keys = [make_key(number) for number in done]
        objects = empty(len(keys), SIZE)
        assert bits(Driver(adapter).load(keys, objects)) == list(range(len(keys)))
        for key, obj in zip(keys, objects, strict=True):
            assert content_of(obj) == payload(key, SIZE)
        adapter.close()
