"""What the tests of the command share: how it is run, and a scratch directory."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

ARGS = argparse.Namespace(command="", hold_store="")


class Case(unittest.TestCase):
    """A scratch directory; sockets go there too."""

    def setUp(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="fdpstore-cli-"))
        self.addCleanup(shutil.rmtree, self.scratch, ignore_errors=True)
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(self.scratch)}
        self.path = self.scratch / "store"

    def run_cli(self, *arguments: object, expect: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [ARGS.command, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.scratch,
            env=self.environment,
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

    def report(self, *arguments: object, expect: int = 0) -> Any:
        return json.loads(self.run_cli(*arguments, "--json", expect=expect).stdout)


def main(about: str) -> None:
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--command", required=True)
    parser.add_argument("--hold-store", required=True)
    _, rest = parser.parse_known_args(namespace=ARGS)
    unittest.main(argv=[sys.argv[0], *rest])
