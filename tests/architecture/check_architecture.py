#!/usr/bin/env python3
"""The rules of the source tree that a compiler does not check (README, "How it is organised").

  includes   a layer includes only what it may; include/fdpstore names no dependency's headers
  headers    every header compiles alone
  sizes      files of at most 500 lines, lines of at most 100 columns

One rule a run, so that each is a test of its own. Findings are printed as file:line: text.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Folder → the folders whose headers it may include, besides its own and include/fdpstore.
MAY_INCLUDE: dict[str, set[str]] = {
    "include/fdpstore": set(),
    "src/common": set(),
    "src/io": {"src/common"},
    "src/format": {"src/common"},
    "src/placement": {"src/common"},
    "src/core": {"src/common", "src/format"},
    "src/backends": {"src/common", "src/io"},
    "src/objects": {"src/common", "src/io", "src/backends"},
    "src/store": {
        "src/common",
        "src/io",
        "src/format",
        "src/placement",
        "src/core",
        "src/backends",
        "src/objects",
        "src/ftl",
        "src/trace",
    },
    "src/ftl": {"src/common"},
    "src/trace": {"src/common"},
    "src/compare": {"src/common", "src/trace", "src/ftl", "src/store"},
    "src/cli": {"src/common", "src/store", "src/trace", "src/compare"},
    "python/module": {"src/store"},
}
# What only the named folders may include: a dependency has one home.
HOMES: dict[str, set[str]] = {
    r"liburing(\.h|/.*)": {"src/io"},
    r"pybind11/.*": {"python/module"},
    r"linux/.*|sys/ioctl\.h": {"src/io", "src/backends", "src/objects"},
    r"spdlog/.*": {folder for folder in MAY_INCLUDE if folder != "include/fdpstore"},
}
FREE_HEADERS = {"linux/fs.h", "linux/magic.h", "linux/falloc.h"}  # constants of file system calls
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
MAX_LINES = 500
MAX_COLUMNS = 100


def files(root: Path, folders: list[str], *suffixes: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.suffix in suffixes:
                yield path


def layer_of(relative: str) -> str | None:
    return next((f for f in MAY_INCLUDE if relative.startswith(f + "/")), None)


def resolve(root: Path, source: Path, name: str) -> str | None:
    """The folder a quoted include lies in, or None when there is no such file."""
    for base in (root / "include", root / "src", source.parent):
        if (base / name).is_file():
            relative = (base / name).resolve().relative_to(root.resolve())
            return str(relative.parent)
    return None


def check_includes(root: Path) -> Iterator[str]:
    for path in files(root, ["include", "src", "python/module"], ".hpp", ".cpp"):
        relative = str(path.relative_to(root))
        layer = layer_of(relative)
        if layer is None:
            yield f"{relative}:1: in no layer; add its folder to MAY_INCLUDE"
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if match := INCLUDE.match(line):
                problem = check_include(root, path, layer, match[1] == '"', match[2])
                if problem:
                    yield f"{relative}:{number}: {problem}"


def check_include(root: Path, path: Path, layer: str, quoted: bool, name: str) -> str | None:
    if not quoted:
        for pattern, homes in HOMES.items():
            if re.fullmatch(pattern, name) and layer not in homes and name not in FREE_HEADERS:
                return f"<{name}> belongs to {', '.join(sorted(homes))}, not to {layer}"
        return None
    folder = resolve(root, path, name)
    if folder is None:
        return f'"{name}" is no file of this project; write <{name}>'
    target = layer_of(folder + "/")
    if target in (layer, "include/fdpstore") or target in MAY_INCLUDE[layer]:
        return None
    return f'{layer} must not include "{name}" of {target or folder}'


def check_sizes(root: Path) -> Iterator[str]:
    folders = ["include", "src", "tests", "python", "bench", ".ci"]
    for path in files(root, folders, ".hpp", ".cpp", ".py", ".pyi"):
        relative = path.relative_to(root)
        lines = path.read_text().splitlines()
        if len(lines) > MAX_LINES:
            yield f"{relative}:{len(lines)}: {len(lines)} lines, at most {MAX_LINES}: split it"
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_COLUMNS:
                yield f"{relative}:{number}: {len(line)} columns, at most {MAX_COLUMNS}"


def comes_first(header: Path, base: Path) -> bool:
    """Whether the source of its name includes it first: then the build has compiled it alone."""
    source = header.with_suffix(".cpp")
    if not source.is_file():
        return False
    first = next(filter(None, map(INCLUDE.match, source.read_text().splitlines())), None)
    return first is not None and first[2] == str(header.relative_to(base))


def check_headers(root: Path, compiler: list[str]) -> Iterator[str]:
    """`compiler` is the command with its flags; -fsyntax-only and the include paths are added."""
    headers = [
        *files(root, ["include"], ".hpp"),
        *(h for h in files(root, ["src"], ".hpp") if not comes_first(h, root / "src")),
    ]
    paths = ["-I", str(root / "include"), "-I", str(root / "src")]

    def compile_alone(header: Path) -> str:
        base = root / ("include" if (root / "include") in header.parents else "src")
        return subprocess.run(
            [*compiler, "-fsyntax-only", *paths, "-x", "c++", "-"],
            input=f'#include "{header.relative_to(base)}"\n',
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ).stdout

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for header, output in zip(headers, pool.map(compile_alone, headers), strict=True):
            if output:
                yield f"{header.relative_to(root)}:1: does not compile alone:\n{output}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rule", choices=("includes", "headers", "sizes"))
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("compiler", nargs="*", help="after --: the compiler and its flags")
    args = parser.parse_args()
    root = args.root.resolve()
    if args.rule == "includes":
        findings = list(check_includes(root))
    elif args.rule == "sizes":
        findings = list(check_sizes(root))
    else:
        findings = list(check_headers(root, args.compiler or ["g++", "-std=c++23"]))
    print("\n".join(findings) or "nothing found")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
