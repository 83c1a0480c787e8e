"""The quickstart: real LMCache over fdpstore, stored, restarted, loaded back, every byte checked.

Replays a trace in Mooncake format through LMCache's StorageManager (fdpstore/replay.py) in one
process, then again in a new one that finds everything in the store, and prints a report.
``./quickstart`` in the source tree installs and builds what this needs, then runs it.

Exit code: 0 when every byte was right and nothing was lost, 1 when not, 2 for a bad option.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

MARKER = "made-by-fdpstore-quickstart"
MIN_L1_BYTES = 256 << 20
MAX_CHUNK_KIB = 64 << 10
LOG_TAIL_LINES = 25


class BadInput(Exception):
    """Something the user gave cannot be used; the message names it and the remedy."""


# -- options ---------------------------------------------------------------------------------------


def parse_size(text: str) -> int:
    """Bytes from "2GiB", "500 MB", "1073741824"."""
    units = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
    units |= {unit + "ib": size for unit, size in units.items() if unit in "kmgt" and unit}
    units |= {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
    number = text.strip().rstrip("aAbBgGiIkKmMtT ")
    unit = text.strip()[len(number) :].strip().lower()
    try:
        return int(float(number) * units[unit])
    except (ValueError, KeyError):
        raise argparse.ArgumentTypeError(f"'{text}' is no size; write e.g. 2GiB") from None


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="quickstart",
        description=(
            "Stores the KV chunks of a trace's requests through real LMCache and fdpstore, "
            "restarts, loads every chunk back and checks every byte."
        ),
    )
    parser.add_argument(
        "--path",
        type=Path,
        required=True,
        help="directory for the data; made when missing (./quickstart: build/quickstart-data)",
    )
    parser.add_argument(
        "--layout",
        choices=("segment", "prompt", "object"),
        default="segment",
        help="how objects lie in files: log segments, files per prompt, one file per object as "
        "LMCache's fs adapter (default: %(default)s)",
    )
    parser.add_argument(
        "--policy",
        default=None,
        help="placement policy: a shipped name such as separated, tenant, per-prompt, or a file",
    )
    parser.add_argument(
        "--trace",
        type=Path,
        required=True,
        help="requests in Mooncake format, one JSON object a line (./quickstart: ours)",
    )
    parser.add_argument("--requests", type=int, help="only the first N requests of the trace")
    parser.add_argument(
        "--chunk-kib", type=int, default=1024, help="size of a chunk in KiB (default: %(default)s)"
    )
    parser.add_argument(
        "--capacity",
        type=parse_size,
        help="bound on disk use, e.g. 2GiB (default: half as much again as the trace needs)",
    )
    parser.add_argument(
        "--keep", action="store_true", help="go on with the store of an earlier run, not a new one"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--no-compare",
        action="store_true",
        help="leave out the comparison of placement policies on a simulated SSD",
    )
    hidden = argparse.SUPPRESS
    parser.add_argument("--compare-out", type=Path, help=hidden)  # where the comparison goes
    parser.add_argument("--adapter-json", help=hidden)  # another L2 adapter; {path} is replaced
    parser.add_argument("--command", default="fdpstore", help=hidden)  # how to call the CLI
    parser.add_argument("--check", action="store_true", help=hidden)  # check options, do nothing
    parser.add_argument("--phase", choices=("store", "load"), help=hidden)
    parser.add_argument("--l1-bytes", type=int, help=hidden)
    parser.add_argument("--result", type=Path, help=hidden)
    args = parser.parse_args(argv)
    if args.requests is not None and args.requests < 1:
        parser.error(f"--requests is {args.requests}; give at least 1")
    if not 1 <= args.chunk_kib <= MAX_CHUNK_KIB:
        parser.error(f"--chunk-kib is {args.chunk_kib}; give 1 to {MAX_CHUNK_KIB}")
    return args


@dataclass(frozen=True)
class Workload:
    """What a trace asks for: (tenant, block ids) of each request."""

    requests: list[tuple[str, tuple[int, ...]]]
    distinct: int  # chunks that differ
    longest: int  # chunks of the longest request

    @property
    def tenants(self) -> list[str]:
        return sorted({tenant for tenant, _ in self.requests})


def read_trace(path: Path, limit: int | None) -> Workload:
    """Reads Mooncake JSONL; the optional field `tenant` becomes LMCache's cache_salt."""
    requests: list[tuple[str, tuple[int, ...]]] = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if limit is not None and len(requests) >= limit:
                    break
                if line.strip():
                    requests.append(parse_line(line, f"{path}:{number}"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"trace {path} cannot be read: {error}") from None
    if not requests:
        raise BadInput(f"trace {path} has no request; each line is a JSON object with hash_ids")
    return Workload(
        requests=requests,
        distinct=len({(tenant, chunk) for tenant, chunks in requests for chunk in chunks}),
        longest=max(len(chunks) for _, chunks in requests),
    )


def parse_line(line: str, where: str) -> tuple[str, tuple[int, ...]]:
    try:
        record = json.loads(line)
        ids, tenant = record["hash_ids"], record.get("tenant", "")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise BadInput(f"{where}: not a JSON object with hash_ids (Mooncake format)") from None
    if not isinstance(ids, list) or not ids or not all(type(i) is int and i >= 0 for i in ids):
        raise BadInput(f"{where}: hash_ids must be a non-empty list of numbers from 0")
    if not isinstance(tenant, str) or len(tenant) > 128 or set(tenant) & set("@/\\\0"):
        raise BadInput(f"{where}: tenant must be text of at most 128 characters without @ / \\")
    return tenant, tuple(ids)


# -- one phase, in a process of its own ------------------------------------------------------------


class Progress:
    """One line that is rewritten on a terminal, else a line every ten seconds."""

    def __init__(self, stream: TextIO, label: str, total: int) -> None:
        self.stream, self.label, self.total = stream, label, total
        self.tty = stream.isatty()
        self.start = self.shown = time.monotonic()

    def step(self, done: int) -> None:
        now = time.monotonic()
        if now - self.shown < (0.2 if self.tty else 10) and done < self.total:
            return
        self.shown = now
        text = f"{self.label} {done}/{self.total} requests, {now - self.start:.1f} s"
        self.stream.write(f"\r\x1b[K{text}" if self.tty else f"{text}\n")
        if self.tty and done == self.total:
            self.stream.write("\n")
        self.stream.flush()


def run_phase(args: argparse.Namespace) -> int:
    """Store or load, in this process; the result goes to a file, LMCache's log to stderr."""
    try:
        report = replay_trace(args)
    except Exception as error:  # whatever fails here, the parent says it in one line
        traceback.print_exc()
        report = {"error": str(error) or repr(error)}
    args.result.write_text(json.dumps(report, default=str))
    return 0


def replay_trace(args: argparse.Namespace) -> dict[str, Any]:
    from fdpstore.replay import Replay, Request

    workload = read_trace(args.trace, args.requests)
    requests = [Request(tenant, chunks) for tenant, chunks in workload.requests]
    label = "storing" if args.phase == "store" else "loading"
    with os.fdopen(int(os.environ["FDPSTORE_PROGRESS_FD"]), "w") as stream:
        progress = Progress(stream, label, len(requests))
        replay = Replay(args.adapter_json, args.chunk_kib << 10, args.l1_bytes)
        start = time.monotonic()
        try:
            run = replay.store_all if args.phase == "store" else replay.load_all
            run(requests, progress.step)
            return replay.report(time.monotonic() - start)
        finally:
            replay.close()


def start_phase(args: argparse.Namespace, phase: str, adapter: str, l1_bytes: int) -> dict:
    """Runs a phase in a new process; returns its report."""
    log_path = args.path / f"{phase}.log"
    progress_fd = os.dup(sys.stderr.fileno())  # the child's stderr is its log
    with tempfile.TemporaryDirectory() as scratch, log_path.open("wb") as log:
        result = Path(scratch) / "result.json"
        command = [sys.executable, "-m", "fdpstore.quickstart", "--phase", phase]
        command += ["--path", str(args.path), "--trace", str(args.trace)]
        command += ["--chunk-kib", str(args.chunk_kib), "--l1-bytes", str(l1_bytes)]
        command += ["--adapter-json", adapter, "--result", str(result)]
        if args.requests is not None:
            command += ["--requests", str(args.requests)]
        environment = {"LMCACHE_LOG_LEVEL": "WARNING"} | dict(os.environ)
        environment["FDPSTORE_PROGRESS_FD"] = str(progress_fd)
        try:
            code = subprocess.run(
                command, stdout=log, stderr=log, env=environment, pass_fds=[progress_fd]
            ).returncode
        finally:
            os.close(progress_fd)
        report = json.loads(result.read_text()) if code == 0 else {}
    if "error" in report:
        raise RuntimeError(f"the {phase} phase failed: {report['error']} (see {log_path})")
    if code == 0:
        return report
    lines = log_path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    reason = f"signal {-code}" if code < 0 else f"exit code {code}"
    raise RuntimeError(
        "\n".join([f"the {phase} process failed ({reason}):", *lines, f"(all of it: {log_path})"])
    )


# -- the whole run ---------------------------------------------------------------------------------


def prepare_directory(args: argparse.Namespace) -> Path:
    """The directory of the store; an earlier run's is emptied unless --keep. Never touches a
    directory that the quickstart did not make."""
    marker = args.path / MARKER
    try:
        args.path.mkdir(parents=True, exist_ok=True)
        others = {entry.name for entry in args.path.iterdir()} - {"lost+found"}
        if others and not marker.exists():
            raise BadInput(
                f"--path {args.path} holds other files; give an empty or a new directory"
            )
        marker.write_text("The quickstart of fdpstore may delete what is in this directory.\n")
        store = args.path / args.layout
        if store.exists() and not args.keep:
            shutil.rmtree(store)
    except OSError as error:
        raise BadInput(f"--path {args.path} cannot be used: {error}") from None
    return store


def adapter_config(args: argparse.Namespace, store: Path, workload: Workload) -> dict[str, Any]:
    """What a user passes to LMCache as --l2-adapter."""
    if args.adapter_json:
        return json.loads(args.adapter_json.replace("{path}", str(store)))
    chunk_bytes = args.chunk_kib << 10
    params: dict[str, Any] = {"base_path": str(store), "layout": args.layout}
    params["max_object_bytes"] = chunk_bytes  # small objects allow small segments, so more streams
    if args.capacity is not None:
        params["capacity_bytes"] = args.capacity
    elif args.layout != "object":
        wanted = workload.distinct * chunk_bytes * 3 // 2
        params["capacity_bytes"] = -(-max(wanted, 1 << 30) // (64 << 20)) * (64 << 20)
    if args.policy is not None:
        params["policy"] = args.policy
    return {
        "type": "plugin",
        "module_path": "fdpstore.lmcache",
        "class_name": "FdpL2Adapter",
        "adapter_params": params,
    }


def check_space(args: argparse.Namespace, store: Path, config: dict, workload: Workload) -> None:
    data = workload.distinct * (args.chunk_kib << 10)
    need = min(data + data // 8, config.get("adapter_params", {}).get("capacity_bytes", 1 << 62))
    free = shutil.disk_usage(args.path).free + disk_use(store)[1]
    if need > free:
        raise BadInput(
            f"{args.path} has {free / 2**30:.1f} GiB free, the trace needs {need / 2**30:.1f} GiB; "
            "use --requests, a smaller --chunk-kib or --capacity, or another --path"
        )


def disk_use(directory: Path) -> tuple[int, int]:
    """Files, and bytes allocated for them."""
    files = allocated = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                files += 1
                allocated += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return files, allocated


def run(args: argparse.Namespace) -> int:
    workload = read_trace(args.trace, args.requests)
    if args.check:
        return 0
    chunk_bytes = args.chunk_kib << 10
    args.path = args.path.absolute()
    store = prepare_directory(args)
    config = adapter_config(args, store, workload)
    check_space(args, store, config, workload)
    l1_bytes = max(MIN_L1_BYTES, 4 * workload.longest * chunk_bytes)
    adapter = json.dumps(config)
    print(
        f"{len(workload.requests)} requests, {workload.distinct} chunks of {args.chunk_kib} KiB "
        f"({workload.distinct * chunk_bytes / 1e9:.2f} GB), L1 {l1_bytes / 2**20:.0f} MiB",
        file=sys.stderr,
    )
    report = {
        "path": str(store),
        "chunk_bytes": chunk_bytes,
        "requests": len(workload.requests),
        "tenants": workload.tenants,
        "distinct_chunks": workload.distinct,
        "l2_adapter": config,
        "store": start_phase(args, "store", adapter, l1_bytes),
        "load": start_phase(args, "load", adapter, l1_bytes),
    }
    report["files"], report["disk_bytes"] = disk_use(store)
    report["problems"] = find_problems(report)
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        from fdpstore.quickstart_report import render

        print(render(report, args.command))
    for problem in report["problems"]:
        print(f"FAILED: {problem}", file=sys.stderr)
    if report["problems"]:
        return 1
    if args.compare_out is None or args.no_compare or args.json:
        return 0
    return compare_policies(args)


def compare_policies(args: argparse.Namespace) -> int:
    """Which placement policy costs how much, on a simulated SSD; ends by naming its report."""
    print("\nComparing placement policies on a simulated SSD …", flush=True)
    command = [args.command, "compare", "--quick", "--out", str(args.compare_out)]
    return subprocess.run(command, check=False).returncode


def find_problems(report: dict[str, Any]) -> list[str]:
    """What must not be: wrong bytes, failed stores, chunks lost though the store has room."""
    problems = []
    for phase in ("store", "load"):
        if count := report[phase]["wrong_count"]:
            problems.append(f"{count} chunks came back with WRONG BYTES in the {phase} phase:")
            problems += report[phase]["wrong"]
    if failed := report["store"]["store_failed"]:
        problems.append(f"{failed} chunks could not be stored; store.log beside the data says why")
    lost = report["load"]["distinct_missed"]
    reclaimed = report["store"]["adapter"].get("reclaimed_objects", 0)
    if lost and not reclaimed and not failed:
        problems.append(f"{lost} of {report['distinct_chunks']} chunks were lost by the restart")
    return problems


def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    try:
        return run_phase(args) if args.phase else run(args)
    except BadInput as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nquickstart: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
