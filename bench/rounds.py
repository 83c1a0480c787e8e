"""Ratios of figures measured side by side in rounds, and how sure they are."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass

RESAMPLES = 2000
COVERED = 0.95


@dataclass(frozen=True)
class Ratio:
    """Median over rounds, with its 95 % bootstrap interval. Above 1: ours is the better one."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"


def ratio_of(ratios: list[float], seed: int = 1) -> Ratio:
    """The median of ratios of one round each; resampled by rounds.

    Raises:
        ValueError: there are none.
    """
    if not ratios:
        raise ValueError("no rounds to compare")
    chance = random.Random(seed)
    medians = sorted(
        statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES)
    )
    tail = (1 - COVERED) / 2
    return Ratio(
        statistics.median(ratios),
        medians[int(tail * RESAMPLES)],
        medians[min(RESAMPLES - 1, int((1 - tail) * RESAMPLES))],
    )


def paired(ours: float, others: list[float], lower_is_better: bool) -> float:
    """Ours against the best of the others, so that above 1 is better."""
    return min(others) / ours if lower_is_better else ours / max(others)
