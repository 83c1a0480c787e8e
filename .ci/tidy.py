#!/usr/bin/env python3
"""clang-tidy over the sources that a build directory compiles; a finding is an error.

In two passes, for time: its own checks over sources as they are compiled together (unity builds),
so that the standard's headers are matched once for eight sources; and the static analyzer, which
looks at the main file only, over each source alone, so that each is also known to compile alone.
--thorough gives the analyzer its default bound, and takes several times as long.

What passed is not checked again while the file, all headers and the configuration stay as they
are (stamps in build/tidy). Tests are left out: their macros cost most of the time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("src", "python/module", "bench")
STAMPS = ROOT / "build" / "tidy"
TIDY = "clang-tidy-19"
INCLUDED = re.compile(r'^#include "(/.*\.cpp)"$', re.MULTILINE)
# Where a finding in a source that another file includes counts: the sources are its "headers".
OURS = f"{ROOT}/(include/fdpstore|{'|'.join(FOLDERS)})/"
NODES = 20000  # of the analyzer's graph, of one function


@dataclass
class Job:
    name: str
    command: list[str]  # the compiler's
    file: Path  # what it compiles
    arguments: list[str]  # clang-tidy's
    sources: list[Path] = field(default_factory=list)

    def digest(self, key: bytes) -> str:
        parts = [key, "\0".join([*self.command, *self.arguments]).encode()]
        parts += [source.read_bytes() for source in self.sources]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()


def common_key() -> bytes:
    """What all checks depend on: the configuration and every header."""
    digest = hashlib.sha256((ROOT / ".clang-tidy").read_bytes())
    digest.update(subprocess.run([TIDY, "--version"], stdout=subprocess.PIPE, check=True).stdout)
    for folder in ("include", *FOLDERS):
        for header in sorted((ROOT / folder).rglob("*.hpp")):
            digest.update(str(header).encode() + b"\0" + header.read_bytes())
    return digest.digest()


def sources_of(file: Path) -> list[Path]:
    """The sources of a compiled file that are looked at: itself, or what a unity file includes."""
    found = [Path(name) for name in INCLUDED.findall(file.read_text())] or [file]
    return [one for one in found if any(one.is_relative_to(ROOT / f) for f in FOLDERS)]


def jobs_of(build: Path, thorough: bool) -> list[Job]:
    bound = ["-Xclang", "-analyzer-config", "-Xclang", f"max-nodes={NODES}"]
    analyzer = ["--checks=-*,clang-analyzer-*"]
    analyzer += [] if thorough else [f"--extra-arg={part}" for part in bound]
    checks = ["--checks=-clang-analyzer-*", f"--header-filter={OURS}"]
    together, alone = [], {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        file = Path(entry["file"])
        sources = sources_of(file)
        if not sources:
            continue
        # Warnings are the compiler's, which knows its own options.
        command = [p for p in shlex.split(entry["command"]) if not p.startswith("-W")]
        name = str(sources[0].relative_to(ROOT))
        if len(sources) > 1:
            name += f" and {len(sources) - 1} more"
        together.append(Job(name, command, file, checks, sources))
        for source in sources:
            one = [str(source) if part == str(file) else part for part in command]
            name = f"{source.relative_to(ROOT)} (analyzer)"
            alone[source] = Job(name, one, source, analyzer, [source])
    return together + [alone[source] for source in sorted(alone)]


def check(job: Job, key: bytes) -> tuple[str, float]:
    """Findings (empty when it is clean), and the seconds it took."""
    stamp = STAMPS / job.digest(key)
    if stamp.exists():
        return "", 0.0
    start = time.monotonic()
    done = subprocess.run(
        [
            TIDY,
            f"--config-file={ROOT}/.clang-tidy",
            "--quiet",
            *job.arguments,
            str(job.file),
            "--",
            *job.command[1:],
        ],
        capture_output=True,
        text=True,
    )
    findings = "" if done.returncode == 0 else done.stdout + done.stderr
    if not findings:
        stamp.touch()
    return findings, time.monotonic() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, help="build directory with compile_commands.json")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--thorough", action="store_true", help="the analyzer's default bound")
    args = parser.parse_args()
    jobs = jobs_of(args.build, args.thorough)
    if not jobs:
        print(f"{args.build} compiles nothing under {', '.join(FOLDERS)}", file=sys.stderr)
        return 1
    STAMPS.mkdir(parents=True, exist_ok=True)
    key = common_key()
    failed = 0
    with ThreadPoolExecutor(args.jobs) as pool:
        runs = [(job, pool.submit(check, job, key)) for job in jobs]
        for job, run in runs:
            findings, seconds = run.result()
            state = "FINDINGS" if findings else f"{seconds:.1f} s" if seconds else "unchanged"
            print(f"{job.name}: {state}", flush=True)
            if findings:
                failed += 1
                print(findings, flush=True)
    print(f"{len(jobs)} checks, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
