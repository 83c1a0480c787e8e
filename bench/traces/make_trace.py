#!/usr/bin/env python3
"""Makes the trace that ships with fdpstore: conversations of two tenants, in Mooncake format.

One JSON object a line: ``timestamp`` (ms), ``input_length`` and ``output_length`` (tokens) and
``hash_ids`` (one id per 512-token block of the input; equal ids mean equal content *and* equal
prefix), as in the Mooncake traces, plus ``tenant``, which readers of that format ignore.

Every request of a tenant starts with the tenant's system prompt. A conversation's next turn
repeats its whole history. A block that is not full yet gets an id of its own, since its content
changes when the next turn fills it.

    ./make_trace.py > quickstart.jsonl        # the same seed gives the same bytes
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

BLOCK_TOKENS = 512


@dataclass(frozen=True)
class Tenant:
    """What one tenant's requests look like; lengths in tokens."""

    name: str
    system_tokens: int
    turns: tuple[int, int]
    input_tokens: tuple[int, int]
    output_tokens: tuple[int, int]
    one_shot_share: float


TENANTS = (
    Tenant("acme:chat", 2048, (2, 6), (150, 1500), (100, 700), 0.25),
    Tenant("globex:agents", 3584, (3, 8), (600, 3000), (50, 400), 0.10),
)


@dataclass
class Conversation:
    """One conversation: the ids of its full blocks so far, and its length in tokens."""

    tenant: Tenant
    turns_left: int
    blocks: list[int]
    tokens: int = 0
    next_ms: float = 0.0


@dataclass
class Generator:
    """Interleaves conversations in time order until `requests` lines are made."""

    rng: random.Random
    requests: int
    next_id: int = 0
    system_blocks: dict[str, list[int]] = field(default_factory=dict)

    def fresh_ids(self, count: int) -> list[int]:
        ids = list(range(self.next_id, self.next_id + count))
        self.next_id += count
        return ids

    def start_conversation(self, now_ms: float) -> Conversation:
        tenant = self.rng.choice(TENANTS)
        if tenant.name not in self.system_blocks:
            blocks = self.fresh_ids(tenant.system_tokens // BLOCK_TOKENS)
            self.system_blocks[tenant.name] = blocks
        one_shot = self.rng.random() < tenant.one_shot_share
        return Conversation(
            tenant=tenant,
            turns_left=1 if one_shot else self.rng.randint(*tenant.turns),
            blocks=list(self.system_blocks[tenant.name]),
            tokens=tenant.system_tokens,
            next_ms=now_ms,
        )

    def turn(self, talk: Conversation) -> dict[str, object]:
        """The next request of a conversation; advances it."""
        talk.tokens += self.rng.randint(*talk.tenant.input_tokens)
        self.fill(talk)
        hash_ids = list(talk.blocks)
        if talk.tokens % BLOCK_TOKENS:
            hash_ids += self.fresh_ids(1)
        output = self.rng.randint(*talk.tenant.output_tokens)
        line = {
            "timestamp": int(talk.next_ms),
            "input_length": talk.tokens,
            "output_length": output,
            "hash_ids": hash_ids,
            "tenant": talk.tenant.name,
        }
        talk.tokens += output
        self.fill(talk)
        talk.turns_left -= 1
        talk.next_ms += self.rng.uniform(4_000, 40_000)
        return line

    def fill(self, talk: Conversation) -> None:
        talk.blocks += self.fresh_ids(talk.tokens // BLOCK_TOKENS - len(talk.blocks))

    def lines(self) -> Iterator[dict[str, object]]:
        running: list[Conversation] = []
        arrival_ms = 0.0
        for _ in range(self.requests):
            while not running or arrival_ms <= min(t.next_ms for t in running):
                running.append(self.start_conversation(arrival_ms))
                arrival_ms += self.rng.expovariate(1 / 9_000)
            talk = min(running, key=lambda t: t.next_ms)
            yield self.turn(talk)
            if not talk.turns_left:
                running.remove(talk)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--requests", type=int, default=240)
    args = parser.parse_args()
    for line in Generator(random.Random(args.seed), args.requests).lines():
        sys.stdout.write(json.dumps(line) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
