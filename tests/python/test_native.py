"""The package without LMCache: buffers, errors, tools."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from types import SimpleNamespace

import fdpstore
import pytest
from conftest import options_for


@dataclass(frozen=True)
class Key:
    """Attributes of LMCache's ObjectKey are all that is asked for."""

    chunk_hash: bytes
    model_name: str = "m"
    kv_rank: int = 0
    object_group_id: int = 0
    cache_salt: str = ""


@pytest.fixture
def store(options):
    store = fdpstore.open(options)
    yield store
    store.close()


def until(take):
    deadline = time.monotonic() + 30
    while not (done := take()):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return done


def test_imports_without_lmcache():
    code = "import sys; sys.modules['lmcache'] = None; import fdpstore; print(fdpstore.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == fdpstore.__version__


def test_any_buffer_can_be_stored_and_loaded(store):
    keys = [Key(bytes([i])) for i in range(3)]
    store.submit_put(keys, [b"bytes", bytearray(b"array"), memoryview(b"views")])
    ((_, ok, written, stored, sizes, present, error),) = until(store.take_puts)
    assert (ok, written, stored, sizes, present, error) == (True, 15, keys, [5] * 3, [], None)
    targets = [bytearray(5) for _ in keys]
    store.submit_get(keys, targets)
    ((_, count, prefix, rest, loaded, error),) = until(store.take_gets)
    assert (count, prefix, rest, loaded, error) == (3, 3, [], keys, None)
    assert targets == [b"bytes", b"array", b"views"]


def test_lookup_gives_the_leading_run_and_the_rest(store):
    keys = [Key(bytes([i])) for i in range(6)]
    there = [keys[i] for i in (0, 1, 3, 5)]
    store.submit_put(there, [b"x"] * 4)
    until(store.take_puts)
    store.submit_lookup(keys, False)
    ((_, count, prefix, rest),) = until(store.take_lookups)
    assert (count, prefix, rest) == (6, 2, [3, 5])


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (object(), AttributeError),
        (Key("text"), TypeError),
        (Key(b"h", model_name=None), TypeError),
        (Key(b"h", kv_rank=-1), OverflowError),
        (Key(b"h", kv_rank="0"), TypeError),
        (Key(b"h", object_group_id=2**32), ValueError),
        (Key(b"h", cache_salt="\ud800"), UnicodeEncodeError),
    ],
)
def test_bad_keys_are_refused_before_anything_happens(store, key, error):
    good = Key(b"good")
    with pytest.raises(error):
        store.submit_put([good, key], [b"1", b"2"])
    store.submit_lookup([good], False)
    assert until(store.take_lookups)[0][2] == 0


@pytest.mark.parametrize("memory", [object(), 7, None, "text"])
def test_memory_that_is_none_is_refused(store, memory):
    with pytest.raises(TypeError, match="buffer protocol"):
        store.submit_put([Key(b"k")], [memory])


def test_memory_is_held_until_the_task_is_taken(store):
    content = bytearray(b"held")
    store.submit_put([Key(b"k")], [content])
    with pytest.raises(BufferError):
        content.extend(b"!")
    until(store.take_puts)
    content.extend(b"!")


def test_errors_carry_a_code(options):
    with pytest.raises(fdpstore.OptionError) as raised:
        fdpstore.open({"no_such": 1})
    assert raised.value.code == "invalid_option"
    store = fdpstore.open(options)
    store.close()
    with pytest.raises(fdpstore.Error) as raised:
        store.submit_lookup([Key(b"k")], True)
    assert raised.value.code == "closed"
    assert store.closed


def test_other_threads_run_while_a_store_is_closing_or_erasing(store):
    """The GIL is released: a thread keeps counting during calls that wait for the disk."""
    count = 0
    stop = threading.Event()

    def spin():
        nonlocal count
        while not stop.is_set():
            count += 1

    keys = [Key(i.to_bytes(4, "big")) for i in range(300)]
    store.submit_put(keys, [b"x" * 10_000] * 300)
    thread = threading.Thread(target=spin)
    thread.start()
    store.erase(keys)
    store.close()
    stop.set()
    thread.join()
    assert count > 0


