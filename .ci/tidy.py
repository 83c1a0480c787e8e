#!/usr/bin/env python3
"""clang-tidy over the sources that a build directory compiles; a finding is an error.

Sources that are compiled together (unity builds) are looked at as one file that holds their text,
so that the headers of eight are read and matched once, and so that the static analyzer, which
looks at the main file only, sees them all. --thorough looks at each source alone, so that each
is known to compile alone, and gives the analyzer its default bound: several times as long.

What passed is not checked again while the sources, all headers and the configuration stay as they
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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("src", "python/module", "bench")
STAMPS = ROOT / "build" / "tidy"
TIDY = "clang-tidy-19"
INCLUDED = re.compile(r'^#include "(/.*\.cpp)"$', re.MULTILINE)
INCLUDE = re.compile(r"#include ([<\"][^>\"]+)")
NODES = 20000  # of the analyzer's graph, of one function


@dataclass
class Job:
    file: Path  # what the compiler compiles
    command: list[str]
    sources: list[Path]

    @property
    def name(self) -> str:
        more = f" and {len(self.sources) - 1} more" if len(self.sources) > 1 else ""
        return f"{self.sources[0].relative_to(ROOT)}{more}"

    def digest(self, key: bytes) -> str:
        parts = [key, "\0".join(self.command).encode()]
        parts += [source.read_bytes() for source in self.sources]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()


def common_key() -> bytes:
    """What all checks depend on: the configuration and every header."""
    digest = hashlib.sha256((ROOT / ".clang-tidy").read_bytes() + Path(__file__).read_bytes())
    digest.update(subprocess.run([TIDY, "--version"], stdout=subprocess.PIPE, check=True).stdout)
    for folder in ("include", *FOLDERS):
        for header in sorted((ROOT / folder).rglob("*.hpp")):
            digest.update(str(header).encode() + b"\0" + header.read_bytes())
    return digest.digest()


def sources_of(file: Path) -> list[Path]:
    """The sources of a compiled file that are looked at: itself, or what a unity file includes."""
    found = [Path(name) for name in INCLUDED.findall(file.read_text())] or [file]
    return [one for one in found if any(one.is_relative_to(ROOT / f) for f in FOLDERS)]


def jobs_of(build: Path, alone: bool) -> list[Job]:
    jobs = []
    for entry in json.loads((build / "compile_commands.json").read_text()):
        file = Path(entry["file"])
        # Warnings are the compiler's, which knows its own options.
        command = [p for p in shlex.split(entry["command"]) if not p.startswith("-W")]
        sources = sources_of(file)
        if alone:
            jobs += [Job(file, command, [source]) for source in sources]
        elif sources:
            jobs.append(Job(file, command, sources))
    return jobs


def write_as_one(sources: list[Path], out: Path) -> list[tuple[Path, int]]:
    """Writes the text of `sources` to `out`. Returns the source and the number of each line."""
    text, origin, earlier = [], [], set()
    for source in sources:
        included = set()
        for number, line in enumerate(source.read_text().splitlines(), 1):
            header = INCLUDE.match(line)
            if header:
                included.add(header[1])
            # Again after another source, it would be found to be a duplicate.
            text.append("" if header and header[1] in earlier else line)
            origin.append((source, number))
        earlier |= included
    out.write_text("\n".join(text) + "\n")
    return origin


def check(job: Job, key: bytes, options: list[str]) -> tuple[str, float]:
    """Findings (empty when it is clean), and the seconds it took."""
    digest = job.digest(key + "\0".join(options).encode())
    stamp = STAMPS / digest
    if stamp.exists():
        return "", 0.0
    start = time.monotonic()
    one = STAMPS / f"{digest}.cpp"
    origin = write_as_one(job.sources, one)
    command = [str(one) if part == str(job.file) else part for part in job.command[1:]]
    command += [f"-iquote{folder}" for folder in sorted({s.parent for s in job.sources})]
    done = subprocess.run(
        [TIDY, f"--config-file={ROOT}/.clang-tidy", "--quiet", *options, one, "--", *command],
        capture_output=True,
        text=True,
    )
    one.unlink()
    if done.returncode == 0:
        stamp.touch()
        return "", time.monotonic() - start

    def where(match: re.Match[str]) -> str:
        source, line = origin[int(match[1]) - 1]
        return f"{source}:{line}:"

    findings = re.sub(rf"{re.escape(str(one))}:(\d+):", where, done.stdout + done.stderr)
    return findings, time.monotonic() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, help="build directory with compile_commands.json")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--thorough", action="store_true", help="each source alone, default bound")
    args = parser.parse_args()
    jobs = jobs_of(args.build, args.thorough)
    if not jobs:
        print(f"{args.build} compiles nothing under {', '.join(FOLDERS)}", file=sys.stderr)
        return 1
    STAMPS.mkdir(parents=True, exist_ok=True)
    key = common_key()
    bound = ["-Xclang", "-analyzer-config", "-Xclang", f"max-nodes={NODES}"]
    options = [] if args.thorough else [f"--extra-arg={part}" for part in bound]
    failed = 0
    with ThreadPoolExecutor(args.jobs) as pool:
        runs = [(job, pool.submit(check, job, key, options)) for job in jobs]
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
