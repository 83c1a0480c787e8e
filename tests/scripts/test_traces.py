"""The trace that ships: made by its generator, small, and in Mooncake format."""

import json
import subprocess

from conftest import ROOT, TRACE


def test_trace_is_what_its_generator_makes():
    made = subprocess.run(
        [ROOT / "bench" / "traces" / "make_trace.py"], capture_output=True, check=True
    )
    assert made.stdout == TRACE.read_bytes()
    assert len(made.stdout) < 100_000


def test_trace_has_shared_prefixes_turns_and_two_tenants():
    lines = [json.loads(line) for line in TRACE.read_text().splitlines()]
    assert len({line["tenant"] for line in lines}) == 2
    assert [line["timestamp"] for line in lines] == sorted(line["timestamp"] for line in lines)
    for line in lines:
        assert len(line["hash_ids"]) == -(-line["input_length"] // 512)
        assert line["output_length"] > 0
    by_tenant = {
        tenant: [x for x in lines if x["tenant"] == tenant]
        for tenant in {line["tenant"] for line in lines}
    }
    for requests in by_tenant.values():
        assert len({tuple(r["hash_ids"][:4]) for r in requests}) == 1  # the system prompt
        longest = max(requests, key=lambda r: len(r["hash_ids"]))
        earlier = [
            r
            for r in requests
            if r["hash_ids"][:-1] == longest["hash_ids"][: len(r["hash_ids"]) - 1]
            and r is not longest
        ]
        assert earlier  # an earlier turn of the same conversation
