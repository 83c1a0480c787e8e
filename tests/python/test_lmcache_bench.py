"""LMCache's own benchmark of L2 adapters, with its verification, against us."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from storage_manager import plugin

LMCACHE = Path(sys.executable).with_name("lmcache")


@pytest.mark.skipif(not LMCACHE.exists(), reason="no `lmcache` command beside this Python")
def test_lmcache_bench_l2_verifies_every_object(options):
    command = [str(LMCACHE), "bench", "l2", "--l2-adapter", json.dumps(plugin(options))]
    command += ["--num-keys", "16", "--in-flight", "4", "--data-size-kb", "256"]
    command += ["--l1-align-bytes", "4096", "--rounds", "2", "--no-skip-verify"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-4000:]
    assert "mismatch" not in output.lower(), output[-4000:]
    assert "Traceback" not in output, output[-4000:]
