"""Stores without end and reports each store that is done; its parent kills it.

``crash_writer.py OPTIONS_JSON FIRST SIZE``; prints "done <number>" per object.
"""

import json
import sys

from fdpstore.lmcache import FdpL2Adapter, FdpL2AdapterConfig
from helpers import Driver, filled, make_key


def main() -> None:
    options, number, size = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    driver = Driver(FdpL2Adapter(FdpL2AdapterConfig.from_dict(options)))
    while True:
        keys = [make_key(number + i) for i in range(4)]
        assert driver.store(keys, filled(keys, size)).is_successful()
        for i in range(4):
            print(f"done {number + i}", flush=True)
        number += 4


if __name__ == "__main__":
    main()
