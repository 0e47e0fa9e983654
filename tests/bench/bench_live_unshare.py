"""From the commit of an unshare to the last byte of the layer on any socket of those who may no longer see it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from cop.bench.crew import Crews, crews
from cop.bench.publishing import Publishing
from cop.bench.run import fleet_of, reporting
from layers import directory
from tests.bench import Bench, Figure
from tests.bench.live_scene import LAYER, scene

VIEWERS = 1_000
UNITS = 5_000
EVERY_S = 5.0


async def bench_live_unshare(bench: Bench) -> AsyncIterator[Figure]:
    """1,000 of the public watch 5,000 units; then the layer is the public's no more."""
    async with scene(bench) as served:
        plan = served.plan(viewers=VIEWERS, units=UNITS, every_s=EVERY_S, public=True)
        publishing = Publishing(plan.address, plan.key, plan.layer, fleet_of(plan), every_s=EVERY_S)
        async with crews(plan) as all_crews:
            await publishing.once()
            async with reporting(publishing):
                await all_crews.arrive()
                await asyncio.sleep(3.0)
                # The clock is read before the commit, so the figure holds the commit as well.
                unshared_ns = time.time_ns()
                async with served.database.begin() as connection:
                    await directory.unshare(connection, LAYER, "public")
                await asyncio.sleep(4.0)
                parts = await _last(all_crews, f'"{LAYER}":{{"epoch"')
                words = await _last(all_crews, '"revoked"')
    told = [each for each in words if each is not None and each >= unshared_ns]
    ends = [(each - unshared_ns) / 1e9 for each in parts if each is not None]
    yield Figure("live_unshare_last_byte", max(ends), "s", "lower", 1.0)
    yield Figure("live_unshare_watching", sum(end > -1.0 for end in ends), "viewers", "higher", VIEWERS)
    yield Figure("live_unshare_told", len(told), "viewers", "higher", VIEWERS)
    yield Figure("live_unshare_last_told", (max(told) - unshared_ns) / 1e9, "s", "lower", 1.0)


async def _last(all_crews: Crews, marker: str) -> list[int | None]:
    return [each for share in await all_crews.all("last", marker) for each in share]
