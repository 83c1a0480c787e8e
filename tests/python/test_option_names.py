"""Every option of LMCache's fs, fs_native and raw_block, and of the proof of concept, by the names
that LMCache's own configuration classes have: accepted or refused with a reason, in JSON, as flags
and in a file alike.
"""

import inspect
import json
import re
import subprocess

import fdpstore
import pytest
from fdpstore.lmcache import FdpL2Adapter, FdpL2AdapterConfig
from lmcache.v1.distributed.l2_adapters import fs_l2_adapter, fs_native_l2_adapter
from lmcache.v1.distributed.l2_adapters import raw_block_l2_adapter as raw_block
from lmcache.v1.distributed.l2_adapters.config import get_l2_adapter_config_class
from test_recordings import COMMAND

PEERS = {
    "fs": fs_l2_adapter.FSL2AdapterConfig,
    "fs_native": fs_native_l2_adapter.FSNativeL2AdapterConfig,
    "raw_block": raw_block.RawBlockL2AdapterConfig,
}
PROOF_OF_CONCEPT = {
    "use_fdp",
    "fdp_ruh_ids",
    "fdp_data_ruh_ids",
    "fdp_metadata_ruh_ids",
    "fdp_directive_type",
    "fdp_metadata_mode",
}
OUTER = {"eviction", "persist_enabled", "type", "serde", "shared", "affinity_tag"}


def names_of(config: type) -> set[str]:
    """Parameters of the class, and what its from_dict asks a dictionary for."""
    names = set(inspect.signature(config.__init__).parameters) - {"self"}
    source = inspect.getsource(config.from_dict)
    asked = set(re.findall(r"""\bd(?:\.get\(|\[)\s*["'](\w+)["']""", source))
    # raw_block reads some in a loop over (name, default).
    looped = set(re.findall(r"""\(\s*["'](num_\w+)["'],""", source))
    assert asked, source
    return names | asked | looped


def known() -> dict[str, dict[str, str]]:
    rows = fdpstore.option_table() + fdpstore.foreign_option_table()
    return {row["name"]: row for row in rows}


def test_the_classes_are_read_as_they_should_be():
    assert {"base_path", "relative_tmp_dir", "read_ahead_size", "use_odirect"} <= names_of(
        PEERS["fs"]
    )
    assert {"num_workers", "max_capacity_gb"} <= names_of(PEERS["fs_native"])
    assert {"device_path", "slot_bytes", "num_load_workers", "io_engine", "use_uring"} <= names_of(
        PEERS["raw_block"]
    )


@pytest.mark.parametrize("peer", [*PEERS, "proof of concept"])
def test_no_name_is_forgotten(peer):
    names = names_of(PEERS[peer]) if peer in PEERS else PROOF_OF_CONCEPT
    assert names - OUTER - set(known()) == set()
    for name in names & OUTER:
        with pytest.raises(fdpstore.OptionError, match="beside adapter_params"):
            fdpstore.parse_options({"base_path": "/x", name: True})


def configure(*arguments, expect=0):
    done = subprocess.run(
        [COMMAND, "configure", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == expect, done.stderr
    return done


def parsed_or_refused(options):
    try:
        return fdpstore.parse_options(options), ""
    except fdpstore.OptionError as error:
        return None, str(error).splitlines()[0]


@pytest.mark.skipif(COMMAND is None, reason="no `fdpstore` command is built")
@pytest.mark.parametrize("name", sorted(known()))
def test_json_flag_and_file_agree(name, tmp_path):
    """The same value is accepted with the same effect, or refused with the same words."""
    row = known()[name]
    values = row["choices"].split("|") if row["choices"] else ["1", "none", "no such value"]
    base = ["--device-path", "/dev/ng0n1"]
    if name in ("base_path", "device_path"):
        base, values = [], ["/mnt/kv"]
    elif row.get("layouts", "device") not in ("device", "all"):
        layout = row["layouts"].split(",")[0]
        base = ["--base-path", "/mnt/kv", "--layout", layout]
        base += ["--capacity-gb", "10"] if layout != "object" else []
    if name == "layout":
        base = ["--base-path", "/mnt/kv", "--capacity-gb", "10"]
    given = {
        flag.removeprefix("--").replace("-", "_"): value
        for flag, value in zip(base[::2], base[1::2], strict=True)
    }
    for value in values:
        flags = [*base, f"--{name.replace('_', '-')}", value]
        file = tmp_path / "store.conf"
        file.write_text("".join(f"{k} = {v}\n" for k, v in {**given, name: value}.items()))
        parsed, refusal = parsed_or_refused({**given, name: value})
        if refusal:
            assert name in refusal or row.get("alias_of") in refusal
            assert refusal in configure(*flags, expect=2).stderr
            assert refusal in configure("--config", file, expect=2).stderr
            continue
        outputs = [configure(*flags), configure("--config", file)]
        for output in outputs:
            params = json.loads(output.stdout)["adapter_params"]
            assert fdpstore.parse_options(params) == parsed
        for note in fdpstore.option_notes({**given, name: value}):
            for output in outputs:
                assert note in output.stderr


@pytest.mark.skipif(COMMAND is None, reason="no `fdpstore` command is built")
def test_the_harness_spelling_gives_json_that_lmcache_accepts():
    done = configure(
        *("--device-path", "/dev/ng0n1", "--use-fdp", "--data-ruhs", "0-3"),
        *("--metadata-ruhs", "4", "--placement-policy", "tenant", "--fdp-directive-type", "2"),
    )
    spec = json.loads(done.stdout)
    plugin = get_l2_adapter_config_class(spec["type"]).from_dict(spec)
    assert (plugin.module_path, plugin.class_name) == ("fdpstore.lmcache", "FdpL2Adapter")
    config = FdpL2AdapterConfig.from_dict(plugin.adapter_params)
    assert config.options["device_path"] == "/dev/ng0n1"
    assert config.options["fdp_data_ruh_ids"] == [0, 1, 2, 3]
    assert config.options["fdp_metadata_ruh_ids"] == [4]
    assert config.options["policy"] == "tenant"
    assert config.options["placement"] == "require"
    assert config.options["layout"] == "segment"
    assert "only directive type" in done.stderr


@pytest.mark.skipif(COMMAND is None, reason="no `fdpstore` command is built")
def test_configured_json_makes_lmcache_open_the_store(tmp_path):
    from lmcache.v1.distributed.l2_adapters import create_l2_adapter

    done = configure(
        *("--base-path", tmp_path / "store", "--layout", "segment", "--max-capacity-gb", "0.0625"),
        *("--slot-bytes", "1MiB"),
    )
    assert "no slots" in done.stderr
    spec = json.loads(done.stdout)
    adapter = create_l2_adapter(get_l2_adapter_config_class(spec["type"]).from_dict(spec))
    try:
        assert isinstance(adapter, FdpL2Adapter)
        assert adapter.report_status()["capacity_bytes"] == 1 << 26
    finally:
        adapter.close()


def test_a_name_that_means_something_else_is_noted():
    notes = fdpstore.option_notes({"base_path": "/x", "slot_bytes": 4096, "num_workers": 4})
    assert len(notes) == 2
    assert any("there are no slots" in note for note in notes)
    assert "names of other stores" in FdpL2AdapterConfig.help()
