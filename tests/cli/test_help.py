#!/usr/bin/env python3
"""What the fdpstore command says of itself, and what it answers to bad arguments.

test_help.py --command build/…/fdpstore --hold-store build/…/hold_store [unittest arguments]
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # python -I does not
from case import ARGS, Case, main

COMMANDS = ("info", "configure", "format", "stat", "ls", "fsck", "policies", "gen-trace", "trace")
COMMANDS += ("compare", "import")


class Help(Case):
    def test_help_lists_the_commands(self) -> None:
        for flag in ("--help", "-h", "help"):
            text = self.run_cli(flag).stdout
            for command in COMMANDS:
                self.assertIn(f"  {command} ", text)
        self.assertIn("Exit codes", text)

    def test_version(self) -> None:
        version = (Path(__file__).parents[2] / "VERSION").read_text().strip()
        self.assertEqual(self.run_cli("--version").stdout, f"fdpstore {version}\n")

    def test_the_list_of_commands_here_is_whole(self) -> None:
        text = self.run_cli("--help").stdout
        listed = text[text.index("Commands:") : text.index("\n\nfdpstore --log-level")]
        self.assertEqual(set(re.findall(r"(?m)^  (\S+) ", listed)), set(COMMANDS))

    def test_log_level(self) -> None:
        check = ("configure", "--base-path", self.path, "--check")
        self.assertNotIn("opened", self.run_cli(*check).stderr)
        for said in (("--log-level", "info"), ("--log-level=info",)):
            self.assertIn(f"fdpstore: opened {self.path}", self.run_cli(*said, *check).stderr)
        self.environment["FDPSTORE_LOG"] = "info"
        self.assertIn("opened", self.run_cli(*check).stderr)
        self.assertNotIn("opened", self.run_cli(*check, "--log-level", "error").stderr)
        self.environment["FDPSTORE_LOG"] = "loud"
        self.assertIn("FDPSTORE_LOG: log level loud: use one of", self.run_cli(*check).stderr)
        del self.environment["FDPSTORE_LOG"]
        self.assertIn("use one of off, error", self.fails("--log-level", "loud", *check))

    def test_each_command_explains_itself(self) -> None:
        for command in COMMANDS:
            text = self.run_cli(command, "--help").stdout
            self.assertIn(f"Usage: fdpstore {command}", text)
            self.assertIn("Exit codes: 0", text)
            examples = text[text.index("Examples:") : text.index("Exit codes")]
            self.assertGreaterEqual(examples.count("fdpstore "), 2, text)

    def test_configure_explains_options_with_units_and_defaults(self) -> None:
        text = " ".join(self.run_cli("configure", "--help").stdout.split())
        for expected in (
            "--capacity-bytes SIZE",
            "--lock-timeout-s s",
            "--layout object|prompt|segment",
            "--use-odirect true|false|auto",
            "Default: 64MiB.",
            "Layouts: prompt, segment.",
            "--relative-tmp-dir",
        ):
            self.assertIn(expected, text)

    def test_no_or_an_unknown_command_lists_them(self) -> None:
        for arguments in ((), ("frobnicate",), ("--frobnicate",)):
            message = self.fails(*arguments)
            for command in COMMANDS:
                self.assertIn(command, message)
        self.assertIn("no command frobnicate", self.fails("frobnicate"))

    def test_bad_arguments_are_named(self) -> None:
        for command in ("info", "stat", "ls", "fsck"):
            self.assertIn("PATH is missing", self.fails(command))
            self.assertIn("--jason", self.fails(command, "/tmp", "--jason"))
            self.assertIn("too many arguments", self.fails(command, "/tmp", "/tmp"))
        self.assertIn("limit", self.fails("ls", "/tmp", "--limit", "many"))
        self.assertIn("--jso", self.fails("info", "/tmp", "--jso"))  # no guessing

    def test_policies_are_listed(self) -> None:
        policies = {one["name"]: one["description"] for one in self.report("policies")}
        for name in ("none", "separated", "tenant", "per-prompt"):
            self.assertTrue(policies[name])
            self.assertIn(name, self.run_cli("policies").stdout)

    def test_full_output_is_an_error(self) -> None:
        with open("/dev/full", "wb") as full:
            done = subprocess.run([ARGS.command, "--help"], stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"standard output", done.stderr)


if __name__ == "__main__":
    main(__doc__.splitlines()[0])
