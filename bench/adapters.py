"""Adapters to measure: how each is opened, and keys and objects to give it.

Device is a file of a fixed size, or a loop device over one, for raw-block adapters.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.internal_api import L1MemoryDesc
from lmcache.v1.distributed.l2_adapters import create_l2_adapter
from lmcache.v1.distributed.l2_adapters.base import L2AdapterInterface
from lmcache.v1.distributed.l2_adapters.config import get_l2_adapter_config_class
from lmcache.v1.memory_management import MemoryFormat, MemoryObjMetadata, TensorMemoryObj

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
# Object size → keys per task, tasks in flight (as LMCache's controllers would have them).
SHAPES = {
    256 * KIB: (16, 4),
    MIB: (16, 4),
    4 * MIB: (8, 4),
    16 * MIB: (4, 4),
    32 * MIB: (2, 4),
}


@dataclass(frozen=True)
class Contestant:
    name: str
    # Directory or device, working set in bytes, size of an object.
    config: Callable[[Path, int, int], dict[str, Any]]
    peer: bool = False
    raw: bool = False

    @property
    def direct(self) -> bool:
        return self.raw or self.name.endswith("O_DIRECT")


def plugin(**options: object) -> dict[str, Any]:
    return {
        "type": "plugin",
        "module_path": "fdpstore.lmcache",
        "class_name": "FdpL2Adapter",
        "adapter_params": options,
    }


def segment_options(directory: Path, working_set: int, **more: object) -> dict[str, Any]:
    # Room for the working set, what is open, and the reserve.
    return plugin(
        base_path=str(directory),
        layout="segment",
        segment_bytes=256 * MIB,
        capacity_bytes=(working_set // (256 * MIB) + 8) * 256 * MIB + 64 * MIB,
        **more,
    )


CONTESTANTS = [
    Contestant("fs", lambda d, *_: {"type": "fs", "base_path": str(d)}, peer=True),
    Contestant(
        "fs O_DIRECT",
        lambda d, *_: {"type": "fs", "base_path": str(d), "use_odirect": True},
        peer=True,
    ),
    Contestant(
        "fs_native",
        lambda d, *_: {"type": "fs_native", "base_path": str(d), "num_workers": 4},
        peer=True,
    ),
    Contestant(
        "fs_native O_DIRECT",
        lambda d, *_: {
            "type": "fs_native",
            "base_path": str(d),
            "num_workers": 4,
            "use_odirect": True,
        },
        peer=True,
    ),
    Contestant("segment", lambda d, w, _: segment_options(d, w, use_odirect=False)),
    Contestant("segment O_DIRECT", lambda d, w, _: segment_options(d, w, use_odirect=True)),
    Contestant("object", lambda d, *_: plugin(base_path=str(d), layout="object")),
    Contestant(
        "object O_DIRECT",
        lambda d, *_: plugin(base_path=str(d), layout="object", use_odirect=True),
    ),
]


def raw_block(engine: str) -> Callable[[Path, int, int], dict[str, Any]]:
    def config(device: Path, _: int, size: int) -> dict[str, Any]:
        return {
            "type": "raw_block",
            "device_path": str(device),
            "slot_bytes": size + 4096,
            "io_engine": engine,
        }

    return config


RAW_CONTESTANTS = [
    Contestant("raw_block posix", raw_block("posix"), peer=True, raw=True),
    Contestant("raw_block io_uring", raw_block("io_uring"), peer=True, raw=True),
    Contestant(
        "fdpstore",
        lambda d, _, size: plugin(
            device_path=str(d), segment_bytes=256 * MIB, max_object_bytes=size
        ),
        raw=True,
    ),
]


class Device:
    """A pre-sized file in `directory`, as it is or as a loop device."""

    def __init__(self, directory: Path, size: int, loop: bool) -> None:
        directory.mkdir(parents=True)
        self.size = size
        self.path = directory / "device.img"
        with self.path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        self.loop = loop
        if loop:
            done = subprocess.run(
                ["losetup", "--find", "--show", "--direct-io=on", self.path],
                check=True,
                capture_output=True,
                text=True,
            )
            self.path = Path(done.stdout.strip())

    def close(self) -> None:
        if self.loop:
            subprocess.run(["losetup", "--detach", self.path], check=True)


@dataclass(frozen=True)
class Memory:
    """Objects in one range that stays where it is, as LMCache's L1 has them."""

    objects: list[TensorMemoryObj]
    range: L1MemoryDesc


def open_adapter(config: dict[str, Any], memory: Memory) -> L2AdapterInterface:
    """As LMCache opens it: with the range of its L1, which an adapter may register."""
    options = {name: value for name, value in config.items() if name != "type"}
    parsed = get_l2_adapter_config_class(config["type"]).from_dict(options)
    return create_l2_adapter(parsed, memory.range)


def make_memory(size: int, count: int) -> Memory:
    """Page-aligned, touched objects with different content each."""
    stride = (size + 4095) // 4096 * 4096
    arena = torch.empty(stride * count + 4096, dtype=torch.uint8)
    words = arena[: arena.numel() // 8 * 8].view(torch.int64)
    words.random_()
    start = -arena.data_ptr() % 4096
    objects = []
    for i in range(count):
        data = arena[start + i * stride : start + i * stride + size]
        shape = torch.Size([size])
        meta = MemoryObjMetadata(
            shape=shape,
            dtype=torch.uint8,
            address=0,
            phy_size=size,
            ref_count=1,
            pin_count=0,
            fmt=MemoryFormat.BINARY,
            shapes=[shape],
            dtypes=[torch.uint8],
        )
        objects.append(TensorMemoryObj(data, meta, None))
    begin, length = arena.data_ptr() + start, stride * count
    return Memory(objects, L1MemoryDesc(begin, length, 4096, stable_registration_size=length))


def make_keys(count: int, generation: int) -> list[ObjectKey]:
    return [
        ObjectKey((generation << 32 | i).to_bytes(32, "big"), "org/model", 0x01000100)
        for i in range(count)
    ]


def batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    for i in range(0, len(items), size):
        yield items[i : i + size]
