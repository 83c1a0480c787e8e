"""The quickstart's report, as text."""

from __future__ import annotations

import shlex
from typing import Any

MAX_STREAMS = 6  # listed by name


def render(report: dict[str, Any], command: str) -> str:
    """`report` is what quickstart.run() collects; `command` is how the user calls the CLI."""
    store, load = report["store"], report["load"]
    status = load["adapter"]
    rows = [
        ("requests", f"{report['requests']}, tenants: {', '.join(map(name, report['tenants']))}"),
        (
            "stored",
            f"{store['stored']} chunks of {report['chunk_bytes'] >> 10} KiB"
            + (f", {store['store_failed']} failed" if store["store_failed"] else "")
            + already_there(report),
        ),
        ("", rates(store["store"])),
        ("hit while storing", share(store["hits"], store["references"])),
        ("restart", reopened(load)),
        (
            "loaded after it",
            share(load["hits"], load["references"]) + f", {load['loaded']} from the store",
        ),
        ("", rates(load["load"])),
        (
            "verified",
            f"{(store['verified_bytes'] + load['verified_bytes']) / 1e9:.2f} GB, "
            f"{store['wrong_count'] + load['wrong_count']} wrong chunks",
        ),
        *missed(report),
        ("on disk", f"{report['files']} files, {report['disk_bytes'] / 1e9:.2f} GB"),
        ("", f"in {report['path']}"),
        *streams(store["adapter"]),
        *placement(status),
        *[("note", warning) for warning in warnings(status)],
    ]
    width = max(len(label) for label, _ in rows) + 2
    lines = ["", *(f"  {label:<{width}}{text}" for label, text in rows), ""]
    return "\n".join(lines + next_steps(report, command))


def name(tenant: str) -> str:
    return tenant or "(none)"


def share(part: int, whole: int) -> str:
    return f"{part} of {whole} chunks asked for ({100 * part / max(whole, 1):.1f} %)"


def reopened(load: dict[str, Any]) -> str:
    status = load["adapter"]
    if "open_seconds" not in status:
        return "a new process"
    return (
        f"a new process; the store was open after {status['open_seconds'] * 1e3:.0f} ms "
        f"with {status['live_objects']} chunks"
    )


def rates(io: dict[str, Any]) -> str:
    if io["gb_per_s"] is None:
        return "nothing to do"
    return (
        f"{io['bytes'] / 1e9:.2f} GB at {io['gb_per_s']:.2f} GB/s; "
        f"{io['tasks']} tasks, p50 {io['p50_ms']:.1f} ms, p99 {io['p99_ms']:.1f} ms"
    )


def already_there(report: dict[str, Any]) -> str:
    count = report["distinct_chunks"] - report["store"]["written"]
    return f"; {count} were there already" if count > 0 else ""


def missed(report: dict[str, Any]) -> list[tuple[str, str]]:
    count = report["load"]["distinct_missed"]
    if not count:
        return []
    return [("missing", f"{count} of {report['distinct_chunks']} chunks: reclaimed for room")]


def streams(status: dict[str, Any]) -> list[tuple[str, str]]:
    used = [stream for stream in status.get("streams", []) if stream["written_bytes"]]
    used.sort(key=lambda stream: -stream["written_bytes"])
    rows = [
        f"{stream['name']}: {stream['written_bytes'] / 1e9:.2f} GB, "
        f"lifetime {stream['lifetime']}, handle {stream['handle']}"
        for stream in used[:MAX_STREAMS]
    ]
    if len(used) > MAX_STREAMS:
        rows.append(f"and {len(used) - MAX_STREAMS} with less")
    rows += dict.fromkeys(stream["note"] for stream in used if stream["note"])
    return [("streams" if not i else "", row) for i, row in enumerate(rows)]


def warnings(status: dict[str, Any]) -> list[str]:
    """But for those that stand with the streams."""
    notes = {stream["note"] for stream in status.get("streams", [])}
    return [warning for warning in status.get("warnings", []) if warning not in notes]


def placement(status: dict[str, Any]) -> list[tuple[str, str]]:
    real = status.get("placement")
    if not real:
        return [("placement", "this adapter does not report any")]
    device = "reaches the device" if real["reaches_device"] else "does not reach the device"
    return [
        ("placement asked", f"{real['asked']}, {real['strictness']}"),
        ("effective", f"{real['effective']} ({real['mechanism']}), {device}"),
        ("", real["reason"]),
        ("I/O", "O_DIRECT" if status["direct_io"] else "buffered: loads may come from memory"),
    ]


def next_steps(report: dict[str, Any], command: str) -> list[str]:
    params = report["l2_adapter"].get("adapter_params", {})
    if not params:
        return []
    options = [f"--{key.replace('_', '-')} {shlex.quote(str(params[key]))}" for key in params]
    return [
        "Next, with a directory and a capacity of your own:",
        "  lmcache server --l1-size-gb 20 --eviction-policy LRU --l2-adapter \\",
        f'    "$({command} configure {" ".join(options)})"',
        f"Look inside: {command} stat {shlex.quote(report['path'])}",
    ]
