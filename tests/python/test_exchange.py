"""Layout `object` shares a directory with LMCache's own `fs` and `fs_native`, both ways."""

import pytest
from conftest import options_for
from helpers import Driver, filled, make_key, make_keys
from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.l2_adapters import create_l2_adapter
from lmcache.v1.distributed.l2_adapters.config import get_l2_adapter_config_class

SIZE = 70_001


def keys_of_every_shape() -> list[ObjectKey]:
    return [
        *make_keys(3),
        make_key(1, salt="tenant:7"),
        make_key(1, rank=ObjectKey.ComputeKVRank(8, 5, 4, 1)),
        make_key(1, model="plain"),
        ObjectKey(b"\0\1\2\3", "a/b/c", 1, 31, "s"),
    ]


@pytest.fixture(params=["fs", "fs_native"])
def peer(request, tmp_path):
    config = get_l2_adapter_config_class(request.param)
    adapter = create_l2_adapter(config.from_dict({"base_path": str(tmp_path / "store")}))
    yield Driver(adapter)
    adapter.close()


@pytest.fixture
def ours(open_adapter, tmp_path):
    return Driver(open_adapter(options_for("object", tmp_path / "store")))


def test_what_the_peer_stored_is_served(peer, ours):
    keys = keys_of_every_shape()
    assert peer.store(keys, filled(keys, SIZE)).is_successful()
    assert ours.present(keys) == list(range(len(keys)))
    ours.load_and_verify(keys, SIZE)
    assert ours.store(keys, filled(keys, SIZE)).bytes_transferred() == 0
    assert ours.adapter.report_status()["unverified_objects"] > 0


def test_what_we_stored_is_served_by_the_peer(peer, ours):
    keys = keys_of_every_shape()
    assert ours.store(keys, filled(keys, SIZE)).is_successful()
    assert peer.present(keys) == list(range(len(keys)))
    peer.load_and_verify(keys, SIZE)


def test_file_names_and_bytes_are_the_same(peer, ours, tmp_path, open_adapter):
    keys = keys_of_every_shape()
    peer.store(keys, filled(keys, SIZE))
    other = Driver(open_adapter(options_for("object", tmp_path / "other")))
    other.store(keys, filled(keys, SIZE))

    def files(name):
        return {
            file.name: file.read_bytes()
            for file in (tmp_path / name).iterdir()
            if file.suffix == ".data"
        }

    assert len(files("store")) == len(keys)
    assert files("store") == files("other")


def test_what_we_delete_is_gone_for_the_peer(peer, ours):
    keys = make_keys(3)
    peer.store(keys, filled(keys, SIZE))
    ours.adapter.delete(keys[1:])
    assert peer.present(keys) == [0]


def test_what_the_peer_deletes_is_a_miss(peer, ours):
    keys = make_keys(2)
    ours.store(keys, filled(keys, SIZE))
    peer.adapter.delete(keys[:1])
    assert ours.present(keys) in ([1], [0, 1])  # fs_native deletes only what it stored itself
    assert ours.store(keys, filled(keys, SIZE)).is_successful()
    ours.load_and_verify(keys, SIZE)


def test_directory_taken_over_and_handed_back(peer, open_adapter, tmp_path):
    """A user switches to fdpstore and back: nothing is lost either way."""
    theirs, added = make_keys(3), make_keys(3, first=50)
    peer.store(theirs, filled(theirs, SIZE))
    options = options_for("object", tmp_path / "store")
    for _ in range(2):  # restart in between
        driver = Driver(open_adapter(options))
        driver.load_and_verify(theirs, SIZE)
        driver.store(added, filled(added, SIZE))
        driver.adapter.close()
    peer.load_and_verify(theirs + added, SIZE)


def test_names_that_collide_or_are_too_long_for_fs_are_kept_apart(ours):
    keys = [make_key(1, model="a/b"), make_key(1, model="a-SEP-b"), make_key(1, model="m" * 300)]
    assert ours.store(keys, filled(keys, SIZE)).is_successful()
    ours.load_and_verify(keys, SIZE)
    listed = ours.adapter.list_l2_keys().entries
    assert {entry.key.to_object_key() for entry in listed} == set(keys)
