"""How the service's processor time grows with changes and with viewers, and that it does not with their product.

If a change cost something for each viewer, a change would be ten times dearer with ten times the viewers. What
does grow are the bytes that a frame carries; they are copied for each socket, at some 0.1 µs a unit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np

from cop.bench.crew import Crews, crews
from cop.bench.plan import Plan
from cop.bench.publishing import Publishing
from cop.bench.run import fleet_of, reporting
from cop.bench.usage import Usage
from tests.bench import Bench, Figure, long
from tests.bench.live_scene import scene

UNITS = 1_000
VIEWERS = (100, 300, 900)
EVERY_S = (2.0, 1.0, 0.25)
"""Not below the tick, or what a frame conflates would not be counted."""
WARM_S = 2.0
SECONDS = 6.0

Point = tuple[float, float, float]
"""Cores, changes a second, frames a second."""


@long
async def bench_live_growth(bench: Bench) -> AsyncIterator[Figure]:
    """Each number of viewers with each pace of changes."""
    points: dict[tuple[int, float], Point] = {}
    async with scene(bench) as served:
        usage = Usage(served.service.pid)
        for viewers in VIEWERS:
            plan = served.plan(viewers=viewers, units=UNITS)
            async with crews(plan) as all_crews:
                await Publishing(plan.address, plan.key, plan.layer, fleet_of(plan), every_s=1.0).once()
                await all_crews.arrive()
                for every_s in EVERY_S:
                    bench.say(f"  {viewers:,} viewers, {UNITS / every_s:,.0f} changes a second …")
                    point = await _point(replace(plan, every_s=every_s), all_crews, usage)
                    points[viewers, every_s] = point
    for (viewers, every_s), (cores, changes, frames) in points.items():
        name = f"live_growth_{viewers}_viewers_{UNITS / every_s:.0f}_changes"
        yield Figure(f"{name}_cpu", cores, "cores", "lower")
        yield Figure(f"{name}_changes", changes, "changes/s", "higher")
        yield Figure(f"{name}_frames", frames, "frames/s", "higher")
    few, many = (_change_us(points, viewers) for viewers in (VIEWERS[0], VIEWERS[-1]))
    slow, fast = (_viewer_us(points, every_s) for every_s in (EVERY_S[0], EVERY_S[-1]))
    yield Figure("live_growth_change_with_few_viewers", few, "µs", "lower")
    yield Figure("live_growth_change_with_many_viewers", many, "µs", "lower")
    yield Figure("live_growth_frame_with_few_changes", slow, "µs", "lower")
    yield Figure("live_growth_frame_with_many_changes", fast, "µs", "lower")
    yield Figure("live_growth_share_of_the_product", _product_share(points), "ratio", "lower")
    # 1 if they only add up; as many as there are times the viewers if each change costs something for each.
    yield Figure("live_growth_change_by_viewers", many / few, "ratio", "lower", VIEWERS[-1] / VIEWERS[0] / 3)


async def _point(plan: Plan, all_crews: Crews, usage: Usage) -> Point:
    publishing = Publishing(plan.address, plan.key, plan.layer, fleet_of(plan), every_s=plan.every_s)
    async with reporting(publishing):
        await asyncio.sleep(WARM_S)
        before, accepted, count = usage.read(), publishing.accepted, await all_crews.count()
        await asyncio.sleep(SECONDS)
        after, accepted = usage.read(), publishing.accepted - accepted
        count = await all_crews.count() - count
    seconds = after.at_s - before.at_s
    return (after.cpu_s - before.cpu_s) / seconds, accepted / seconds, count.frames / seconds


def _product_share(points: dict[tuple[int, float], Point]) -> float:
    """The part of the dearest point's cost that goes with changes times viewers, by least squares over all points.

    The rest is a constant, a cost of each change, and a cost of each frame.
    """
    rows = [
        (1.0, changes, frames, changes * viewers) for (viewers, _), (_, changes, frames) in points.items()
    ]
    cores = [cores for cores, _, _ in points.values()]
    fitted = np.linalg.lstsq(np.array(rows), np.array(cores), rcond=None)[0]
    return float(fitted[3] * rows[-1][3] / cores[-1])


def _change_us(points: dict[tuple[int, float], Point], viewers: int) -> float:
    """What a further change costs while so many watch."""
    slow, fast = points[viewers, EVERY_S[0]], points[viewers, EVERY_S[-1]]
    return (fast[0] - slow[0]) / (fast[1] - slow[1]) * 1e6


def _viewer_us(points: dict[tuple[int, float], Point], every_s: float) -> float:
    """What a further frame costs at that pace of changes."""
    few, many = points[VIEWERS[0], every_s], points[VIEWERS[-1], every_s]
    return (many[0] - few[0]) / (many[2] - few[2]) * 1e6
