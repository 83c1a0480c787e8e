"""The emulated namespaces are what run-guest was asked for."""

import pytest
from guest import KERNELS

MIB = 1 << 20
# Everything that differs from the defaults, so that one boot of each kernel shows all of it.
ODD = {"ruhs": "2;4-6", "nruh": 7, "ru_size": "32M", "size": "512M", "second": True, "mdts": 5}
APART = {"ns_option": ("ms=8",), "ruhs": "", "reclaim_groups": 2}


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel_is_the_one_asked_for(facts, kernel):
    release = facts(kernel=kernel, **ODD).release
    assert release[:2] == (6, 12) if kernel == "612" else release >= (6, 16)


@pytest.mark.parametrize("kernel", KERNELS)
def test_reclaim_units_and_handles(facts, kernel):
    guest = facts(kernel=kernel, **ODD)
    assert guest.configuration()["runs"] == 32 * MIB
    assert guest.configuration()["nruh"] == 7
    assert guest.configuration()["nrg"] == 1
    assert guest.handles() == {0: 2, 1: 4, 2: 5, 3: 6}


def test_write_streams_on_the_newer_kernel_only(facts):
    newer, older = (facts(kernel=kernel, **ODD) for kernel in KERNELS)
    assert newer.queue("max_write_streams") == 4
    assert newer.queue("write_stream_granularity") == 32 * MIB
    assert "max_write_streams" not in older.sections["nvme0n1"]


@pytest.mark.parametrize("kernel", KERNELS)
def test_second_namespace_has_no_fdp(facts, kernel):
    guest = facts(kernel=kernel, **ODD)
    assert guest.sections["serials"].split() == ["fdp0", "plain1"]
    assert guest.queue("max_write_streams", "nvme1n1") == 0
    assert "0x4029" in guest.sections["nvme1n1 handles"]  # FDP disabled, do not retry
    assert "nvme1n1" not in facts(**APART).sections  # not asked for there


@pytest.mark.parametrize("kernel", KERNELS)
def test_size_and_transfer_limit(facts, kernel):
    guest = facts(kernel=kernel, **ODD)
    for device in ("nvme0n1", "nvme1n1"):
        assert guest.sysfs("size", device) * 512 == 512 * MIB
        assert guest.namespace(device)["nsze"] == 512 * MIB // 512
        assert guest.queue("max_hw_sectors_kb", device) == 128  # 4 KiB << 5
        assert guest.queue("logical_block_size", device) == 512


def test_lba_size_and_metadata(facts):
    guest = facts(lba_size=4096, ns_option=("ms=64", "mset=1", "pi=1"), second=True)
    for device in ("nvme0n1", "nvme1n1"):
        namespace = guest.namespace(device)
        in_use = namespace["lbafs"][namespace["flbas"] & 15]
        assert (in_use["ds"], in_use["ms"]) == (12, 64)
        assert namespace["flbas"] & 16  # metadata within the block
        assert namespace["dps"] & 7 == 1  # protection information, type 1
        assert guest.queue("logical_block_size", device) == 4096
        assert guest.sysfs("metadata_bytes", device) == 64


def test_metadata_apart_from_the_data(facts):
    namespace = facts(**APART).namespace()
    in_use = namespace["lbafs"][namespace["flbas"] & 15]
    assert (in_use["ds"], in_use["ms"]) == (9, 8)
    assert namespace["flbas"] & 16 == 0
    assert namespace["dps"] == 0


def test_handle_is_assigned_where_none_is_listed(facts):
    guest = facts(**APART)
    assert guest.configuration()["nrg"] == 2
    # QEMU assigns one RUH, and lists it once for each reclaim group.
    assert set(guest.handles().values()) == {0}


WRITE = "dd if=/dev/urandom of={device} bs=1M count=4 oflag=direct status=none"
STATISTICS = "nvme fdp stats /dev/nvme0 -e 1 -o json | grep hbmw"


def test_statistics_count_what_is_written_with_fdp(guest):
    steps = [WRITE.format(device=f"/dev/nvme{n}n1") + f" && {STATISTICS}" for n in (1, 0)]
    done = guest(" && ".join(steps), second=True)
    assert done.stdout.split() == ['"hbmw":"0",', '"hbmw":"4194304",']


@pytest.mark.parametrize(("mode", "zeros"), [("keep", False), ("zero", True)])
def test_deallocated_blocks(guest, mode, zeros):
    device = "/dev/nvme0n1"
    done = guest(
        f"{WRITE} && blkdiscard -l 4M {device} && cmp -s -n 4M {device} /dev/zero; echo $?".format(
            device=device
        ),
        deallocated=mode,
    )
    assert done.stdout.split() == ["0" if zeros else "1"]


def test_disk_keeps_its_content_until_the_next_guest(guest, tmp_path):
    disk = tmp_path / "disk, kept"
    assert guest("echo precious >/dev/nvme0n1", disk=disk, size="64M").returncode == 0
    assert disk.stat().st_size == 64 * MIB
    done = guest("head -c 8 /dev/nvme0n1; cat /sys/block/nvme0n1/size", disk=disk, mdts=0)
    assert done.stdout == f"precious{64 * MIB // 512}\n"
