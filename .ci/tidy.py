#!/usr/bin/env python3
"""clang-tidy over the sources that a build directory compiles; a finding is an error.

What passed is not checked again while the file, all headers and the configuration stay as they
are (stamps in build/tidy). Tests are left out: their macros cost most of the time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("src", "python/module", "bench")
STAMPS = ROOT / "build" / "tidy"
TIDY = "clang-tidy-19"


def common_key() -> bytes:
    """What all checks depend on: the configuration and every header."""
    digest = hashlib.sha256((ROOT / ".clang-tidy").read_bytes())
    digest.update(subprocess.run([TIDY, "--version"], stdout=subprocess.PIPE, check=True).stdout)
    for folder in ("include", *FOLDERS):
        for header in sorted((ROOT / folder).rglob("*.hpp")):
            digest.update(str(header).encode() + b"\0" + header.read_bytes())
    return digest.digest()


def check(build: Path, source: Path, command: str, key: bytes) -> tuple[Path, str, float]:
    """Findings of one source (empty when it is clean), and the seconds it took."""
    digest = hashlib.sha256(key + command.encode() + source.read_bytes()).hexdigest()
    stamp = STAMPS / digest
    if stamp.exists():
        return source, "", 0.0
    start = time.monotonic()
    done = subprocess.run(
        [TIDY, "--quiet", "-p", str(build), str(source)],
        capture_output=True,
        text=True,
    )
    findings = "" if done.returncode == 0 else done.stdout + done.stderr
    if not findings:
        stamp.touch()
    return source, findings, time.monotonic() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, help="build directory with compile_commands.json")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    commands = json.loads((args.build / "compile_commands.json").read_text())
    wanted = tuple(str(ROOT / folder) + "/" for folder in FOLDERS)
    sources = {Path(c["file"]): c["command"] for c in commands if c["file"].startswith(wanted)}
    if not sources:
        print(f"{args.build} compiles nothing under {', '.join(FOLDERS)}", file=sys.stderr)
        return 1
    STAMPS.mkdir(parents=True, exist_ok=True)
    key = common_key()
    failed = 0
    with ThreadPoolExecutor(args.jobs) as pool:
        runs = [pool.submit(check, args.build, *item, key) for item in sorted(sources.items())]
        for run in runs:
            source, findings, seconds = run.result()
            state = "FINDINGS" if findings else f"{seconds:.1f} s" if seconds else "unchanged"
            print(f"{source.relative_to(ROOT)}: {state}", flush=True)
            if findings:
                failed += 1
                print(findings, flush=True)
    print(f"{len(sources)} sources, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
