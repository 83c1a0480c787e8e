"""What figures depend on: the machine, the file system, the commit, and who else is busy."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUSY = 0.5  # load average above which figures swing


def output_of(*command: str) -> str:
    """What a command prints; "unknown" when it cannot."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def environment(path: Path) -> dict[str, object]:
    """For measurements in `path`, a directory that exists."""
    return {
        "commit": output_of("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "kernel": platform.release(),
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "path": str(path),
        "file_system": output_of("stat", "-f", "-c", "%T", str(path)),
        "load_average": os.getloadavg()[0],
    }


def warn_if_busy(load: float) -> None:
    if load > BUSY:
        print(f"warning: the machine is busy (load {load:.1f}): figures will swing", flush=True)
