"""Live lag, loss and cost under the loads that the service is made for, and one hour's memory in a minute.

The service is a process of its own, the viewers another, the publishers this one; all share the machine's cores.
Lag is from the moment the layer was locked for the change, just before its commit, to the moment a viewer has
the frame in its hands. After each load every viewer's picture is held against what the service says was true.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from tests.bench import Bench, Figure, long
from tests.bench.live_scene import figures_of, scene, slope

HOUR_S = 3600
HOURS_ROUNDS = HOUR_S // 5
"""Reports of each unit in an hour, one in five seconds …"""
ROUNDS_A_SECOND = 12
"""… and in each second of the measurement: an hour in a minute."""


async def bench_live_city(bench: Bench) -> AsyncIterator[Figure]:
    """A city on a quiet day: 200 units that report every 5 s, 500 viewers."""
    async with scene(bench) as served:
        plan = served.plan(viewers=500, units=200, every_s=5.0)
        for figure in figures_of("live_city_500_viewers_200_units", await served.outcome(bench, plan)):
            yield figure


async def bench_live_region(bench: Bench) -> AsyncIterator[Figure]:
    """A region: 5,000 units that report every 5 s, 1,000 viewers."""
    async with scene(bench) as served:
        plan = served.plan(viewers=1_000, units=5_000, every_s=5.0)
        for figure in figures_of("live_region_1000_viewers_5000_units", await served.outcome(bench, plan)):
            yield figure


async def bench_live_full(bench: Bench) -> AsyncIterator[Figure]:
    """The load to bear: 10,000 units that report every second, 1,000 viewers."""
    async with scene(bench) as served:
        plan = served.plan(viewers=1_000, units=10_000, warm_s=5.0)
        outcome = await served.outcome(bench, plan)
        for figure in figures_of("live_full_1000_viewers_10000_units", outcome, p99_ms=500.0):
            yield figure


@long
async def bench_live_hour(bench: Bench) -> AsyncIterator[Figure]:
    """The quiet city's reports of an hour, pressed into a minute: memory must not follow their number.

    The reports are pressed, not the frames: all 720 of each unit are published, logged and folded, but a viewer gets
    a frame a tick at the most, as ever, and so a sixtieth of those of an hour. A leak with each report shows in full,
    one with each frame sixty times too small.
    """
    async with scene(bench) as served:
        seconds = HOURS_ROUNDS / ROUNDS_A_SECOND
        plan = served.plan(viewers=500, units=200, every_s=1 / ROUNDS_A_SECOND, warm_s=20.0, seconds=seconds)
        outcome = await served.outcome(bench, plan)
        for figure in figures_of("live_hour", outcome):
            yield figure
        growth = slope(outcome.measured) * seconds
        yield Figure("live_hour_rss_growth", growth, "MB/h", "lower", 5.0)