def test_probe_path_says_what_a_directory_can_do(tmp_path):
    info = fdpstore.probe_path(str(tmp_path))
    assert info["kind"] == "directory"
    assert info["writable"] is True
    assert {mechanism["name"] for mechanism in info["mechanisms"]} >= {"F_SET_RW_HINT"}
    assert all(mechanism["reason"] for mechanism in info["mechanisms"])
    assert list(tmp_path.iterdir()) == []


def test_check_of_a_closed_store_is_clean(options):
    store = fdpstore.open(options)
    store.submit_put([Key(b"a"), Key(b"b")], [b"1" * 5000, b"2" * 7])
    until(store.take_puts)
    store.close()
    steps = []
    report = fdpstore.check(options, progress=lambda *step: steps.append(step))
    assert report["findings"] == []
    assert report["objects"] == 2
    assert steps


def test_check_names_the_file_of_a_damaged_object(tmp_path):
    options = options_for("object", tmp_path / "store")
    store = fdpstore.open(options)
    store.submit_put([Key(b"a")], [b"content" * 1000])
    until(store.take_puts)
    store.close()
    (file,) = (tmp_path / "store").glob("*.data")
    damaged = bytearray(file.read_bytes())
    damaged[10] ^= 1
    with file.open("r+b") as opened:
        opened.write(damaged)
    (finding,) = fdpstore.check(options)["findings"]
    assert file.name in finding["where"]
    assert finding["repaired"] is False


POLICY = """description = Two streams by name, and a class
stream.first.handles = 0
stream.second.handles = 1
rule = class:cold -> second
rule = * -> first
"""


def handles_used(store):
    streams = json.loads(store.status())["streams"]
    return {stream["handle"]: stream["objects"] for stream in streams if stream["objects"]}


@pytest.mark.parametrize(
    ("stream", "handle"), [("", 0), ("second", 1), ("cold", 1), ("unheard-of", 0)]
)
def test_put_goes_to_the_stream_that_is_named(tmp_path, stream, handle):
    (tmp_path / "my.policy").write_text(POLICY)
    options = options_for("segment", tmp_path / "store", policy=str(tmp_path / "my.policy"))
    store = fdpstore.open(options | {"capacity_bytes": 128 * options["segment_bytes"]})
    keys = [Key(bytes([number])) for number in range(3)]
    assert fdpstore.put_many(store, keys, [b"x" * 10] * 3, stream=stream) == 30
    assert handles_used(store) == {handle: 3}
    assert fdpstore.put_many(store, keys, [b"x" * 10] * 3) == 0  # there already
    assert fdpstore.put(store, Key(b"one"), b"y" * 5, stream=stream) == 5
    assert handles_used(store) == {handle: 4}
    store.close()


@pytest.mark.parametrize(
    ("rank", "hint", "handle"), [(None, None, 2), (1, None, 1), (1, 3, 3), (0, None, 0)]
)
def test_rank_is_the_objects_hint_or_the_calls_or_the_keys(tmp_path, rank, hint, handle):
    options = options_for("segment", tmp_path / "store", policy="per-rank")
    store = fdpstore.open(options | {"capacity_bytes": 128 * options["segment_bytes"]})
    content = bytearray(b"content")
    if hint is not None:
        content = SimpleNamespace(
            byte_array=content, metadata=SimpleNamespace(fdp_placement_rank=hint)
        )
    assert fdpstore.put(store, Key(b"k", kv_rank=2 << 16), content, rank=rank) == 7
    assert handles_used(store) == {handle: 1}
    store.close()


def test_put_that_fails_raises(tmp_path, layout):
    store = fdpstore.open(options_for(layout, tmp_path / "store", max_object_bytes=10))
    with pytest.raises(fdpstore.Error, match="max_object_bytes"):
        fdpstore.put_many(store, [Key(b"a"), Key(b"b")], [b"1", b"x" * 11])
    task = store.submit_lookup([Key(b"a"), Key(b"b")], False)
    assert until(store.take_sizes) == [(task, [1, 0])]
    store.close()
