#!/usr/bin/env python3
"""fdpstore import as a user runs it: interrupted, killed, started again, on a terminal.

test_import.py --command build/…/fdpstore --hold-store build/…/hold_store [unittest arguments]
"""

from __future__ import annotations

import json
import os
import pty
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # python -I does not
from case import ARGS, Case, main

SEGMENT = ("--layout", "segment", "--capacity-bytes", "256MiB", "--max-object-bytes", "1MiB")


class Import(Case):
    def setUp(self) -> None:
        super().setUp()
        self.files = self.scratch / "files"
        self.store = self.scratch / "store"

    def command(self, *arguments: object) -> list[str]:
        return [ARGS.command, "import", *map(str, arguments)]

    def run_import(self, *arguments: object, expect: int = 0) -> subprocess.CompletedProcess[str]:
        return self.run_cli("import", *arguments, expect=expect)

    def imported(self, *arguments: object, expect: int = 0) -> Any:
        return self.report("import", *arguments, expect=expect)

    def make_files(self, count: int, size: int = 256 * 1024) -> None:
        """A directory as LMCache's fs writes it."""
        self.files.mkdir()
        for n in range(count):
            name = f"org-SEP-model@0x01010101@0@{n:064x}.data"
            (self.files / name).write_bytes(random.Random(n).randbytes(size))

    def expect_files(self, directory: Path) -> None:
        def contents(path: Path) -> dict[str, bytes]:
            return {one.name: one.read_bytes() for one in path.glob("*.data")}

        self.assertTrue(contents(self.files) == contents(directory))

    def test_a_directory_of_fs_goes_into_segments_and_back(self) -> None:
        self.make_files(50, 10_000)
        text = self.run_import(self.files, self.store, *SEGMENT).stdout
        self.assertIn("50 of 50 objects", text)
        report = self.imported(self.store, self.scratch / "back", "--verify")
        self.assertEqual((report["complete"], report["copied_objects"]), (True, 50))
        self.assertEqual(report["verified_objects"], 50)
        self.expect_files(self.scratch / "back")

    def test_killed_at_any_time_it_goes_on(self) -> None:
        self.make_files(400)
        seen = 0
        for attempt in range(8):
            process = subprocess.Popen(
                self.command(self.files, self.store, *SEGMENT, "--json"),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self.environment,
            )
            time.sleep(0.03 * (attempt + 1))
            process.kill()
            process.communicate()
            before = subprocess.run(
                [ARGS.command, "stat", str(self.store), "--json"],
                capture_output=True,
                env=self.environment,
                check=False,
            )
            objects = json.loads(before.stdout)["live_objects"] if before.returncode == 0 else 0
            self.assertGreaterEqual(objects, seen, "what was copied got lost")
            seen = objects
        report = self.imported(self.files, self.store, "--verify")
        self.assertTrue(report["complete"], report)
        self.assertEqual(report["present_objects"], seen)
        self.assertEqual(report["copied_objects"] + report["present_objects"], 400)
        self.run_import(self.store, self.scratch / "back")
        self.expect_files(self.scratch / "back")

    def test_interrupted_it_says_so_and_goes_on(self) -> None:
        self.make_files(800)
        process = subprocess.Popen(
            self.command(self.files, self.store, *SEGMENT, "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        while not (self.store / "segments").is_dir() or not any(
            (self.store / "segments").iterdir()
        ):
            self.assertIsNone(process.poll())
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        report = json.loads(out)
        self.assertEqual(process.returncode, 130, err)
        self.assertTrue(report["interrupted"])
        self.assertLess(report["copied_objects"], 800)
        self.assertIn("the same command goes on", err)
        status = json.loads(
            subprocess.run(
                [ARGS.command, "stat", str(self.store), "--json"],
                capture_output=True,
                env=self.environment,
                check=True,
            ).stdout
        )
        self.assertTrue(status["clean_start"], "the store was not closed")
        again = self.imported(self.files, self.store)
        self.assertEqual(again["present_objects"], report["copied_objects"])
        self.assertTrue(again["complete"])

    def test_removes_as_it_goes(self) -> None:
        self.make_files(20, 5000)
        report = self.imported(self.files, self.store, *SEGMENT, "--remove")
        self.assertEqual(report["removed_objects"], 20)
        self.assertEqual(list(self.files.glob("*.data")), [])

    def test_a_bar_on_a_terminal_only(self) -> None:
        self.make_files(20, 5000)
        ours, theirs = pty.openpty()
        try:
            subprocess.run(
                self.command(self.files, self.store, *SEGMENT),
                stdout=subprocess.PIPE,
                stderr=theirs,
                env=self.environment,
                check=True,
            )
            self.assertIn(b"\r[", os.read(ours, 4096))
        finally:
            os.close(ours)
            os.close(theirs)
        self.assertEqual(self.run_import(self.files, self.store).stderr, "")

    def test_an_open_store_and_bad_arguments_are_refused(self) -> None:
        options = {"base_path": str(self.store), "layout": "segment", "capacity_bytes": 64 << 20}
        options["max_object_bytes"] = 65536
        holder = subprocess.Popen(
            [ARGS.hold_store, json.dumps(options), "5"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        self.assertEqual(holder.stdout.readline(), "ready\n")
        error = self.run_import(self.store, self.scratch / "to", expect=2).stderr
        self.assertIn("open in another process", error)
        self.assertIn("stop that process", error)
        holder.communicate(timeout=60)
        self.assertIn("SRC is missing", self.run_import(expect=2).stderr)
        self.assertIn("DST is missing", self.run_import(self.store, expect=2).stderr)
        error = self.run_import(self.store, self.scratch / "to", "--capacity-gib", 1, expect=2)
        self.assertIn("did you mean capacity_gb?", error.stderr)
        self.assertIn("one store", self.run_import(self.store, self.store, expect=2).stderr)

    def test_a_destination_too_small_says_how_much(self) -> None:
        self.make_files(400)
        small = (*SEGMENT[:2], "--capacity-bytes", "32MiB", *SEGMENT[4:])
        done = self.run_import(self.files, self.store, *small, expect=2)
        self.assertRegex(done.stderr, r"raise capacity_bytes from 33554432 by \d+")
        self.assertEqual(done.stdout, "")


if __name__ == "__main__":
    main(__doc__.splitlines()[0])
