"""LMCache's own StorageManager over one L2 adapter, as `lmcache server` builds it.

Also a program, for reading back in a new process: ``storage_manager.py '{"adapter": …, …}'``.
"""

import json
import sys
from functools import partial
from typing import Any

from helpers import WAIT_S, make_keys, payload, wait_until
from lmcache.v1.distributed.api import (
    GroupedObjectKeys,
    MemoryLayoutDesc,
    ObjectKey,
    PrefetchTaskSpec,
)
from lmcache.v1.distributed.config import parse_args
from lmcache.v1.distributed.l2_adapters.base import L2AdapterInterface
from lmcache.v1.distributed.storage_manager import StorageManager

MIB = 1 << 20


def plugin(options: dict[str, Any], **outer: Any) -> dict[str, Any]:
    """The `--l2-adapter` JSON of our adapter; `outer`: keys that LMCache itself reads."""
    return {
        "type": "plugin",
        "module_path": "fdpstore.lmcache",
        "class_name": "FdpL2Adapter",
        "adapter_params": options,
        **outer,
    }


def listed(adapter: L2AdapterInterface) -> set[ObjectKey]:
    page = adapter.list_l2_keys(page_size=100_000)
    assert page.next_page_token is None
    return {entry.key.to_object_key() for entry in page.entries}


class Server:
    """A StorageManager with DRAM as L1, objects of one layout, and one L2 adapter."""

    def __init__(
        self,
        adapter: dict[str, Any],
        layout: MemoryLayoutDesc,
        size: int,
        l1_bytes: int = 64 * MIB,
        store_policy: str = "default",
    ) -> None:
        self.layout = layout
        self.size = size
        l1 = {"type": "DRAM", "tag": "_default", "size_gb": l1_bytes / 2**30, "use_lazy": False}
        arguments = ["--l1-manager", json.dumps(l1), "--eviction-policy", "LRU"]
        arguments += ["--l2-store-policy", store_policy, "--l2-adapter", json.dumps(adapter)]
        self.manager = StorageManager(parse_args(arguments))
        self._closed = False

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.manager.close()

    @property
    def adapter(self) -> Any:
        return self.manager.l2_adapters()[0][1]

    def write(self, keys: list[ObjectKey]) -> None:
        """Write all keys to L1, from where LMCache stores them; waits while L1 is full."""
        left = keys
        while left:
            reserve = partial(self.manager.reserve_write, left, self.layout)
            objects = wait_until(reserve, "room in L1")
            for key, obj in objects.items():
                obj.byte_array.cast("B")[:] = payload(key, self.size)
            self.manager.finish_write(list(objects))
            left = [key for key in left if key not in objects]

    def drop_from_l1(self, keys: list[ObjectKey]) -> None:
        """Wait until every L2 adapter has the keys, then drop them from L1."""
        for _, adapter in self.manager.l2_adapters():
            wait_until(lambda a=adapter: set(keys) <= listed(a), "stores to L2")
        wait_until(lambda: self.manager.delete_l1_keys(keys)[1] == 0, "L1 locks released")

    def prefetch(self, *rows: list[ObjectKey]) -> int:
        """Prefetch rows (one per rank), verify every byte; how many keys came from L2.

        L1 keeps none of those, so that it never fills up with what has been read.
        """
        spec = PrefetchTaskSpec([GroupedObjectKeys(row, 0, self.layout) for row in rows])
        handle = self.manager.submit_prefetch_task(spec)
        assert self.manager.wait_prefetch_status(handle, WAIT_S)
        result = self.manager.query_prefetch_status(handle)
        for row, hits, from_l2 in zip(rows, result.hit_cells, result.l2_hit_cells, strict=True):
            found = [row[i] for i in hits.get_indices_list()]
            if not found:
                continue
            with self.manager.read_prefetched_results(found) as objects:
                for key, obj in zip(found, objects, strict=True):
                    assert bytes(obj.byte_array) == payload(key, self.size), f"{key} is wrong"
            self.manager.finish_read_prefetched(found)
            self.manager.delete_l1_keys([row[i] for i in from_l2.get_indices_list()])
        return result.l2_hit_count


def bytes_layout(size: int) -> MemoryLayoutDesc:
    import torch

    return MemoryLayoutDesc([torch.Size([size])], [torch.uint8])


def main() -> None:
    job = json.loads(sys.argv[1])
    server = Server(job["adapter"], bytes_layout(job["size"]), job["size"])
    rows = [
        make_keys(job["count"], salt=salt, rank=rank)
        for salt in job["salts"]
        for rank in job["ranks"]
    ]
    loaded = sum(server.prefetch(row) for row in rows)
    server.close()
    print(json.dumps({"loaded": loaded}))


if __name__ == "__main__":
    main()
