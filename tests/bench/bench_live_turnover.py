"""A thousand viewers come, watch and leave, again and again: what the service keeps of those who have left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from tests.bench import Bench, Figure
from tests.bench.live_scene import scene

ROUNDS = 6


async def bench_live_turnover(bench: Bench) -> AsyncIterator[Figure]:
    """By how much the service has grown from the first thousand to the last."""
    async with scene(bench) as served:
        plan = served.plan(viewers=1_000, units=1_000, warm_s=1.0, seconds=2.0)
        sizes = [
            (await served.outcome(bench, replace(plan, seed=plan.seed + round_))).samples[-1].rss_mb
            for round_ in range(ROUNDS)
        ]
    yield Figure("live_turnover_viewers", ROUNDS * plan.viewers, "viewers", "higher")
    yield Figure("live_turnover_growth", sizes[-1] - sizes[0], "MB", "lower", 30)
