#!/usr/bin/env python3
"""Keeps the README's tables of options and policies equal to what the program knows.

Without an option: prints what differs and exits with 1. With --write: mends the README.
Needs the fdpstore package (PYTHONPATH=build/dev/python).
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from pathlib import Path

import fdpstore

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


def options_table() -> str:
    rows = ["| option | values | default | layouts | |", "|---|---|---|---|---|"]
    for option in fdpstore.option_table():
        values = option["choices"].replace("|", ", ") or option["type"]
        if option["unit"]:
            values += f", {option['unit']}"
        default = f"`{option['default']}`" if option["default"] else ""
        layouts = option["layouts"]
        rows.append(f"| `{option['name']}` | {values} | {default} | {layouts} | {option['help']} |")
    return "\n".join(rows)


def policies_table() -> str:
    rows = ["| policy | what goes together |", "|---|---|"]
    for path in sorted((ROOT / "policies").glob("*.policy")):
        description = re.search(r"^description\s*=\s*(.+)$", path.read_text(), re.MULTILINE)
        rows.append(f"| `{path.stem}` | {description[1].strip() if description else ''} |")
    return "\n".join(rows)


def mended(text: str) -> str:
    """The README with its tables made anew between their markers."""
    for name, table in (("options", options_table()), ("policies", policies_table())):
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"README.md lacks the markers <!-- {name} --> … <!-- /{name} -->")
        text = pattern.sub(lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}", text)
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    before = README.read_text()
    after = mended(before)
    if args.write:
        README.write_text(after)
        return 0
    lines = [text.splitlines(keepends=True) for text in (before, after)]
    sys.stdout.writelines(difflib.unified_diff(*lines, "README.md", "program"))
    return int(before != after)


if __name__ == "__main__":
    sys.exit(main())
