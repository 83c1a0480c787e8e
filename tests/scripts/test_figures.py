"""bench/figures.py runs what makes the README's figures, and says what went wrong."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def figures(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "bench/figures.py"), "--path", str(tmp_path / "data")]
    command += ["--out", str(tmp_path / "out"), "--build", str(tmp_path / "build"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def program(tmp_path: Path, name: str, script: str) -> None:
    path = tmp_path / "build/bench" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)


def test_output_machine_and_exit_codes_are_kept(tmp_path: Path) -> None:
    program(tmp_path, "fdpstore_bench_lookups", 'echo "looked up in $1"\n')
    program(tmp_path, "fdpstore_bench_growth", "echo half; exit 3\n")
    done = figures(tmp_path, "--only", "growth,lookups")
    assert done.returncode == 1
    assert "failed: growth" in done.stdout
    assert (tmp_path / "out/lookups.txt").read_text() == f"looked up in {tmp_path}/data\n"
    kept = json.loads((tmp_path / "out/figures.json").read_text())
    assert kept["environment"]["path"] == str(tmp_path / "data")
    assert kept["environment"]["cpus"] > 0
    assert kept["figures"]["lookups"]["exit_code"] == 0
    assert kept["figures"]["growth"]["exit_code"] == 3
    assert (tmp_path / "out/growth.txt").read_text() == "half\n"


def test_program_that_was_not_built_is_named_with_the_remedy(tmp_path: Path) -> None:
    done = figures(tmp_path, "--only", "ftl")
    assert done.returncode == 2
    assert "fdpstore_bench_ftl is missing: cmake --preset release" in done.stderr


def test_unknown_figure_is_named(tmp_path: Path) -> None:
    done = figures(tmp_path, "--only", "speed")
    assert done.returncode == 2
    assert "unknown speed; choose from directory" in done.stderr


def listed(tmp_path: Path) -> list[list[str]]:
    done = figures(tmp_path, "--list", "--mooncake", "trace.jsonl")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return [shlex.split(line) for line in lines if line.startswith(" ")]


def test_every_program_is_one_that_is_built(tmp_path: Path) -> None:
    targets = (ROOT / "bench/CMakeLists.txt").read_text() + "test_unit_ftl fdpstore"
    commands = listed(tmp_path)
    assert len(commands) >= 10
    for command in commands:
        if command[0] == sys.executable:
            assert Path(command[1]).exists(), command[1]
        else:
            assert Path(command[0]).name in targets, command[0]


def test_filter_of_the_validation_names_tests(tmp_path: Path) -> None:
    tests = ROOT / "build/dev/tests/test_unit_ftl"
    if not tests.exists():
        pytest.skip("test_unit_ftl is not built; ./run-tests builds it")
    command = next(c for c in listed(tmp_path) if c[0].endswith("test_unit_ftl"))
    names = subprocess.run(
        [str(tests), "--gtest_list_tests", *command[1:]], capture_output=True, text=True, check=True
    )
    assert "FifoFollowsTheClosedForm" in names.stdout
    filters = [word for word in command if word.startswith("--gtest_filter=")]
    readme = (ROOT / "README.md").read_text()
    assert filters[0].replace("=", "='") + "'" in readme
