"""All viewers leave, units go on, all viewers come back at once: how long until each holds its view again.

Coming back asks the database nothing, whether the viewers are the public's or come with a key each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from sqlalchemy import text as sql

from cop.bench.crew import Crews, crews
from cop.bench.plan import Plan
from cop.bench.publishing import Publishing
from cop.bench.run import fleet_of, reporting, verdict_of
from cop.bench.usage import Usage
from layers.credentials import create_key
from layers.database import Database
from layers.model import Scope
from tests.bench import Bench, Figure, percentiles
from tests.bench.live_scene import Scene, scene

UNITS = 1_000
AWAY_S = 5.0
COUNTED_S = 2.5
"""How long after what they did the database's own processes have all told how many transactions they ran."""


async def bench_live_return_1000(bench: Bench) -> AsyncIterator[Figure]:
    """A thousand come back."""
    async with scene(bench) as served:
        plan = served.plan(viewers=1_000, units=UNITS, public=True)
        async for figure in _return(bench, served, "live_return_1000", plan, within_s=5.0):
            yield figure


async def bench_live_return_keyed(bench: Bench) -> AsyncIterator[Figure]:
    """A thousand come back, each with a key of its own."""
    async with scene(bench) as served:
        async with served.database.begin() as connection:
            keys = [await create_key(connection, "cfd", [Scope.VIEW]) for _ in range(1_000)]
        plan = served.plan(viewers=1_000, units=UNITS, keys=tuple(keys))
        async for figure in _return(bench, served, "live_return_1000_keyed", plan, within_s=5.0):
            yield figure


async def bench_live_return_2000(bench: Bench) -> AsyncIterator[Figure]:
    """Two thousand come back: all places that the public has in one process."""
    async with scene(bench) as served:
        plan = served.plan(viewers=2_000, units=UNITS, public=True)
        async for figure in _return(bench, served, "live_return_2000", plan, within_s=10.0):
            yield figure


async def _return(
    bench: Bench, served: Scene, name: str, plan: Plan, *, within_s: float
) -> AsyncIterator[Figure]:
    publishing = Publishing(plan.address, plan.key, plan.layer, fleet_of(plan), every_s=plan.every_s)
    viewers, usage = plan.viewers, Usage(served.service.pid)
    async with crews(plan) as all_crews:
        await publishing.once()
        async with reporting(publishing):
            bench.say(f"  {viewers:,} viewers arrive, leave, and come back in {AWAY_S:g} s …")
            await all_crews.arrive()
            await asyncio.sleep(3.0)
            with_cursor = sum(await all_crews.all("leave"))
            await asyncio.sleep(AWAY_S)
            before, count = usage.read(), await all_crews.count()
            taken = await all_crews.arrive(at_once=True)
            after, count = usage.read(), await all_crews.count() - count
        await all_crews.all("settle")
        verdict = await verdict_of(plan, publishing, all_crews, 0, 0)
        quiet_a_second, asked = await _asked_by_those_who_return(served.database, all_crews)
    for figure in percentiles(name, taken, "s"):
        yield figure
    yield Figure(f"{name}_all", max(taken), "s", "lower", within_s)
    yield Figure(f"{name}_service_cpu", after.cpu_s - before.cpu_s, "s", "lower")
    yield Figure(f"{name}_generator_cpu", count.cpu_s, "s", "lower")
    yield Figure(f"{name}_with_cursor", with_cursor, "viewers", "higher", viewers)
    yield Figure(f"{name}_lost", verdict.lost, "rows", "lower", 0)
    yield Figure(f"{name}_gaps", verdict.gaps, "gaps", "lower", 0)
    yield Figure(f"{name}_quiet_transactions", quiet_a_second, "1/s", "lower")
    yield Figure(f"{name}_transactions_a_viewer", asked / viewers, "transactions", "lower", 0.01)


async def _asked_by_those_who_return(database: Database, all_crews: Crews) -> tuple[float, float]:
    """Transactions a second while nothing happens, and those beyond that while all leave and come back once more.

    Nobody publishes now. The service reads the policy and the log every second all the same; a query for each
    viewer would come on top of that, as one transaction or as one in it.
    """
    begin, before = time.monotonic(), await _transactions(database)
    await asyncio.sleep(2 * COUNTED_S)
    quiet = (await _transactions(database) - before) / (time.monotonic() - begin)
    await all_crews.all("leave")
    await asyncio.sleep(COUNTED_S)
    begin, before = time.monotonic(), await _transactions(database)
    await all_crews.arrive(at_once=True)
    await asyncio.sleep(COUNTED_S)
    came = await _transactions(database) - before
    return quiet, max(came - quiet * (time.monotonic() - begin), 0.0)


async def _transactions(database: Database) -> int:
    async with database.connect() as connection:
        found = await connection.execute(
            sql("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")
        )
        return int(found.scalar_one())
