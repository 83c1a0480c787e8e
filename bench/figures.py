"""Reproduces the figures of the README's sections "Measured" and "Which policy?", its hard cases
(many tenants, a neighbour) aside: runs the programs of bench/ and the commands that it names, one
after the other, and keeps what they print.

    cmake --preset release && cmake --build build/release -j2
    pip install . lmcache==0.5.6 torch==2.13.0 lmcache-rust-raw-block-io
    python bench/figures.py --path /mnt/nvme/bench --out figures
    python bench/figures.py --path /mnt/nvme/bench --only growth,lookups

Each figure's output is in OUT/NAME.txt, measurements of the adapters also as JSON; OUT/figures.json
says on what machine they were made, by which commands, how long each took and how busy the machine
was before it. A figure that fails does not stop the others; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from machine import environment, warn_if_busy

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "bench"


@dataclass(frozen=True)
class Figure:
    name: str
    what: str
    command: list[str]


def figures_of(args: argparse.Namespace) -> list[Figure]:
    """All of them, in the README's order, those that need an idle disk together."""
    path, build, out = args.path, args.build, args.out
    fdpstore = str(build / "src/cli/fdpstore")
    compare_adapters = [sys.executable, str(BENCH / "compare_adapters.py")]
    compare_adapters += ["--rounds", str(args.rounds)]
    adapters = [*compare_adapters, "--path", str(path)]
    on_tmpfs = [*compare_adapters, "--path", "/dev/shm/fdpstore-bench", "--total-mib", "256"]
    recipes = ["chat", "rag", "agentic", "coding_agent", "mix-rawblock,scale=0.1"]
    recipes += ["mix-agentic,scale=0.1"]
    compare = [fdpstore, "compare", "--oracle", "--policy", "lifetime,adaptive"]
    compare += ["--mode", "separated"]
    generated = [*compare, "--capacity", "10%,30%", "--ru", "1/128"]
    for recipe in recipes:
        generated += ["--trace", f"gen:{recipe}"]
    published = [*compare, "--capacity", "5%,10%,20%,30%", "--ru", "1/128,1/600"]
    figures = [
        Figure(
            "directory",
            "stores, loads, lookups and deletes beside fs and fs_native",
            [*adapters, "--json", str(out / "directory.json")],
        ),
        Figure(
            "raw-file",
            "raw-block mode beside raw_block, on pre-sized files",
            [*adapters, "--raw", "--json", str(out / "raw-file.json")],
        ),
        Figure(
            "raw-loop",
            "the same on loop devices (root)",
            [*adapters, "--loop", "--json", str(out / "raw-loop.json")],
        ),
        Figure(
            "tmpfs",
            "without a device's limit: the same as the first, in /dev/shm",
            [
                *on_tmpfs,
                *["--only", "fs_native,segment,object", "--no-fio"],
                *["--json", str(out / "tmpfs.json")],
            ],
        ),
        Figure(
            "tmpfs-raw",
            "the same as the second, there",
            [*on_tmpfs, "--raw", "--json", str(out / "tmpfs-raw.json")],
        ),
        Figure(
            "latency",
            "one object at a time beside fs_native",
            [sys.executable, str(BENCH / "latency.py"), "--path", str(path)],
        ),
        Figure(
            "recovery",
            "open after kill -9 with 100,000 objects, beside raw_block",
            [sys.executable, str(BENCH / "recovery.py"), "--path", str(path)],
        ),
        Figure(
            "lookups",
            "lookups while stores saturate the disk",
            [str(build / "bench/fdpstore_bench_lookups"), str(path)],
        ),
        Figure(
            "growth",
            "memory, start-up and lookup pauses at 10^4 ... 10^7 objects",
            [str(build / "bench/fdpstore_bench_growth")],
        ),
        Figure(
            "ftl",
            "the simulated SSD alone",
            [str(build / "bench/fdpstore_bench_ftl")],
        ),
        Figure(
            "validation",
            "the simulated SSD against theory",
            [str(build / "tests/test_unit_ftl"), "--gtest_filter=*UniformRandom*:HotCold*"],
        ),
        Figure(
            "policies",
            "the comparison of policies on generated loads",
            [*generated, "--out", str(out / "policies")],
        ),
    ]
    if args.mooncake:
        figures.append(
            Figure(
                "mooncake",
                "the same on Mooncake's conversation trace",
                [*published, "--trace", str(args.mooncake), "--out", str(out / "mooncake")],
            )
        )
    return figures


def run(figure: Figure, out: Path) -> dict[str, object]:
    """Runs one; its output goes to the terminal and to OUT/NAME.txt."""
    load = os.getloadavg()[0]
    command = shlex.join(figure.command)
    print(f"\n== {figure.name}: {figure.what}\n   {command}", flush=True)
    warn_if_busy(load)
    begin = time.monotonic()
    with (out / f"{figure.name}.txt").open("w") as kept:
        try:
            process = subprocess.Popen(
                figure.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        except OSError as error:
            print(f"   {error}", flush=True)
            return {"command": command, "exit_code": None, "error": str(error)}
        assert process.stdout is not None
        for line in process.stdout:
            line = line.rsplit("\r", 1)[-1]  # what progress left before it
            kept.write(line)
            print(f"   {line}", end="", flush=True)
    seconds = time.monotonic() - begin
    return {
        "command": command,
        "exit_code": process.wait(),
        "seconds": round(seconds, 1),
        "load_average_before": load,
        "output": f"{figure.name}.txt",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--path", type=Path, required=True, help="directory to work in")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="default: figures")
    parser.add_argument("--build", type=Path, default=ROOT / "build/release")
    parser.add_argument("--rounds", type=int, default=15, help="of the comparisons of adapters")
    parser.add_argument(
        "--mooncake",
        type=Path,
        metavar="FILE",
        help="Mooncake's conversation trace, to compare on it",
    )
    parser.add_argument("--only", default="", help="comma-separated names; default: all")
    parser.add_argument("--list", action="store_true", help="print the figures and their commands")
    args = parser.parse_args()
    figures = figures_of(args)
    names = [figure.name for figure in figures]
    wanted = [name.strip() for name in args.only.split(",") if name.strip()] or names
    if unknown := [name for name in wanted if name not in names]:
        parser.error(f"unknown {', '.join(unknown)}; choose from {', '.join(names)}")
    chosen = [figure for figure in figures if figure.name in wanted]
    if args.list:
        for figure in chosen:
            print(f"{figure.name:<11} {figure.what}\n            {shlex.join(figure.command)}")
        return 0
    for figure in chosen:
        program = Path(figure.command[0])
        if not program.exists():
            parser.error(
                f"{program} is missing: cmake --preset release && cmake --build {args.build}"
            )
    args.path.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    result = {"environment": environment(args.path), "figures": {}}
    for name, value in result["environment"].items():
        print(f"{name}: {value}")
    for figure in chosen:
        result["figures"][figure.name] = run(figure, args.out)
        (args.out / "figures.json").write_text(json.dumps(result, indent=2) + "\n")
    failed = [name for name, done in result["figures"].items() if done["exit_code"] != 0]
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
