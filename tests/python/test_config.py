"""Options: what is refused names the option and the remedy, and leaves everything as it was."""

import json

import fdpstore
import pytest
from conftest import MIB, options_for
from fdpstore.lmcache import FdpL2Adapter, FdpL2AdapterConfig
from helpers import Driver, filled, make_keys


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "base_path"),
        ({"base_path": ""}, "base_path"),
        ({"base_path": 7}, "base_path"),
        ({"base_path": "/x", "no_such_option": 1}, "no_such_option"),
        ({"base_path": "/x", "layout": "pile"}, "layout"),
        ({"base_path": "/x", "layout": "segment"}, "capacity_bytes"),
        ({"base_path": "/x", "use_odirect": "maybe"}, "use_odirect"),
        ({"base_path": "/x", "max_object_bytes": -1}, "max_object_bytes"),
        ({"base_path": "/x", "policy": "no-such-policy"}, "policy"),
        ({"base_path": "/x", "write_mode": "telepathy"}, "write_mode"),
        ({"base_path": "/x", "relative_tmp_dir": "../up"}, "relative_tmp_dir"),
    ],
)
def test_bad_option_is_a_value_error_that_names_it(options, named):
    with pytest.raises(ValueError, match=named) as raised:
        FdpL2Adapter(FdpL2AdapterConfig.from_dict(options))
    assert isinstance(raised.value, fdpstore.OptionError)


def test_options_of_fs_are_accepted_unchanged(open_adapter, tmp_path):
    options = {
        "base_path": str(tmp_path / "made" / "for" / "you"),
        "relative_tmp_dir": "tmp",
        "read_ahead_size": 4096,
        "use_odirect": False,
    }
    driver = Driver(open_adapter(options))
    keys = make_keys(2)
    driver.store(keys, filled(keys, 10_000))
    driver.load_and_verify(keys, 10_000)
    assert driver.adapter.report_status()["layout"] == "object"


def test_parsed_options_are_accepted_again(tmp_path):
    for layout in ("object", "prompt", "segment"):
        parsed = fdpstore.parse_options(options_for(layout, tmp_path))
        assert fdpstore.parse_options(parsed) == parsed
        assert parsed["layout"] == layout


def test_a_plain_dict_is_accepted_as_config(tmp_path):
    adapter = FdpL2Adapter(options_for("object", tmp_path / "store"))
    adapter.close()


def test_help_names_every_option():
    text = FdpL2AdapterConfig.help()
    table = fdpstore.option_table()
    assert {"base_path", "layout", "capacity_bytes"} <= {row["name"] for row in table}
    for row in table:
        assert row["name"] in text
        assert row["help"] in text


def test_values_that_are_not_json_are_refused():
    with pytest.raises(fdpstore.OptionError, match="JSON"):
        fdpstore.parse_options({"base_path": object()})


def test_base_path_that_is_a_file_is_refused(tmp_path, layout):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(fdpstore.Error, match="file"):
        fdpstore.open(options_for(layout, tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("layout", ["segment", "prompt"])
def test_directory_of_another_program_is_refused(tmp_path, layout):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(fdpstore.Error, match="format") as raised:
        fdpstore.open(options_for(layout, tmp_path))
    assert raised.value.code == "foreign"
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("layout", ["segment", "prompt"])
def test_second_store_on_a_directory_is_refused(open_adapter, tmp_path, layout):
    options = options_for(layout, tmp_path / "store")
    driver = Driver(open_adapter(options))
    with pytest.raises(fdpstore.Error) as raised:
        fdpstore.open(options)
    assert raised.value.code == "busy"
    keys = make_keys(1)
    assert driver.store(keys, filled(keys, 1000)).is_successful()


@pytest.mark.parametrize("layout", ["segment", "prompt"])
def test_capacity_too_small_says_how_much_is_needed(tmp_path, layout):
    options = options_for(layout, tmp_path / "store", capacity_bytes=8 * MIB)
    with pytest.raises(fdpstore.Error, match=r"capacity_bytes.*\d"):
        fdpstore.open(options)


def test_placement_that_is_required_but_impossible_fails(tmp_path, layout):
    options = options_for(layout, tmp_path / "store", write_mode="uring_cmd", placement="require")
    with pytest.raises(fdpstore.Error, match="uring_cmd"):
        fdpstore.open(options)


def test_lmcache_creates_the_adapter_from_its_own_json(tmp_path):
    from lmcache.v1.distributed.l2_adapters import create_l2_adapter
    from lmcache.v1.distributed.l2_adapters.config import get_l2_adapter_config_class
    from storage_manager import plugin

    spec = json.loads(json.dumps(plugin(options_for("object", tmp_path / "store"))))
    adapter = create_l2_adapter(get_l2_adapter_config_class("plugin").from_dict(spec))
    assert isinstance(adapter, FdpL2Adapter)
    adapter.close()
