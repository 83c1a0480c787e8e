#!/usr/bin/env python3
"""Looking at a store while another process uses it: stat --watch.

test_live.py --command build/…/fdpstore --hold-store build/…/hold_store [unittest arguments]
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # python -I does not
from case import ARGS, Case, main

OBJECTS = 20
LOOKUPS = 10  # of each round of work, half of them hits


class Live(Case):
    def command(self, *arguments: object) -> list[str]:
        return [ARGS.command, *map(str, arguments)]

    @contextlib.contextmanager
    def held(self, layout: str = "segment", *how: str) -> Iterator[subprocess.Popen[str]]:
        """The store open in another process; with "work", it goes on storing and loading."""
        options = {"base_path": str(self.path), "layout": layout, "capacity_bytes": 64 << 20}
        options["max_object_bytes"] = 64 << 10
        holder = subprocess.Popen(
            [ARGS.hold_store, json.dumps(options), str(OBJECTS), *how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        try:
            self.assertEqual(holder.stdout.readline(), "ready\n", holder.poll())
            yield holder
        finally:
            _, errors = holder.communicate(timeout=60)
        self.assertEqual((holder.returncode, errors), (0, ""))

    def watched(self, *arguments: object) -> list[Any]:
        out = self.run_cli("stat", "--watch", "0.2", self.path, "--json", *arguments).stdout
        return [json.loads(line) for line in out.splitlines()]

    def test_watch_shows_the_rates_of_a_store_at_work(self) -> None:
        for layout in ("segment", "object"):
            shutil.rmtree(self.path, ignore_errors=True)
            with self.held(layout, "work"):
                begin = time.monotonic()
                looks = self.watched("--count", 3)
                took = time.monotonic() - begin
                self.assertEqual(len(looks), 3)
                self.assertLess(sum(one["seconds"] for one in looks), took)
                for one in looks:
                    self.assertTrue(one["open"])
                    self.assertGreater(one["seconds"], 0.1)  # longer where the machine is busy
                    self.assertGreater(one["stores_per_s"], 0)
                    self.assertGreater(one["stored_bytes_per_s"], 1000 * one["stores_per_s"] - 1)
                    self.assertGreater(one["loads_per_s"], 0)
                    self.assertAlmostEqual(one["hit_ratio"], 0.5, delta=0.2)
                    self.assertGreaterEqual(one["host_wa"], 1.0)
                    self.assertIsNone(one["device_wa"])
                    self.assertEqual(one["failed"], 0)
                text = self.run_cli("stat", self.path, "--watch=0.1", "--count", 2).stdout
            lines = text.splitlines()
            self.assertIn("is open", lines[0])
            self.assertRegex(lines[1], r"TIME +STORES/s +GB/s +LOADS/s .*HITS .*HOST WA +DEVICE WA")
            self.assertEqual(len(lines), 4, text)
            self.assertRegex(lines[2], r"^\d\d:\d\d:\d\d +\d")

    def test_watch_says_that_the_store_closes_and_opens(self) -> None:
        with self.held():
            pass
        watch = subprocess.Popen(
            self.command("stat", "--watch", "0.05", self.path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        try:
            self.assertIn("is not open; waiting", watch.stdout.readline())
            self.assertIn(f"{OBJECTS} objects of", watch.stdout.readline())
            with self.held():
                self.assertIn("is open", watch.stdout.readline())
                self.assertIn("STORES/s", watch.stdout.readline())
                row = watch.stdout.readline()
                self.assertRegex(row, rf" {OBJECTS} +\d+ % +0$")
            line = row
            while re.match(r"\d\d:\d\d:\d\d +\d", line) or "TIME" in line:
                line = watch.stdout.readline()
            self.assertIn("was closed", line)
        finally:
            watch.send_signal(signal.SIGINT)
            _, errors = watch.communicate(timeout=30)
        self.assertEqual((watch.returncode, errors), (0, ""))

    def test_watch_of_a_closed_store_says_so_in_json(self) -> None:
        with self.held():
            pass
        first, second = self.watched("--count", 2)
        self.assertEqual((first["open"], second["open"]), (False, False))
        self.assertNotIn("stores_per_s", second)

    def test_watch_refuses_what_makes_no_sense(self) -> None:
        with self.held():
            pass
        for arguments, expected in (
            (("--watch", "0"), "0.05"),
            (("--watch=never",), "watch"),
            (("--count", "5"), "--watch"),
            (("--watch", "--segments"), "--segments"),
        ):
            done = self.run_cli("stat", self.path, *arguments, expect=2)
            self.assertIn(expected, done.stderr)
        self.assertIn("missing", self.run_cli("stat", "--watch", "x/missing", expect=2).stderr)

    def test_prometheus_text(self) -> None:
        with self.held():
            text = self.run_cli("stat", self.path, "--prometheus").stdout
        names = re.findall(r"(?m)^(\w+)\{", text)
        self.assertIn("fdpstore_live_objects", names)
        self.assertIn(f'fdpstore_stored_objects_total{{path="{self.path}"}} {OBJECTS}\n', text)
        self.assertRegex(text, r'fdpstore_stream_live_bytes\{path="[^"]+",stream="[^"]+"\} \d+')

    def test_trace_record_of_a_store_at_work(self) -> None:
        file = self.scratch / "live.lct"
        with self.held("segment", "work"):
            begin = time.monotonic()
            done = self.run_cli("trace", "record", self.path, file, "--seconds", 1, "--json")
            took = time.monotonic() - begin
            stat = json.loads(self.run_cli("stat", self.path, "--json").stdout)
        report = json.loads(done.stdout)
        self.assertEqual((report["lost_calls"], report["store_closed"]), (0, False))
        self.assertGreater(report["seconds"], 0.9)  # longer where the machine is busy
        self.assertLess(report["seconds"], took)
        self.assertGreater(report["calls"], 30)
        self.assertGreater(stat["stored_objects"], OBJECTS, "it worked on")
        info = json.loads(self.run_cli("trace", "info", file, "--json").stdout)
        by_kind = info["operations_by_kind"]
        # A round of work: a store, a lookup (its hits and misses differ in size), a load, a delete.
        self.assertGreater(by_kind["store"], 5)
        for kind in ("lookup", "load", "erase"):
            rounds = by_kind[kind] / (2 if kind == "lookup" else 1)
            self.assertAlmostEqual(rounds, by_kind["store"], delta=2)
        replayed = self.run_cli(
            *("compare", "--trace", file, "--policy", "none", "--mode", "no_fdp", "--json"),
            *("--object-bytes", "1MiB", "--capacity", "512M", "--no-baselines", "--quick"),
            *("--max-passes", 2, "--out", self.scratch / "out"),
        )
        self.assertIn("live.lct", replayed.stdout)
        hit_ratios = re.findall(r'"hit_ratio[^"]*": ?([0-9.Ee+-]+)', replayed.stdout)
        self.assertTrue(any(float(one) > 0.3 for one in hit_ratios), replayed.stdout)

    def test_trace_record_ends_with_ctrl_c_and_with_the_store(self) -> None:
        for end in ("signal", "store"):
            file = self.scratch / f"{end}.lct"
            with self.held("object", "work") as holder:
                record = subprocess.Popen(
                    self.command("trace", "record", self.path, file),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    env=self.environment,
                )
                while not file.exists() or file.stat().st_size < 5000:
                    self.assertIsNone(record.poll())
                if end == "signal":
                    record.send_signal(signal.SIGINT)
                else:
                    holder.stdin.close()
                    holder.stdin = None
                out, errors = record.communicate(timeout=30)
            self.assertEqual((record.returncode, errors), (0, ""))
            self.assertRegex(out, r"^\d+ calls in ")
            self.assertEqual("the store was closed" in out, end == "store")
            info = json.loads(self.run_cli("trace", "info", file, "--json").stdout)
            self.assertGreater(info["operations_by_kind"]["store"], 0)

    def test_trace_record_needs_a_store_that_is_open(self) -> None:
        with self.held():
            pass
        done = self.run_cli("trace", "record", self.path, self.scratch / "t.lct", expect=2)
        self.assertIn("start LMCache", done.stderr)
        self.assertFalse((self.scratch / "t.lct").exists())
        self.assertIn("FILE is missing", self.run_cli("trace", "record", "x", expect=2).stderr)
        self.assertIn("STORE is missing", self.run_cli("trace", "record", expect=2).stderr)


if __name__ == "__main__":
    main(__doc__.splitlines()[0])
