"""Finding a feature by name among 10,000 and among 100,000: every name is read, for no index holds them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from layers.database import Database
from layers.finding import find
from tests.bench import Bench, Figure
from tests.bench.bench_tiles import in_turn, set_up

TYPED = "e42"


async def bench_search(bench: Bench) -> AsyncIterator[Figure]:
    """Engine 42, by its initial and number."""
    database = Database(await bench.fresh_database())
    bench.say("storing 110,000 features …")
    (small, large), _ = await set_up(database)
    async with database.connect() as connection:
        few, many = await in_turn(
            lambda: find(connection, [small.id], TYPED, limit=200),
            lambda: find(connection, [large.id], TYPED, limit=200),
        )
    await database.dispose()
    yield Figure("search_10000", few, "ms", "lower")
    yield Figure("search_100000", many, "ms", "lower")
