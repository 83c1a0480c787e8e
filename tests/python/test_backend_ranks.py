"""The storage backend: options, tensor-parallel ranks, placement."""

import json
import logging
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from conftest import MIB, options_for
from engine import (
    DTYPE,
    SHAPE,
    Engine,
    make_key,
    make_keys,
)

CHUNK_BYTES = SHAPE.numel() * DTYPE.itemsize


# --- ranks ---


def rank_options(kind: str, directory: Path, names=str) -> dict:
    """Options of four ranks: a directory, a file standing for a device, or all in one directory."""
    if kind == "shared":
        return {"base_path": str(directory)}
    common = {"segment_bytes": 4 * MIB, "max_object_bytes": MIB}
    if kind == "directories":
        paths = {names(rank): str(directory / f"rank{rank}") for rank in range(4)}
        return {**common, "layout": "segment", "capacity_bytes": 64 * MIB} | {
            "per_tp_base_paths": paths
        }
    directory.mkdir(exist_ok=True)
    paths = {}
    for rank in range(4):
        path = directory / f"device{rank}"
        if not path.exists():
            with path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, 64 * MIB)
        paths[names(rank)] = str(path)
    return {**common, "per_tp_device_paths": paths}


KINDS = ["shared", "directories", "devices"]


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """What four processes, one per rank, say after working on each kind of store."""
    directory = tmp_path_factory.mktemp("ranks")
    stores = {kind: rank_options(kind, directory / kind) for kind in KINDS}
    script = str(Path(__file__).with_name("engine_worker.py"))
    processes = [
        subprocess.Popen(
            [sys.executable, script, "rank", json.dumps({"stores": stores, "rank": rank})],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(4)
    ]
    said = []
    for process in processes:
        output, errors = process.communicate(timeout=170)
        assert process.returncode == 0, errors[-4000:]
        assert "exchanged" not in errors
        said.append(json.loads(output.splitlines()[-1]))
    return said


@pytest.mark.parametrize("kind", KINDS)
def test_four_workers_in_four_processes(workers, kind):
    """Each stores the same chunks as its own rank, closes, opens again, and reads them back."""
    for said in workers:
        assert said[kind] == {"loaded": 40, "of other ranks": 40 if kind == "shared" else 0}


@pytest.mark.parametrize("names", [str, int], ids=["string-ranks", "integer-ranks"])
@pytest.mark.parametrize("kind", ["directories", "devices"])
def test_each_rank_has_its_own_path(start, tmp_path, kind, names):
    options = rank_options(kind, tmp_path / "store", names)
    paths = next(value for name, value in options.items() if name.startswith("per_tp"))
    for rank in (0, 3):
        engine = start(Engine, options, world_size=4, worker_id=rank)
        status = json.loads(engine.backend._store.status())
        assert status["path"].startswith(paths[names(rank)])


@pytest.mark.parametrize(
    ("paths", "named"),
    [
        ({"0": "/a", "1": "/a"}, r"duplicate.*/a.*ranks 0 and 1"),
        ({"0": "/a", "1": "/b/../a"}, "duplicate"),
        ({"0": "/a", 0: "/b"}, "rank 0 twice"),
        ({"0": "/a", "2": "/b", 3: "/c"}, "no path for rank 1; it has ranks 0, 2, 3"),
        ({"0": "/a", "one": "/b"}, "'one' is not a rank"),
        ({"0": "/a", "-1": "/b"}, "'-1' is not a rank"),
        ({"0": "/a", True: "/b"}, "True is not a rank"),
        ({"0": "/a", "1": ""}, "path of rank 1"),
        ({"0": "/a", "1": 7}, "path of rank 1"),
        ({}, "must map ranks to paths"),
        (["/a", "/b"], "must map ranks to paths"),
    ],
)
@pytest.mark.parametrize("name", ["per_tp_device_paths", "per_tp_base_paths"])
def test_bad_paths_of_ranks_are_refused(name, paths, named):
    from fdpstore._extra_config import store_options

    extra = {"fdpstore." + name: paths, "fdpstore.layout": "segment"}
    with pytest.raises(ValueError, match=named) as raised:
        store_options(extra, 4, 1)
    assert "fdpstore." + name in str(raised.value)


def test_ranks_that_would_share_a_store_are_refused(tmp_path):
    from fdpstore._extra_config import store_options

    options = options_for("segment", tmp_path)
    extra = {f"fdpstore.{name}": value for name, value in options.items()}
    assert store_options(extra, 1, 0)["layout"] == "segment"
    with pytest.raises(ValueError, match="per_tp_base_paths"):
        store_options(extra, 2, 0)
    both = extra | {"fdpstore.per_tp_base_paths": {"0": "/a", "1": "/b"}}
    with pytest.raises(ValueError, match=r"both.*base_path"):
        store_options(both, 2, 0)


def test_store_of_another_rank_is_warned_about(start, tmp_path, caplog):
    options = rank_options("directories", tmp_path / "store")
    engine = start(Engine, options, world_size=4, worker_id=1)
    engine.store_new(make_keys(3, worker_id=1, world_size=4))
    engine.close()
    paths = options["per_tp_base_paths"]
    paths["1"], paths["2"] = paths["2"], paths["1"]
    logger = logging.getLogger("fdpstore.lmcache_backend")
    logger.addHandler(caplog.handler)
    try:
        start(Engine, options, world_size=4, worker_id=1)
        assert "exchanged" not in caplog.text
        start(Engine, options, world_size=4, worker_id=2)
        assert "this is rank 2" in caplog.text
        assert "objects of rank 1" in caplog.text
    finally:
        logger.removeHandler(caplog.handler)


# --- options ---


def test_bad_option_is_named(tmp_path):
    open_one = partial(Engine, {"base_path": str(tmp_path), "no_such_option": 1})
    with pytest.raises(ValueError, match="no_such_option"):
        open_one()


def test_lmcache_takes_the_options_from_its_yaml(tmp_path):
    """As in the module's docstring, through LMCache's own reading of files and environment."""
    import fdpstore.lmcache_backend as module
    from lmcache.v1.config import LMCacheEngineConfig

    text = module.__doc__.split("::\n", 1)[1].split("Every option")[0]
    file = tmp_path / "lmcache.yaml"
    file.write_text(text.replace("/mnt/kv", str(tmp_path / "kv")).replace("500", "1"))
    config = LMCacheEngineConfig.from_file(str(file))
    assert config.storage_plugins == ["fdpstore"]
    from fdpstore._extra_config import store_options

    parsed = store_options(config.extra_config, 1, 0)
    assert (parsed["layout"], parsed["capacity_bytes"]) == ("segment", 1 << 30)


# --- placement ---


@pytest.mark.parametrize(
    ("hint", "worker_id", "handle"), [(None, 0, 0), (None, 3, 3), (2, 3, 2), (0, 3, 0)]
)
def test_rank_of_an_object_is_its_hint_or_its_worker(start, tmp_path, hint, worker_id, handle):
    options = options_for("segment", tmp_path / "store", policy="per-rank")
    options |= {"capacity_bytes": 512 * MIB, "segment_bytes": 4 * MIB, "max_object_bytes": MIB}
    engine = start(Engine, options)
    key = make_key(1, worker_id=worker_id)
    obj = engine.new(1)
    if hint is not None:
        obj.metadata.fdp_placement_rank = hint
    engine.store([key], [obj])
    status = json.loads(engine.backend._store.status())
    used = [stream for stream in status["streams"] if stream["objects"]]
    assert [stream["handle"] for stream in used] == [handle]
