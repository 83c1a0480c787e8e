#!/usr/bin/env python3
"""Counts the results of one stage of ./run-tests from its JUnit XML files.

Prints "passed failed skipped" on the first line; then one line for each reason to skip, starting
with "skipped", and for each failed test with "failed", followed by its output, indented. A stage
whose command failed without any failed test (it crashed, or did not build) counts as one failure.
A test that was many of GoogleTest's at once (a shard) counts as those that --shards has of it.
"""

from __future__ import annotations

import argparse
import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

MAX_OUTPUT_LINES = 40


@dataclass
class Case:
    name: str
    outcome: str  # passed, failed, skipped
    text: str  # why it was skipped, or what a failed test wrote


def cases_of(path: Path) -> list[Case]:
    found = []
    for case in ET.parse(path).getroot().iter("testcase"):
        name = case.get("name", "?")
        output = "\n".join(filter(None, (case.findtext("system-out"), case.findtext("failure"))))
        failure = case.find("failure") if case.find("failure") is not None else case.find("error")
        skipped = case.find("skipped")
        if failure is not None:
            text = output or failure.get("message") or failure.text or ""
            found.append(Case(name, "failed", text))
        elif case.get("status") == "notrun" and not skipped_itself(skipped):
            found.append(Case(name, "failed", reason_of(skipped)))
        elif skipped is not None:
            found.append(Case(name, "skipped", skip_reason(skipped, output)))
        else:
            found.append(Case(name, "passed", ""))
    return found


def expanded(cases: list[Case], shards: Path) -> list[Case]:
    """What GoogleTest wrote of its tests instead of the shard that they were in.

    A shard that failed without any failed test (it crashed, or a sanitizer complained at its end)
    counts as one failure beside them.
    """
    found = []
    for case in cases:
        path = shards / f"{case.name}.xml"
        inner = gtest_cases_of(path) if path.exists() else [case]
        found += inner
        if case.outcome == "failed" and all(one.outcome != "failed" for one in inner):
            found.append(case)
    return found


def gtest_cases_of(path: Path) -> list[Case]:
    found = []
    for case in ET.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        failures, skipped = case.findall("failure"), case.find("skipped")
        if failures:
            found.append(Case(name, "failed", "\n".join(one.text or "" for one in failures)))
        elif skipped is not None or case.get("status") == "notrun":
            _, _, reason = reason_of(skipped).partition("\n")  # the first line is the place
            found.append(Case(name, "skipped", " ".join(reason.split()) or "no reason given"))
        else:
            found.append(Case(name, "passed", ""))
    return found


def reason_of(skipped: ET.Element | None) -> str:
    return "" if skipped is None else skipped.get("message") or skipped.text or ""


def skipped_itself(skipped: ET.Element | None) -> bool:
    """Whether the test ran and chose to skip, to ctest: not that it could not be started."""
    return reason_of(skipped).startswith("SKIP_")


def skip_reason(skipped: ET.Element, output: str) -> str:
    """GoogleTest prints the reason after "Skipped"; pytest has it in the message."""
    googletest = re.search(r"^\S+: Skipped\n((?:(?!\[).*\n?)+)", output, re.MULTILINE)
    reason = googletest.group(1) if googletest else reason_of(skipped)
    return " ".join(reason.split()) or "no reason given"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exit-code", type=int, required=True, help="of the stage's command")
    parser.add_argument("--stage", required=True)
    parser.add_argument("--shards", type=Path, help="where GoogleTest wrote SHARD.xml")
    parser.add_argument("xml", type=Path, nargs="*")
    args = parser.parse_args()
    cases: list[Case] = []
    for path in args.xml:
        try:
            found = cases_of(path)
            cases += expanded(found, args.shards) if args.shards else found
        except (OSError, ET.ParseError) as error:
            cases.append(Case(f"results of {args.stage}", "failed", f"{path}: {error}"))
    if not args.xml and args.exit_code == 0:
        cases.append(Case(args.stage, "passed", ""))
    if args.exit_code != 0 and all(case.outcome != "failed" for case in cases):
        cases.append(Case(f"stage {args.stage}", "failed", f"exit code {args.exit_code}"))
    counts = [sum(c.outcome == o for c in cases) for o in ("passed", "failed", "skipped")]
    print(*counts)
    skipped: dict[str, list[str]] = {}
    for case in cases:
        if case.outcome == "skipped":
            skipped.setdefault(case.text, []).append(case.name)
    for reason, names in skipped.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        print(f"skipped {names[0]}{more}: {reason}")
    for case in cases:
        if case.outcome == "failed":
            print(f"failed {case.name}")
            lines = case.text.strip().splitlines()
            if len(lines) > MAX_OUTPUT_LINES:
                half = MAX_OUTPUT_LINES // 2
                lines[half:-half] = [f"… {len(lines) - 2 * half} lines, see build/logs …"]
            for line in lines:
                print(f"    {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
