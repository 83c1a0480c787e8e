#!/usr/bin/env python3
"""fdpstore gen-trace, trace and compare as a user runs them: files, output, errors, exit codes.

test_traces.py --command build/…/fdpstore [unittest arguments]
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

ARGS = argparse.Namespace(command="")
RECIPES = ("chat", "long", "rag", "random", "metadata", "tool_agent", "mix-rawblock", "mix-agentic")


class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="fdpstore-traces-"))
        self.addCleanup(shutil.rmtree, self.scratch, ignore_errors=True)

    def run_cli(self, *arguments: object, expect: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [ARGS.command, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.scratch,
            check=False,
        )
        self.assertEqual(done.returncode, expect, f"{arguments}\n{done.stdout}\n{done.stderr}")
        return done

    def fails(self, *arguments: object) -> str:
        """The message of a command that must fail."""
        done = self.run_cli(*arguments, expect=2)
        self.assertTrue(done.stderr.startswith("fdpstore: "), done.stderr)
        self.assertEqual(done.stdout, "")
        return done.stderr

    def info(self, *arguments: object) -> Any:
        return json.loads(self.run_cli("trace", "info", *arguments, "--json").stdout)


class GenTrace(Case):
    def test_help_explains_recipes_and_parameters(self) -> None:
        text = self.run_cli("gen-trace", "--help").stdout
        self.assertIn("Usage: fdpstore gen-trace RECIPE --out FILE", text)
        for recipe in RECIPES:
            self.assertRegex(text, rf"(?m)^{recipe} .*[a-z]{{3}}")
        for flag in ("--object-bytes SIZE", "--ranks N", "--seed N", "--scale X", "--class NAME"):
            self.assertIn(flag, text)
        examples = text[text.index("Examples:") : text.index("Exit codes: 0")]
        self.assertGreaterEqual(examples.count("fdpstore gen-trace"), 2)
        self.assertIn("  gen-trace ", self.run_cli("--help").stdout)

    def test_file_is_mooncake_jsonl_with_our_fields(self) -> None:
        self.run_cli("gen-trace", "chat", "--requests", 50, "--ranks", 2, "-o", "t.jsonl")
        lines = [json.loads(line) for line in (self.scratch / "t.jsonl").read_text().splitlines()]
        self.assertEqual(len(lines), 100)
        times = [line["timestamp"] for line in lines]
        self.assertEqual(times, sorted(times))
        for line in lines:
            self.assertEqual(line["input_length"], 256 * len(line["hash_ids"]))
            self.assertEqual(line["object_bytes"], 4 << 20)
            self.assertRegex(line["tenant"], "^chat-[0-3]$")
        self.assertEqual({line["kv_rank"] for line in lines}, {0x02000200, 0x02010201})
        self.assertEqual(lines[0]["hash_ids"], lines[1]["hash_ids"])

    def test_same_seed_same_bytes(self) -> None:
        for name, seed in (("a", 3), ("b", 3), ("c", 4)):
            self.run_cli("gen-trace", "rag", "--requests", 40, "--seed", seed, "--out", name)
        a, b, c = ((self.scratch / name).read_bytes() for name in "abc")
        self.assertEqual(a, b)
        self.assertNotEqual(a, c)

    def test_what_is_printed_is_what_trace_info_says_of_the_file(self) -> None:
        done = self.run_cli("gen-trace", "mix-rawblock", "--scale", "0.02", "-o", "m", "--json")
        printed, file = json.loads(done.stdout), self.info("m")
        self.assertEqual(printed["origin"], "fdpstore gen-trace mix-rawblock --scale 0.02")
        self.assertEqual(file["origin"], "m")
        for one in (printed, file):
            del one["name"], one["origin"], one["scopes"]
        self.assertEqual(printed, file)

    def test_agentic_takes_a_class(self) -> None:
        self.run_cli("gen-trace", "agentic", "--class", "browser", "--scale", "0.01", "-o", "a")
        self.run_cli("gen-trace", "browser", "--scale", "0.01", "-o", "b")
        self.assertEqual(*((self.scratch / name).read_bytes() for name in "ab"))
        self.assertIn(
            "no parameter 'class'", self.fails("gen-trace", "chat", "--class", "x", "-o", "a")
        )

    def test_mistakes_are_named(self) -> None:
        message = self.fails("gen-trace")
        for recipe in RECIPES:
            self.assertIn(recipe, message)
        self.assertIn("--out FILE is missing", self.fails("gen-trace", "chat"))
        self.assertIn("known are chat", self.fails("gen-trace", "chatt", "--out", "x"))
        self.assertIn("--tenant;", self.fails("gen-trace", "chat", "--tenant", "4"))
        self.assertIn("tenants = 'x'", self.fails("gen-trace", "chat", "--tenants", "x", "-o", "x"))
        self.assertIn(
            "nine workers", self.fails("gen-trace", "mix-agentic", "--ranks", 2, "-o", "x")
        )
        self.assertIn("/no/where: cannot be", self.fails("gen-trace", "chat", "-o", "/no/where"))
        self.assertEqual(list(self.scratch.iterdir()), [])


class TraceInfo(Case):
    def write(self, *lines: dict[str, Any]) -> Path:
        path = self.scratch / "trace.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    def test_help_explains_it(self) -> None:
        for arguments in (("--help",), ("info", "--help")):
            text = self.run_cli("trace", *arguments).stdout
            self.assertIn("Usage: fdpstore trace info FILE", text)
            self.assertIn("--bytes-per-token SIZE", text)
            examples = text[text.index("Examples:") : text.index("Exit codes: 0")]
            self.assertGreaterEqual(examples.count("fdpstore trace info"), 2)

    def test_counts_of_a_small_trace(self) -> None:
        path = self.write(
            {"timestamp": 0, "hash_ids": [1, 2], "object_bytes": 10},
            {"timestamp": 2000, "hash_ids": [1, 3], "object_bytes": 10, "tenant": "b"},
            {"timestamp": 5000, "hash_ids": [1, 4], "object_bytes": 10},
        )
        info = self.info(path)
        self.assertEqual(info["operations_by_kind"]["request"], 3)
        self.assertEqual(info["uses"], 6)
        self.assertEqual(info["unique_objects"], 5)
        self.assertEqual(info["unique_bytes"], 50)
        self.assertEqual(info["duration_s"], 5)
        self.assertEqual(info["reuse_s"]["p50"], 5)
        self.assertEqual(info["reuse_bytes"]["p50"], 30)
        self.assertAlmostEqual(info["hit_ratio_unlimited"]["leading_run"], 1 / 6)
        self.assertAlmostEqual(info["single_use_share"], 0.8)
        self.assertEqual([one["cache_salt"] for one in info["scopes"]], ["", "b"])
        self.assertEqual(
            [one["share"] for one in info["hit_ratio_lru"]], [0.05, 0.1, 0.2, 0.3, 0.5]
        )

    def test_sizes_and_chunks_can_be_given(self) -> None:
        path = self.write({"timestamp": 0, "hash_ids": [1, 2]})
        self.assertEqual(self.info(path)["unique_bytes"], 2 << 20)
        self.assertEqual(self.info(path, "--object-bytes", "4KiB")["unique_bytes"], 8192)
        split = self.info(path, "--chunk-tokens", 256, "--bytes-per-token", "1KiB")
        self.assertEqual((split["unique_objects"], split["unique_bytes"]), (4, 1 << 20))
        self.assertEqual(self.info(path, "--key-tokens", 16)["tokens_looked_up"], 32)

    def test_people_get_tables(self) -> None:
        text = self.run_cli("trace", "info", "gen:mix-rawblock,scale=0.02").stdout
        for part in ("Operations", "LEADING RUN", "unlimited", "CLASS", "cold_rag", "metadata-8"):
            self.assertIn(part, text)
        text = self.run_cli("trace", "info", "gen:chat,tenants=40,requests=400").stdout
        self.assertIn("the largest 16 of 40; --scopes shows all", text)
        text = self.run_cli("trace", "info", "gen:chat,tenants=40,requests=400", "--scopes").stdout
        self.assertEqual(text.count("\nchat-"), 40)

    def test_what_was_mended_is_said(self) -> None:
        path = self.write({"timestamp": 5, "hash_ids": [1]}, {"timestamp": 1, "hash_ids": [2]})
        self.assertIn(
            "1 of 2 operations were not in order", self.run_cli("trace", "info", path).stdout
        )

    def test_mistakes_are_named(self) -> None:
        self.assertIn("info or record is missing", self.fails("trace"))
        self.assertIn("frob is not known", self.fails("trace", "frob"))
        self.assertIn("FILE is missing", self.fails("trace", "info"))
        self.assertIn("--jason", self.fails("trace", "info", "x", "--jason"))
        self.assertIn("/nope: No such file", self.fails("trace", "info", "/nope"))
        self.assertIn("no recipe 'x'", self.fails("trace", "info", "gen:x"))
        self.assertIn(
            "--chunk-tokens: from 1", self.fails("trace", "info", "x", "--chunk-tokens", 0)
        )
        self.assertIn("--object-bytes: ", self.fails("trace", "info", "x", "--object-bytes", "4Q"))
        path = self.write({"timestamp": 0, "hash_ids": [1]}, {"timestamp": 0})
        self.assertIn(f"{path}:2: 'hash_ids' is missing", self.fails("trace", "info", path))
        path.write_bytes(b"\x00" * 100)
        self.assertIn("neither Mooncake JSONL", self.fails("trace", "info", path))
        path.write_bytes(b"")
        self.assertIn("an empty file", self.fails("trace", "info", path))


class Compare(Case):
    def test_each_cell_that_ends_says_where_it_ran(self) -> None:
        done = self.run_cli(
            *("compare", "--trace", "gen:chat,requests=300", "--capacity", "20%,30%"),
            *("--ru", "1/16,1/32", "--policy", "none", "--mode", "no_fdp", "--no-baselines"),
            *("--max-passes", 1, "--out", "out"),
        )
        lines = [line for line in done.stderr.splitlines() if line.startswith("[")]
        self.assertEqual([line.split()[0] for line in lines], [f"[{i}/4]" for i in range(1, 5)])
        for setting in (("20", "16"), ("20", "32"), ("30", "16"), ("30", "32")):
            there = re.compile(r"hit ratio .* chat · capacity {} % .* RU 1/{} ".format(*setting))
            self.assertEqual(sum(there.search(line) is not None for line in lines), 1, done.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--command", type=Path, required=True)
    _, rest = parser.parse_known_args(namespace=ARGS)
    ARGS.command = str(ARGS.command.resolve())
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
