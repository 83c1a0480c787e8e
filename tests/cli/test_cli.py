#!/usr/bin/env python3
"""The fdpstore command as a user runs it: output, errors, exit codes.

test_cli.py --command build/…/fdpstore --hold-store build/…/hold_store [unittest arguments]
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # python -I does not
from case import ARGS, Case, main

OBJECTS = 20


class Info(Case):
    def test_directory(self) -> None:
        self.path.mkdir()
        info = self.report("info", self.path)
        self.assertEqual(info["kind"], "directory")
        self.assertTrue(info["writable"])
        self.assertGreater(info["total_bytes"], info["free_bytes"])
        names = {one["name"] for one in info["mechanisms"]}
        self.assertLessEqual({"F_SET_RW_HINT", "F_SET_FILE_RW_HINT"}, names)
        for mechanism in info["mechanisms"]:
            self.assertTrue(mechanism["reason"], mechanism)
        if info["file_system"] in ("ext4", "xfs"):
            self.assertFalse(any(one["reaches_device"] for one in info["mechanisms"]))
        self.assertEqual(list(self.path.iterdir()), [], "info left something behind")

    def test_text_names_every_mechanism(self) -> None:
        self.path.mkdir()
        text = self.run_cli("info", self.path).stdout
        for mechanism in self.report("info", self.path)["mechanisms"]:
            self.assertIn(mechanism["name"], text)
        self.assertIn("REACHES THE DEVICE", text)
        self.assertNotIn("\033", text, "colours although this is no terminal")

    def test_missing_directory_stays_missing(self) -> None:
        self.assertEqual(self.report("info", self.path)["kind"], "missing")
        self.assertFalse(self.path.exists())

    def test_file(self) -> None:
        self.path.write_bytes(b"something")
        done = subprocess.run(
            [ARGS.command, "info", str(self.path), "--json"], capture_output=True, check=False
        )
        if done.returncode == 0:
            self.assertNotEqual(json.loads(done.stdout)["kind"], "directory")
        else:
            self.assertEqual(done.returncode, 2)
            self.assertIn(str(self.path).encode(), done.stderr)
        self.assertEqual(self.path.read_bytes(), b"something")


class Configure(Case):
    def adapter(self, *arguments: object) -> dict[str, Any]:
        done = self.run_cli("configure", *arguments)
        self.assertIn("eviction", done.stderr)
        adapter = json.loads(done.stdout)
        self.assertEqual(
            {key: adapter[key] for key in ("type", "module_path", "class_name")},
            {"type": "plugin", "module_path": "fdpstore.lmcache", "class_name": "FdpL2Adapter"},
        )
        self.assertEqual(len(adapter), 4, adapter)
        return adapter["adapter_params"]

    def test_prints_only_what_was_given(self) -> None:
        self.assertEqual(self.adapter("--base-path", "/mnt/kv"), {"base_path": "/mnt/kv"})
        self.assertEqual(
            self.adapter(
                *("--base-path", "/mnt/kv", "--layout", "segment", "--capacity-gb", "1.5"),
                *("--max-object-bytes", "4MiB", "--use-odirect", "True", "--lock-timeout-s", "60"),
                *("--policy", "tenant", "--file-mode", "0640"),
            ),
            {
                "base_path": "/mnt/kv",
                "layout": "segment",
                "capacity_bytes": 3 << 29,
                "max_object_bytes": 4 << 20,
                "use_odirect": True,
                "lock_timeout_s": 60,
                "policy": "tenant",
                "file_mode": "0640",
            },
        )

    def test_relative_path_is_made_absolute(self) -> None:
        self.assertEqual(
            self.adapter("--base-path", "a/../b"), {"base_path": str(self.scratch.resolve() / "b")}
        )

    def test_nothing_is_made_without_check(self) -> None:
        self.adapter("--base-path", self.path)
        self.assertFalse(self.path.exists())

    def test_check_opens_the_store(self) -> None:
        options = ("--base-path", self.path, "--layout", "segment", "--max-object-bytes", "64KiB")
        self.adapter(*options, "--capacity-bytes", "64MiB", "--check")
        self.assertTrue((self.path / "superblock").is_file())
        self.path.joinpath("superblock").unlink()
        self.path.joinpath("segments").rename(self.path / "other")
        self.path.joinpath("other/file").write_bytes(b"another program's")
        message = self.fails("configure", *options, "--capacity-bytes", "64MiB", "--check")
        self.assertIn(str(self.path), message)

    def test_pretty_is_the_same_indented(self) -> None:
        plain = self.run_cli("configure", "--base-path", "/d", "--checksum", "false").stdout
        pretty = self.run_cli("configure", "--base-path", "/d", "--checksum", "false", "--pretty")
        self.assertEqual(json.loads(plain), json.loads(pretty.stdout))
        self.assertIn('\n  "adapter_params": {\n    "base_path": "/d",\n', pretty.stdout)
        self.assertEqual(plain.count("\n"), 1)

    def test_says_whether_disk_use_is_bounded(self) -> None:
        bounded = self.run_cli("configure", "--base-path", "/d", "--capacity-gb", "5").stderr
        unbounded = self.run_cli("configure", "--base-path", "/d").stderr
        self.assertIn("own bound", bounded)
        self.assertIn("nothing bounds", unbounded)

    def test_bad_options_are_refused_by_name(self) -> None:
        for arguments, *expected in (
            ((), "base_path is missing"),
            (("--base-path", "/d", "--layout", "segment"), "layout = segment", "capacity_bytes"),
            (("--base-path", "/d", "--queue-depth", "0"), "queue_depth"),
            (("--base-path", "/d", "--queue-depth", "many"), "queue_depth", "many"),
            (("--base-path", "/d", "--queue-dept", "5"), "did you mean queue_depth?"),
            (("--device-path", "/dev/ng0n1", "--layout", "object"), "layout", "device_path"),
            (("--base-path", "/d", "--fdp-data-ruh-ids", "1"), "fdp_data_ruh_ids", "device_path"),
            (("--base-path", "/d", "--write-mode", "uring_cmd"), "write_mode", "base_path"),
            (("--base-path", "/d", "--policy", "nonsense"), "nonsense"),
            (("--base-path", "/d", "--capacity-gb", "1", "--capacity-bytes", "1"), "one of them"),
            (("--base-path",), "base-path"),
            (("--base-path", "/d", "stray"), "too many"),
        ):
            message = self.fails("configure", *arguments)
            for text in expected:
                self.assertIn(text, message)

    def test_unknown_flags_are_refused_with_the_remedy(self) -> None:
        for command in ("info", "ls", "stat", "fsck", "policies", "gen-trace", "compare"):
            message = self.fails(command, "--nix")
            self.assertIn(
                f"{command}: unknown option --nix; see fdpstore {command} --help", message
            )

    def test_file_of_options(self) -> None:
        file = self.scratch / "store.conf"
        file.write_text("# the store\nbase_path = /mnt/kv\ncapacity_gb = 2\npolicy = tenant\n")
        self.assertEqual(
            self.adapter("--config", file, "--policy", "none"),
            {"base_path": "/mnt/kv", "capacity_bytes": 2 << 30, "policy": "none"},
        )
        file.write_text("base_path = /mnt/kv\ncapacity_gib = 2\n")
        self.assertIn("did you mean capacity_gb?", self.fails("configure", "--config", file))
        file.write_text("base_path\n")
        self.assertIn(str(file), self.fails("configure", "--config", file))
        self.assertIn("missing.conf", self.fails("configure", "--config", "missing.conf"))


class Layouts:
    """Looking into a store of one layout, open in another process and closed."""

    layout = ""
    segments = True

    def options(self) -> dict[str, Any]:
        return {
            "base_path": str(self.path),
            "layout": self.layout,
            "capacity_bytes": 64 << 20,
            "max_object_bytes": 64 << 10,
            "policy": "tenant",
        }

    @contextlib.contextmanager
    def held(self, objects: int = OBJECTS) -> Iterator[None]:
        """The store open in another process, with objects in it."""
        holder = subprocess.Popen(
            [ARGS.hold_store, json.dumps(self.options()), str(objects)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        try:
            self.assertEqual(holder.stdout.readline(), "ready\n", holder.poll())
            yield
        finally:
            _, errors = holder.communicate(timeout=60)
        self.assertEqual((holder.returncode, errors), (0, ""))

    def expect_contents(self, owner: bool) -> None:
        status = self.report("stat", self.path)
        self.assertEqual(status["layout"], self.layout)
        self.assertEqual(status["answered_by_owner"], owner)
        self.assertEqual(status["live_objects"], OBJECTS)
        self.assertEqual(status["live_bytes"], sum(1000 + n for n in range(OBJECTS)))
        salts = {one["cache_salt"]: one["objects"] for one in status["salts"]}
        self.assertEqual(salts, {"one:x": 5, "two": OBJECTS - 5})
        self.assertEqual(bool(status["segments"]), self.segments)

        text = self.run_cli("stat", self.path).stdout
        for expected in (f"{OBJECTS}, ", "Placement asked", "Effective", "TENANT", "one", "STREAM"):
            self.assertIn(expected, text)
        self.assertEqual("was asked" in text, owner)
        self.assertEqual("SEGMENT" in text, self.segments)

        lines = self.run_cli("ls", self.path, "--json").stdout.splitlines()
        listed = [json.loads(line) for line in lines]
        self.assertEqual(sorted(one["bytes"] for one in listed), [1000 + n for n in range(OBJECTS)])
        self.assertEqual(len({one["chunk_hash"] for one in listed}), OBJECTS)
        even = self.run_cli("ls", self.path, "--model", "model/even", "--json").stdout
        self.assertEqual(len(even.splitlines()), OBJECTS // 2)
        table = self.run_cli("ls", self.path, "--limit", "3").stdout.splitlines()
        self.assertEqual(len(table), 4, table)
        self.assertIn("MODEL", table[0])

    def test_open_store_is_asked(self) -> None:
        with self.held():
            self.expect_contents(owner=True)
            status = self.report("stat", self.path)
            self.assertEqual(status["policy"], "tenant")
            self.assertEqual(status["stored_objects"], OBJECTS)
            shared = [one for one in status["warnings"] if "exclusive" in one]
            self.assertEqual(bool(shared), self.layout == "object", status["warnings"])

    def test_closed_store_is_read_from_disk(self) -> None:
        with self.held():
            pass
        self.expect_contents(owner=False)
        self.assertEqual(list(self.scratch.glob("fdpstore/*.sock")), [])

    def test_killed_store_is_read_from_disk(self) -> None:
        holder = subprocess.Popen(
            [ARGS.hold_store, json.dumps(self.options()), str(OBJECTS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        self.assertEqual(holder.stdout.readline(), "ready\n")
        holder.kill()
        holder.communicate()
        self.expect_contents(owner=False)
        self.assertTrue(self.report("fsck", self.path)["clean"])
        with self.held():  # its stale socket is replaced
            self.expect_contents(owner=True)

    def test_fsck_of_a_good_store_is_clean(self) -> None:
        with self.held():
            pass
        report = self.report("fsck", self.path)
        self.assertTrue(report["clean"])
        self.assertEqual(report["objects"], OBJECTS)
        done = self.run_cli("fsck", self.path)
        self.assertIn("clean", done.stdout)
        self.assertEqual(done.stderr, "", "a progress bar although this is no terminal")

    def test_fsck_finds_and_repairs_damage(self) -> None:
        with self.held():
            pass
        self.damage_one_object()
        found = self.report("fsck", self.path, expect=1)
        self.assertEqual((found["clean"], len(found["findings"])), (False, 1))
        self.assertEqual(found["objects"], OBJECTS)
        self.assertFalse(any(one["repaired"] for one in found["findings"]))
        text = self.run_cli("fsck", self.path, expect=1).stdout
        self.assertIn("--repair", text)
        repaired = self.report("fsck", self.path, "--repair", expect=1)
        self.assertTrue(all(one["repaired"] for one in repaired["findings"]))
        after = self.report("fsck", self.path)
        self.assertEqual((after["clean"], after["objects"]), (True, OBJECTS - 1))

    def test_fsck_repair_needs_the_store_closed(self) -> None:
        with self.held():
            self.assertIn("open in another process", self.fails("fsck", self.path, "--repair"))
            done = self.run_cli("fsck", self.path)
            self.assertIn("open in another process", done.stderr)

    def test_fsck_draws_progress_on_a_terminal(self) -> None:
        with self.held():
            pass
        ours, theirs = pty.openpty()
        try:
            done = subprocess.run(
                [ARGS.command, "fsck", str(self.path)],
                stdout=subprocess.PIPE,
                stderr=theirs,
                env=self.environment,
                check=True,
            )
            self.assertIn(b"clean", done.stdout)
            self.assertIn(b"\r[", os.read(ours, 4096))
        finally:
            os.close(ours)
            os.close(theirs)

    def test_what_is_no_store_is_refused(self) -> None:
        file = self.scratch / "file"
        file.write_bytes(b"x")
        for command in ("stat", "ls", "fsck"):
            self.assertIn("missing", self.fails(command, self.scratch / "missing"))
            self.assertIn(str(file), self.fails(command, file))
            self.assertIn("holds no store", self.fails(command, self.scratch))

    def damage_one_object(self) -> None:
        """Flips a byte of the payload of object 7, wherever it lies."""
        payload = payload_of(7, 1007)
        for path in sorted(self.path.rglob("*")):
            if not path.is_file():
                continue
            at = path.read_bytes().find(payload)
            if at >= 0:
                with path.open("r+b") as file:
                    file.seek(at + 500)
                    byte = file.read(1)
                    file.seek(at + 500)
                    file.write(bytes([byte[0] ^ 0xFF]))
                return
        self.fail("the object is in no file")


def payload_of(seed: int, size: int) -> bytes:
    """The bytes of tests/support/bytes.hpp."""
    mask = (1 << 64) - 1

    def mix(x: int) -> int:
        x = (x + 0x9E3779B97F4A7C15) & mask
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    base = mix(seed)
    words = (mix((base + at) & mask).to_bytes(8, "little") for at in range(0, size, 8))
    return b"".join(words)[:size]


class Segment(Layouts, Case):
    layout = "segment"

    def test_damaged_superblock_is_named(self) -> None:
        with self.held():
            pass
        superblock = self.path / "superblock"
        superblock.write_bytes(superblock.read_bytes()[:8] + bytes(8184))
        for command in ("stat", "ls", "fsck"):
            self.assertIn(str(superblock), self.fails(command, self.path))


class Prompt(Layouts, Case):
    layout = "prompt"


class Object(Layouts, Case):
    layout = "object"
    segments = False

    def test_directory_of_lmcaches_fs_is_served(self) -> None:
        self.path.mkdir()
        for n in range(3):
            name = f"org-SEP-model@0x01010101@0@{n:064x}.data"
            (self.path / name).write_bytes(bytes(100 + n))
        listed = [
            json.loads(line) for line in self.run_cli("ls", self.path, "--json").stdout.splitlines()
        ]
        self.assertEqual({one["model_name"] for one in listed}, {"org/model"})
        self.assertEqual({one["kv_rank"] for one in listed}, {0x01010101})
        self.assertEqual(sorted(one["bytes"] for one in listed), [100, 101, 102])
        self.assertEqual(self.report("stat", self.path)["live_objects"], 3)
        report = self.report("fsck", self.path)
        self.assertEqual((report["clean"], report["unverified"]), (True, 3))

    def test_empty_directory_is_an_empty_store(self) -> None:
        self.path.mkdir()
        self.assertEqual(self.run_cli("ls", self.path, "--json").stdout, "")
        status = self.report("stat", self.path)
        self.assertEqual(status["live_objects"], 0)
        self.assertIn("read-only", status["placement"]["reason"])
        self.assertEqual(list(self.path.iterdir()), [])


if __name__ == "__main__":
    main(__doc__.splitlines()[0])
