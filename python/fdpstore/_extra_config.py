"""Options of fdpstore inside LMCache's ``extra_config``: those whose names begin ``fdpstore.``.

With several tensor-parallel workers each one needs a store of its own; ``per_tp_device_paths`` and
``per_tp_base_paths`` give one path for each rank. (Files of layout ``object`` may be shared.)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import fdpstore

PREFIX = "fdpstore."
PER_RANK = {"per_tp_device_paths": "device_path", "per_tp_base_paths": "base_path"}


def store_options(extra: Mapping[str, Any], world_size: int, rank: int) -> dict[str, Any]:
    """All options of the store of one rank, checked.

    Raises:
        ValueError: names the option, what is wrong with it, and the remedy.
    """
    options = {
        name.removeprefix(PREFIX): value for name, value in extra.items() if name.startswith(PREFIX)
    }
    per_rank = {name: options.pop(name) for name in PER_RANK if name in options}
    for name, paths in per_rank.items():
        single = PER_RANK[name]
        if single in options:
            raise ValueError(
                f"extra_config has both {PREFIX}{single} and {PREFIX}{name}; "
                f"keep the one that is meant"
            )
        options[single] = _path_of_rank(PREFIX + name, paths, rank)
    parsed = fdpstore.parse_options(options)
    if world_size > 1 and not per_rank and parsed["layout"] != "object":
        raise ValueError(
            f"{world_size} workers cannot share one store of layout {parsed['layout']}; give each "
            f"rank a path in extra_config's {PREFIX}per_tp_device_paths (or "
            f"{PREFIX}per_tp_base_paths), or use layout object"
        )
    return parsed


def _path_of_rank(name: str, paths: object, rank: int) -> str:
    if not isinstance(paths, Mapping) or not paths:
        raise ValueError(f'{name} must map ranks to paths, as in {{"0": "/dev/nvme0n1p1"}}')
    by_rank: dict[int, str] = {}
    owners: dict[str, int] = {}
    for key, path in paths.items():
        try:
            number = int(key) if isinstance(key, int | str) else -1
        except ValueError:
            number = -1
        if number < 0 or isinstance(key, bool):
            raise ValueError(f"{name}: {key!r} is not a rank; use 0, 1, …")
        if number in by_rank:
            raise ValueError(f"{name} names rank {number} twice")
        if not isinstance(path, str) or not path:
            raise ValueError(f"{name}: the path of rank {number} must be a non-empty string")
        real = os.path.realpath(path)
        if real in owners:
            raise ValueError(
                f"{name}: duplicate path {path} for ranks {owners[real]} and {number}; "
                f"each rank needs its own"
            )
        by_rank[number] = path
        owners[real] = number
    if rank not in by_rank:
        known = ", ".join(str(number) for number in sorted(by_rank))
        raise ValueError(f"{name} has no path for rank {rank}; it has ranks {known}")
    return by_rank[rank]
