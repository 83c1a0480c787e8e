"""Stores on emulated namespaces: placement byte by byte, what is refused, and real LMCache."""

import json

import guest as guests
import pytest
from gtests import BUILD, gtests

CLI = BUILD / "src" / "cli" / "fdpstore"
PYTHON = guests.ROOT / "build" / "venv" / "bin" / "python"

LARGE = {"ru_size": "16M", "size": "1G"}
SMALL = {"ru_size": "8M", "size": "256M"}

# Filling a namespace of 1 GiB twice takes minutes, and shows nothing that 256 MiB do not.
test_placement = gtests("test_guest", "-*SegmentsAndReclaimUnitsStayInStep*", kernel="7", **LARGE)
test_placement_on_older_kernel = gtests("test_guest", "*", kernel="612", **SMALL)
test_placement_where_pids_are_no_ruhs = gtests("test_guest", "*", ruhs="2;4-6", **SMALL)
test_placement_with_blocks_of_4_kib = gtests("test_guest", "*", lba_size="4096", mdts=5, **SMALL)

# Without the tests that flip byte after byte: they take minutes here, and run on loop devices.
CONTRACT = "*/device_*:-*Damage.Flipped*"
NAMED = {"ru_size": "2M", "size": "256M", "memory": 2048, "cpus": 2}

test_contract_by_pids = gtests(
    "test_contract", CONTRACT, env="FDPSTORE_TEST_DEVICE=/dev/ng0n1", **NAMED
)
test_contract_by_write_streams = gtests(
    "test_contract", "*StoreLoad.*/device_*", env="FDPSTORE_TEST_DEVICE=/dev/nvme0n1", **NAMED
)


def lines(*commands: str) -> str:
    return f"F={CLI}; " + "; ".join(commands)


@pytest.fixture(scope="module", autouse=True)
def needs_cli():
    if not CLI.exists():
        pytest.skip(f"{CLI} is not built")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"ns_option": ["ms=8"]}, "metadata"),
        ({"ns_option": ["ms=8", "mset=1"]}, "metadata"),
        ({"ns_option": ["ms=8", "pi=1"]}, "end-to-end protection information"),
    ],
    ids=["metadata", "metadata-in-block", "protection-information"],
)
def test_unusable_format_is_refused_in_words(guest, options, complaint):
    done = guest(lines("$F format /dev/ng0n1"), **options)
    assert done.returncode == 2, done.stdout
    assert complaint in done.stdout
    assert "nvme format" in done.stdout


def test_what_is_on_a_device_is_left_alone_unless_forced(guest):
    done = guest(
        lines(
            "mkfs.ext4 -q -L precious /dev/nvme0n1",
            "$F format /dev/ng0n1; echo fs=$?",
            "mount /dev/nvme0n1 /mnt; $F format /dev/ng0n1 --force; echo mounted=$?; umount /mnt",
            "$F format /dev/nvme0n1 --force --max-object-bytes 4MiB >/dev/null; echo forced=$?",
            "$F format /dev/ng0n1; echo again=$?",
            "mount /dev/nvme0n1 /mnt 2>/dev/null; echo mount=$?",
        )
    )
    assert "holds ext4 file system labelled 'precious'" in done.stdout
    assert "is mounted on /mnt" in done.stdout
    assert "another fdpstore store" in done.stdout
    for expected in ("fs=2", "mounted=2", "forced=0", "again=2"):
        assert expected in done.stdout, done.stdout
    assert "mount=0" not in done.stdout


def test_info_says_what_the_namespace_is(guest):
    done = guest(lines("$F info /dev/ng0n1 --json"), ruhs="2;4-6", ru_size="32M")
    assert done.returncode == 0, done.stdout
    info = json.loads(done.stdout)
    device = info["device_info"]
    assert info["kind"] == "NVMe character device"
    assert info["content"] == "blank"
    assert device["fdp"] is True
    assert device["reclaim_unit_bytes"] == 32 << 20
    assert [(h["pid"], h["ruh"]) for h in device["handles"]] == [(0, 2), (1, 4), (2, 5), (3, 6)]
    assert device["statistics"]["host_written_bytes"] == 0
    assert device["max_transfer_bytes"] == 512 << 10
    assert info["automatic"].startswith("uring_cmd")
    works = {m["name"]: m["reaches_device"] for m in info["mechanisms"]}
    assert works["uring_cmd"] is True


def test_namespace_without_fdp(guest):
    done = guest(
        lines(
            "D=/dev/$(basename $(grep -l plain1 /sys/class/nvme/nvme*/serial | xargs dirname))n1",
            "N=${D/nvme/ng}",
            "$F format $N --placement require; echo require=$?",
            "$F format $N --max-object-bytes 4MiB; echo prefer=$?",
        ),
        second=True,
    )
    assert "placement = require cannot be kept" in done.stdout, done.stdout
    assert "FDP disabled (NVMe generic status 0x29)" in done.stdout
    assert "require=2" in done.stdout
    assert "prefer=0" in done.stdout
    assert "placement plain (none)" in done.stdout


def test_device_without_permission_names_the_remedy(guest):
    done = guest(lines("setpriv --reuid 65534 --clear-groups $F format /dev/ng0n1; echo rc=$?"))
    assert "rc=2" in done.stdout
    assert "not permitted to this user (uid 65534)" in done.stdout
    assert "udev rule" in done.stdout


def test_lmcache_stores_by_pids_and_loads_through_the_block_device(guest):
    """One process for all: importing torch takes a minute or two in the guest."""
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is missing: LMCache is not installed")
    done = guest(
        PYTHON,
        guests.HERE / "lmcache_on_device.py",
        memory=4096,
        cpus=2,
        ru_size="16M",
        env=[f"PYTHONPATH={BUILD / 'python'}", "LMCACHE_LOG_LEVEL=ERROR"],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    stored, loaded = (json.loads(line) for line in done.stdout.splitlines() if line[:1] == "{")
    assert stored["placement"]["effective"] == "uring_cmd"
    assert loaded["placement"]["effective"] == "write_stream"
    for phase in (stored, loaded):
        assert phase["placement"]["reaches_device"] is True
        assert phase["wrong"] == []
    assert stored["stored"] == stored["written"] > 0
    assert stored["store_failed"] == 0
    assert loaded["hits"] == loaded["references"]
    assert loaded["distinct_verified"] == stored["stored"]
