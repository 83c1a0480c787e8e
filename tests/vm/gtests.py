"""GoogleTest programs of the build tree in a guest, each of their tests reported as one of pytest.

    test_io = gtests("test_unit_io", "NvmeGuest*", kernel="612", second=True)

defines test_io[NvmeGuest.…] for every test that the filter selects. The guest is booted once, when
the first of them runs; options are those of run-guest.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import guest
import pytest

BUILD = Path(os.environ.get("FDPSTORE_BUILD_DIR") or guest.ROOT / "build" / "dev").absolute()

RESULT = re.compile(
    r"\[ RUN      \] (?P<name>\S+)\n(?P<output>(?:(?!\[ RUN      \]).*\n)*?.*?)"
    r"\[ +(?P<outcome>OK|FAILED|SKIPPED) +\] (?P=name)(?:,.*)? \(\d+ ms\)"
)


@dataclass(frozen=True)
class Result:
    outcome: str  # OK, FAILED, SKIPPED
    output: str


def gtests(program: str, name_filter: str, **options: object) -> Callable:
    """A test function for pytest, parametrised with the program's tests."""
    path = BUILD / "tests" / program
    names = list_tests(path, name_filter, options.get("env", []))

    @functools.cache
    def results() -> dict[str, Result]:
        done = guest.run(str(path), f"--gtest_filter={name_filter}", **options)
        return judge(names, done)

    @pytest.mark.parametrize("name", names or ["none"])
    def test(name: str) -> None:
        if not names:
            pytest.fail(f"{path} is not built, or has no tests {name_filter}", pytrace=False)
        result = results()[name]
        if result.outcome == "SKIPPED":
            pytest.skip(result.output.rpartition(": Skipped\n")[2])
        if result.outcome == "FAILED":
            pytest.fail(result.output, pytrace=False)

    return test


def list_tests(path: Path, name_filter: str, variables: str | list[str]) -> list[str]:
    """`variables`: as run-guest's --env, since what tests there are may depend on them."""
    if not path.exists():
        return []
    given = [variables] if isinstance(variables, str) else variables
    env = os.environ | dict(one.split("=", 1) for one in given if "=" in one)
    command = [path, "--gtest_list_tests", f"--gtest_filter={name_filter}"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
    names, suite = [], ""
    for line in listed.splitlines():
        word = line.split("#")[0].rstrip()
        if word.startswith("  "):
            names.append(suite + word.strip())
        elif word.endswith("."):
            suite = word
    return names


def judge(names: list[str], done: guest.Done) -> dict[str, Result]:
    """What became of each test; one without a result failed, and so did all when none ran."""
    found = {
        match["name"]: Result(match["outcome"], match["output"].strip())
        for match in RESULT.finditer(done.stdout.replace("\r\n", "\n"))
    }
    whole = f"exit code {done.returncode}\n{done.stdout[-8000:]}\n{done.stderr}"
    missing = Result("FAILED", f"no result; the program's output ends with:\n{whole}")
    results = {name: found.get(name, missing) for name in names}
    outcomes = {result.outcome for result in results.values()}
    if outcomes == {"SKIPPED"}:
        reasons = "\n".join(result.output for result in results.values())
        return dict.fromkeys(names, Result("FAILED", f"all of them were skipped:\n{reasons}"))
    if done.returncode != 0 and "FAILED" not in outcomes:
        failed = Result("FAILED", f"all of them passed, and then the program failed:\n{whole}")
        return dict.fromkeys(names, failed)
    return results
