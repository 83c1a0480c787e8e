"""The quickstart: what it reports, what it refuses, and that it fails when a byte is wrong."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, TRACE
from fdpstore import quickstart

FS = '{"type": "fs", "base_path": "{path}"}'


def distinct_chunks(requests: int) -> int:
    lines = [json.loads(line) for line in TRACE.read_text().splitlines()[:requests]]
    return len({(line["tenant"], chunk) for line in lines for chunk in line["hash_ids"]})


@pytest.mark.parametrize("layout", ["segment", "prompt", "object"])
def test_every_chunk_comes_back_after_the_restart(drive_json, layout):
    report = drive_json("--layout", layout)
    chunks = distinct_chunks(16)
    assert report["problems"] == []
    assert report["distinct_chunks"] == report["store"]["stored"] == chunks
    assert report["load"]["distinct_verified"] == chunks
    assert report["load"]["hits"] == report["load"]["references"]
    assert report["load"]["loaded"] >= chunks  # L1 was empty; neighbours may share what one loads
    # A request that LMCache cut short is sent again, and what it brought is checked both times.
    assert report["load"]["verified_bytes"] >= report["load"]["hits"] * 64 * 1024
    assert report["tenants"] == ["acme:chat", "globex:agents"]
    assert report["disk_bytes"] >= chunks * 64 * 1024


def test_second_run_starts_over_and_keep_goes_on(drive_json):
    chunks = drive_json()["store"]["stored"]
    assert drive_json()["store"]["stored"] == chunks
    kept = drive_json("--keep")
    assert kept["store"]["written"] == 0
    assert kept["store"]["hits"] == kept["store"]["references"]


def test_report_names_placement_and_data(drive, tmp_path):
    done = drive()
    assert done.returncode == 0, done.stderr
    for expected in ("placement asked", "effective", "p99", "GB/s", str(tmp_path), "configure"):
        assert expected in done.stdout


def test_wrong_byte_fails_loudly(drive, tmp_path):
    assert drive("--adapter-json", FS).returncode == 0
    victim = sorted((tmp_path / "data" / "segment").glob("*.data"))[0]
    content = bytearray(victim.read_bytes())
    content[1000] ^= 1
    victim.write_bytes(content)
    done = drive("--adapter-json", FS, "--keep")
    assert done.returncode == 1
    assert "WRONG BYTES" in done.stderr
    assert "the first at offset 1000" in done.stderr


def report_with(**load: int) -> dict:
    phase = {"wrong": [], "wrong_count": 0, "store_failed": 0, "distinct_missed": 0, "adapter": {}}
    return {"distinct_chunks": 5, "store": dict(phase), "load": {**phase, **load}}


def test_lost_chunk_is_a_problem_unless_it_was_reclaimed():
    assert quickstart.find_problems(report_with()) == []
    lost = report_with(distinct_missed=2)
    assert "2 of 5 chunks were lost" in quickstart.find_problems(lost)[0]
    lost["store"]["adapter"] = {"reclaimed_objects": 2}
    assert quickstart.find_problems(lost) == []


def test_directory_of_others_is_refused_and_left_alone(drive, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("precious")
    done = drive()
    assert done.returncode == 2
    assert "holds other files" in done.stderr
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["thesis.txt"]


def test_path_that_is_a_file_is_refused(drive, tmp_path):
    (tmp_path / "data").write_text("a file")
    done = drive()
    assert done.returncode == 2
    assert str(tmp_path / "data") in done.stderr


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("not json", "trace.jsonl:1: not a JSON object"),
        ("{}", "trace.jsonl:1: not a JSON object with hash_ids"),
        ('{"hash_ids": []}', "hash_ids must be a non-empty list"),
        ('{"hash_ids": [1, "2"]}', "hash_ids must be a non-empty list"),
        ('{"hash_ids": [1], "tenant": "a/b"}', "tenant must be text"),
        ("", "has no request"),
    ],
)
def test_bad_trace_is_named(drive, tmp_path, line, complaint):
    trace = tmp_path / "trace.jsonl"
    trace.write_text(line + "\n")
    done = drive("--trace", str(trace))
    assert done.returncode == 2
    assert complaint in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "options",
    [("--chunk-kib", "0"), ("--requests", "0"), ("--capacity", "many"), ("--layout", "heap")],
)
def test_bad_option_is_named(drive, options):
    done = drive(*options)
    assert done.returncode == 2
    assert options[0] in done.stderr


def test_capacity_too_small_says_why(drive):
    done = drive("--capacity", "1MiB")
    assert done.returncode == 1
    assert "capacity_bytes" in done.stderr


@pytest.mark.parametrize(
    ("text", "size"),
    [("1024", 1024), ("2GiB", 2 << 30), ("1.5 g", 3 << 29), ("500MB", 500_000_000)],
)
def test_sizes(text, size):
    assert quickstart.parse_size(text) == size


def test_the_script_itself(tmp_path):
    """What a new user runs; from another directory, with everything it builds."""
    done = subprocess.run(
        [ROOT / "quickstart", "--path", tmp_path / "q", "--requests", "8", "--chunk-kib", "64"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    assert "0 wrong chunks" in done.stdout
    assert Path(tmp_path / "q" / "segment").is_dir()
    assert "total WA" in done.stdout
    report = done.stdout.strip().splitlines()[-1].removeprefix("Report: ")
    assert "<svg" in (tmp_path / report).read_text() or "<script" in (tmp_path / report).read_text()
