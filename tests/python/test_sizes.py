"""Object sizes from one byte to 64 MiB, odd ones included, buffered and O_DIRECT."""

import pytest
from conftest import MIB, options_for
from helpers import Driver, bits, content_of, make_keys, memory, payload

SMALL = [1, 2, 511, 512, 513, 4095, 4096, 4097, 65_537, MIB - 1, MIB, MIB + 1]
LARGE = [4 * MIB, 16 * MIB + 3, 64 * MIB - 1, 64 * MIB]


def sized(layout, tmp_path, **more):
    options = options_for(layout, tmp_path / "store", max_object_bytes=64 * MIB, **more)
    if layout != "object":
        options |= {"capacity_bytes": 1536 * MIB, "segment_bytes": 128 * MIB}
    return options


def round_trip(driver, sizes, offset):
    keys = make_keys(len(sizes), first=1000 * (offset + 1))
    objects = [
        memory(size, payload(key, size), offset) for key, size in zip(keys, sizes, strict=True)
    ]
    assert driver.store(keys, objects).bytes_transferred() == sum(sizes)
    targets = [memory(size, offset=offset) for size in sizes]
    assert bits(driver.load(keys, targets)) == list(range(len(sizes)))
    for obj, target in zip(objects, targets, strict=True):
        assert content_of(obj) == content_of(target)


@pytest.mark.parametrize("offset", [0, 1], ids=["aligned", "unaligned"])
@pytest.mark.parametrize("direct", [False, True], ids=["buffered", "direct"])
def test_small_and_odd_sizes(open_adapter, tmp_path, layout, direct, offset):
    driver = Driver(open_adapter(sized(layout, tmp_path, use_odirect=direct)))
    round_trip(driver, SMALL, offset)


def test_large_sizes_survive_a_restart(open_adapter, tmp_path, layout):
    options = sized(layout, tmp_path)
    first = open_adapter(options)
    round_trip(Driver(first), LARGE, offset=0)
    first.close()
    driver = Driver(open_adapter(options))
    keys = make_keys(len(LARGE), first=1000)
    targets = [memory(size) for size in LARGE]
    assert bits(driver.load(keys, targets)) == list(range(len(LARGE)))
    for key, target, size in zip(keys, targets, LARGE, strict=True):
        assert content_of(target) == payload(key, size)


def test_object_above_the_limit_fails_alone(open_adapter, tmp_path, layout):
    options = options_for(layout, tmp_path / "store", max_object_bytes=MIB)
    driver = Driver(open_adapter(options))
    keys = make_keys(3)
    sizes = [1000, MIB + 1, 2000]
    objects = [memory(size, payload(k, size)) for k, size in zip(keys, sizes, strict=True)]
    assert not driver.store(keys, objects).is_successful()
    assert driver.present(keys) == [0, 2]
