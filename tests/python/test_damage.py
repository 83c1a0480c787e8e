"""One flipped byte in what we wrote: a miss, never wrong data, and it can be stored again."""

from pathlib import Path

from conftest import options_for
from helpers import Driver, bits, content_of, empty, filled, make_keys, memory, payload
from lmcache.v1.distributed.api import ObjectKey

SIZE = 100_003


def find_payload(directory: Path, content: bytes) -> tuple[Path, int]:
    """The file that holds `content`, and where."""
    for file in sorted(directory.rglob("*")):
        if file.is_file() and (at := file.read_bytes().find(content)) >= 0:
            return file, at
    raise AssertionError(f"no file under {directory} holds the payload")


def overwrite(file: Path, at: int, content: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(content)


def flip_a_byte_of(directory: Path, key: ObjectKey, size: int) -> None:
    file, at = find_payload(directory, payload(key, size))
    byte = payload(key, size)[size // 2]
    overwrite(file, at + size // 2, bytes([byte ^ 1]))


def reopened(open_adapter, options) -> Driver:
    return Driver(open_adapter(options))


def fill(open_adapter, options, keys: list[ObjectKey]) -> None:
    adapter = open_adapter(options)
    assert Driver(adapter).store(keys, filled(keys, SIZE)).is_successful()
    adapter.close()


def test_flipped_byte_is_a_miss_and_can_be_stored_again(open_adapter, options):
    keys = make_keys(3)
    fill(open_adapter, options, keys)
    flip_a_byte_of(Path(options["base_path"]), keys[1], SIZE)
    driver = reopened(open_adapter, options)
    objects = empty(3, SIZE)
    assert bits(driver.load(keys, objects)) == [0, 2]
    assert content_of(objects[2]) == payload(keys[2], SIZE)
    assert driver.present(keys) == [0, 2]
    assert driver.store(keys, filled(keys, SIZE)).bytes_transferred() == SIZE
    driver.load_and_verify(keys, SIZE)


def test_damaged_object_that_is_locked_is_a_miss(open_adapter, options):
    """LMCache's order: lookup locks first, then it loads and unlocks what it planned."""
    keys = make_keys(2)
    fill(open_adapter, options, keys)
    flip_a_byte_of(Path(options["base_path"]), keys[0], SIZE)
    driver = reopened(open_adapter, options)
    driver.lookup(keys)
    assert bits(driver.load(keys, empty(2, SIZE))) == [1]
    driver.adapter.submit_unlock(keys)
    assert driver.store(keys, filled(keys, SIZE)).is_successful()
    driver.load_and_verify(keys, SIZE)


def test_swapped_payloads_are_misses(open_adapter, options):
    keys = make_keys(2)
    fill(open_adapter, options, keys)
    directory = Path(options["base_path"])
    places = [find_payload(directory, payload(key, SIZE)) for key in keys]
    for (file, at), key in zip(places, reversed(keys), strict=True):
        overwrite(file, at, payload(key, SIZE))
    driver = reopened(open_adapter, options)
    assert bits(driver.load(keys, empty(2, SIZE))) == []
    assert driver.store(keys, filled(keys, SIZE)).bytes_transferred() == 2 * SIZE
    driver.load_and_verify(keys, SIZE)


def test_truncated_object_file_is_a_miss_and_is_replaced(open_adapter, tmp_path):
    options = options_for("object", tmp_path / "store")
    keys = make_keys(2)
    fill(open_adapter, options, keys)
    file, _ = find_payload(tmp_path / "store", payload(keys[0], SIZE))
    with file.open("r+b") as opened:
        opened.truncate(SIZE // 2)
    driver = reopened(open_adapter, options)
    assert bits(driver.load(keys, empty(2, SIZE))) == [1]
    assert bits(driver.load(keys[:1], [memory(SIZE // 2)])) == []
    assert driver.store(keys, filled(keys, SIZE)).is_successful()
    driver.load_and_verify(keys, SIZE)


def test_truncated_segment_loses_only_what_was_cut(open_adapter, tmp_path):
    options = options_for("segment", tmp_path / "store")
    keys = make_keys(4)
    fill(open_adapter, options, keys)
    file, at = find_payload(tmp_path / "store", payload(keys[-1], SIZE))
    with file.open("r+b") as opened:
        opened.truncate(at + SIZE // 2)
    driver = reopened(open_adapter, options)
    objects = empty(4, SIZE)
    hits = bits(driver.load(keys, objects))
    assert 3 not in hits
    for i in hits:
        assert content_of(objects[i]) == payload(keys[i], SIZE)
    assert driver.store(keys, filled(keys, SIZE)).is_successful()
    driver.load_and_verify(keys, SIZE)
