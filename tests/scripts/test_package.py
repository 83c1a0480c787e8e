"""`pip install .`: the wheel holds all of the package, and works without the source tree."""

import faulthandler
import os
import shutil
import subprocess
import sys

from conftest import ROOT

USE = """
import fdpstore, sys
store = fdpstore.open({"base_path": sys.argv[1], "layout": "segment",
                       "capacity_gb": 0.0625, "max_object_bytes": 1 << 20, "policy": "tenant"})
assert fdpstore.__file__.startswith(sys.argv[2]), fdpstore.__file__
store.close()
import fdpstore.lmcache
from importlib.metadata import version
print(fdpstore.__version__, version("fdpstore"))
"""


def test_installed_package_opens_a_store(tmp_path):
    # The compiler by CMake's name for it, not Python's: ccache tells them apart.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"CXX": "c++"}
    target = tmp_path / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--disable-pip-version-check", "--target", str(target)]
    # A directory like quickstart's: with ccache, what one of them compiled serves the other.
    build = ROOT / "build" / "wheel"
    shutil.rmtree(build, ignore_errors=True)
    command += ["--config-settings", f"build-dir={build}", str(ROOT)]
    # Minutes on a busy machine without ccache: it has a limit of its own.
    faulthandler.cancel_dump_traceback_later()
    built = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1200)
    assert built.returncode == 0, built.stdout + built.stderr
    done = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path / "store"), str(target)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(target)},
    )
    assert done.returncode == 0, done.stderr
    expected = (ROOT / "VERSION").read_text().strip()
    assert done.stdout.split() == [expected, expected]
    command = subprocess.run(
        [target / "bin" / "fdpstore", "--version"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert (command.stdout, command.returncode) == (f"fdpstore {expected}\n", 0), command.stderr
