"""Options whose effect no other test looks at: on the files, on segments."""

import json
import stat

import fdpstore
import pytest
from conftest import options_for
from test_native import Key, until


@pytest.mark.parametrize("mode", ["0600", "0640"])
def test_files_have_the_mode_that_was_asked_for(tmp_path, layout, mode):
    options = options_for(layout, tmp_path / "store", file_mode=mode)
    store = fdpstore.open(options)
    fdpstore.put(store, Key(b"k"), b"x" * 5000)
    store.close()
    written = [path for path in (tmp_path / "store").rglob("*") if path.stat().st_size >= 5000]
    assert written
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {int(mode, 8)}


def test_temporary_files_are_where_they_were_asked_for(tmp_path):
    options = options_for("object", tmp_path / "store", relative_tmp_dir="in/here")
    store = fdpstore.open(options)
    fdpstore.put(store, Key(b"k"), b"x")
    assert (tmp_path / "store" / "in" / "here").is_dir()
    store.close()
    (file,) = (tmp_path / "store").glob("*.data")
    assert file.read_bytes() == b"x"


@pytest.mark.parametrize("options", [{"read_ahead_size": 1 << 20}, {"queue_depth": 1}])
def test_reading_ahead_or_one_at_a_time_changes_no_bytes(tmp_path, options):
    layout = "object" if "read_ahead_size" in options else "segment"
    store = fdpstore.open(options_for(layout, tmp_path / "store", **options))
    keys = [Key(bytes([number])) for number in range(40)]
    contents = [bytes([number]) * 100_000 for number in range(40)]
    fdpstore.put_many(store, keys, contents)
    buffers = [bytearray(100_000) for _ in keys]
    store.submit_get(keys, buffers)
    until(store.take_gets)
    assert [bytes(buffer) for buffer in buffers] == contents
    store.close()


def test_files_of_idle_prompts_are_sealed(tmp_path):
    options = options_for("prompt", tmp_path / "store", prompt_idle_s=0.3)
    store = fdpstore.open(options)
    keys = [Key(bytes([number])) for number in range(4)]
    store.submit_lookup(keys, False)  # makes a prompt of them
    until(store.take_lookups)
    fdpstore.put_many(store, keys, [b"x" * 5000] * 4)

    def states():
        segments = json.loads(store.status())["segments"]
        return {segment["state"] for segment in segments if segment["objects"]}

    assert states() == {"open"}
    until(lambda: states() == {"sealed"})
    store.close()
