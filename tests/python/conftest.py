"""Where the package under test comes from, and fixtures shared by all tests.

$FDPSTORE_PYTHONPATH (a build tree's ``python`` folder) when it is set, else the installed package.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

if build_tree := os.environ.get("FDPSTORE_PYTHONPATH"):
    sys.path.insert(0, build_tree)
    # For the processes that tests start.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [build_tree, *filter(None, [os.environ.get("PYTHONPATH")])]
    )

MIB = 1 << 20
LAYOUTS = ["object", "prompt", "segment"]


def options_for(layout: str, directory: Path, **more: Any) -> dict[str, Any]:
    """Options of a small store of that layout."""
    options: dict[str, Any] = {"base_path": str(directory), "layout": layout}
    if layout != "object":
        options |= {"capacity_bytes": 256 * MIB, "segment_bytes": 8 * MIB}
        options |= {"max_object_bytes": 4 * MIB}
    return options | more


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def options(layout: str, tmp_path: Path) -> dict[str, Any]:
    return options_for(layout, tmp_path / "store")


@pytest.fixture
def open_adapter() -> Iterator[Callable[..., Any]]:
    """Opens adapters by their options; closes at the end what the test left open."""
    from fdpstore.lmcache import FdpL2Adapter, FdpL2AdapterConfig

    opened = []

    def open_one(options: dict[str, Any], **kwargs: Any) -> FdpL2Adapter:
        adapter = FdpL2Adapter(FdpL2AdapterConfig.from_dict(options), **kwargs)
        opened.append(adapter)
        return adapter

    yield open_one
    for adapter in opened:
        adapter.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Any]]:
    """Makes things that have a ``close``, and closes them at the end."""
    opened = []

    def start_one(kind: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        opened.append(kind(*args, **kwargs))
        return opened[-1]

    yield start_one
    for one in opened:
        one.close()
