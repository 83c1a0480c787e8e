"""Running commands in a guest, from tests: thin over the command run-guest."""

from __future__ import annotations

import functools
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RUN_GUEST = HERE / "run-guest"
KERNELS = ("7", "612")

Options = dict[str, object]

HANG_S = 1500  # ten times what the longest command needs on an idle machine


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str  # what the command wrote, output and errors
    stderr: str  # what run-guest says, and the console when the guest died


def arguments(options: Options) -> list[str]:
    """kernel="612", second=True, ns_option=["ms=8"] as options of run-guest."""
    words = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif value is not False:
            values = value if isinstance(value, list | tuple) else [value]
            words += [f"{flag}={one}" for one in values]
    return words


def run(*command: str | Path, cwd: Path = ROOT, **options: object) -> Done:
    """Boots a guest for one command; the options are those of run-guest."""
    done = subprocess.run(
        [RUN_GUEST, *arguments({"limit": HANG_S} | options), "--", *command],
        cwd=cwd,
        capture_output=True,
        text=True,
        errors="replace",
    )
    return Done(done.returncode, done.stdout, done.stderr)


PROBE = r"""
set -e
report() { printf '\n=== %s\n' "$1"; shift; "$@"; }
report release uname -r
report serials cat /sys/class/nvme/nvme*/serial
cd /sys/block
for device in nvme[01]n1; do
  report "$device" grep -H . $device/size $device/metadata_bytes $device/queue/* || true
  report "$device namespace" nvme id-ns /dev/$device -o json
  report "$device handles" nvme fdp status /dev/$device -o json || true
done
report configs nvme fdp configs /dev/nvme0 -e 1 -o json
"""


@dataclass(frozen=True)
class Facts:
    """What a guest's kernel and nvme-cli say about its namespaces."""

    release: tuple[int, ...]
    sections: dict[str, str]

    def queue(self, name: str, device: str = "nvme0n1") -> int:
        """A limit of the block device, by its name in sysfs; 0 where the kernel has none."""
        return self.sysfs(f"queue/{name}", device)

    def sysfs(self, name: str, device: str = "nvme0n1") -> int:
        for line in self.sections[device].splitlines():
            path, _, value = line.partition(":")
            if path == f"{device}/{name}":
                return int(value)
        return 0

    def namespace(self, device: str = "nvme0n1") -> dict:
        return json.loads(self.sections[f"{device} namespace"])

    def configuration(self) -> dict:
        return json.loads(self.sections["configs"])["configs"][0]

    def handles(self) -> dict[int, int]:
        """PID to RUH id, in the order in which the namespace lists them."""
        listed = json.loads(self.sections["nvme0n1 handles"])["ruhss"]
        return {handle["pid"]: handle["ruhid"] for handle in listed}


@functools.cache
def facts(**options: object) -> Facts:
    """Facts of a guest with these options; each set of options is booted once."""
    done = run(PROBE, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    sections = {}
    for part in done.stdout.split("\n=== ")[1:]:
        title, _, text = part.partition("\n")
        sections[title] = text
    release = sections["release"].split("-")[0].split("+")[0]
    return Facts(tuple(int(number) for number in release.split(".")), sections)
