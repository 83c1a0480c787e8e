"""What fio reaches on the same medium: the limit that adapters are held against."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

NAME = "fio"


class FioMissing(RuntimeError):
    pass


class FioLimit:
    """Stores and loads of one size in one round: io_uring, O_DIRECT, registered buffers, on a file
    that was written before.

    Raises:
        FioMissing: fio is not installed, or refused the job; says what it said.
    """

    name = NAME

    def __init__(self, root: Path, size: int, count: int, depth: int) -> None:
        if shutil.which("fio") is None:
            raise FioMissing(
                "fio is not installed (Debian: apt install fio), or leave it out: --no-fio"
            )
        root.mkdir(parents=True, exist_ok=True)
        self.file = root / "fio.data"
        self.size, self.count, self.depth = size, count, depth
        self.out: dict[str, float] = {}
        self._run("write")

    def _run(self, mode: str) -> dict[str, float]:
        command = ["fio", "--name=limit", f"--filename={self.file}", f"--rw={mode}"]
        command += [f"--bs={self.size}", f"--size={self.size * self.count}", "--direct=1"]
        command += ["--ioengine=io_uring", "--fixedbufs", f"--iodepth={self.depth}"]
        command += ["--output-format=json", "--overwrite=1", "--fallocate=none"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise FioMissing(f"fio failed: {done.stderr.strip() or done.stdout.strip()}")
        job = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
        figures = job[mode]
        cpu_s = (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1000
        gigabytes = figures["io_bytes"] / 1e9
        return {
            "GB/s": figures["bw_bytes"] / 1e9,
            "CPU s/GB": cpu_s / gigabytes,
            "p50 ms": figures["clat_ns"]["percentile"]["50.000000"] / 1e6,
            "p99 ms": figures["clat_ns"]["percentile"]["99.000000"] / 1e6,
        }

    def store(self) -> None:
        self.out |= {f"store {name}": value for name, value in self._run("write").items()}

    def load(self) -> None:
        self.out |= {f"load {name}": value for name, value in self._run("read").items()}

    def close(self) -> None:
        self.file.unlink(missing_ok=True)
