"""What the tests of the scripts share: where things are, and how to run the quickstart's driver."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRACE = ROOT / "bench" / "traces" / "quickstart.jsonl"


@pytest.fixture
def drive(tmp_path):
    """Runs the quickstart's driver on a temporary directory, small and fast."""

    def run(*options: str, path: Path = tmp_path / "data") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fdpstore.quickstart", "--path", str(path)]
        command += ["--trace", str(TRACE), "--requests", "16", "--chunk-kib", "64", *options]
        return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))

    return run


@pytest.fixture
def drive_json(drive):
    """The same, for a run that must succeed; returns its report."""

    def run(*options: str) -> dict:
        done = drive("--json", *options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
