"""A what-if on a loaded city, 1,000 covers over 14,000 cells: in the analyst's function, and round trips over HTTP."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import httpx
import numpy as np

from cop.planning.desk import Loaded
from cop.planning.what_if_answers import as_json
from layers.credentials import create_key
from layers.database import Database
from layers.directory import add_agency
from layers.model import FeatureId, LayerName, Scope
from layers.planning.coverage import load
from layers.planning.model import Case, Rule
from layers.planning.what_if import Add, Change, Commit, Move, Remove, newly, what_if
from tests.bench import Bench, Figure, percentile, percentiles, timed
from tests.bench.bench_coverage import CITY, RESOLUTION, as_read, city
from tests.bench.service import served
from tests.unit.planning_cases import AT

UNITS, STATIONS = LayerName("cfd.units"), LayerName("cfd.assets")


def changes(seed: int) -> list[Change]:
    """What a planner tries: one unit dragged, one committed, a station closed, one more unit."""
    random = np.random.default_rng(seed)
    lng, lat = random.uniform(-87.9, -87.55, 2).tolist(), random.uniform(41.68, 42.0, 2).tolist()
    moved, busy = (FeatureId(str(each)) for each in random.choice(900, 2, replace=False))
    return [
        Move(UNITS, moved, (lng[0], lat[0])),
        Commit(UNITS, busy),
        Remove(STATIONS, FeatureId(str(random.integers(100)))),
        Add(lng[1], lat[1], 2_000.0, "ems"),
    ]


def loaded_city() -> Loaded:
    """900 units and 100 stations, 20 of whose districts cover ground too."""
    found = city()
    sources = tuple(as_read(kind, found[kind]) for kind in ("units", "assets"))
    case = Case(CITY, RESOLUTION, Rule(2), sources, AT)
    return Loaded(UUID(int=1), case, *load(case))


def bench_what_if(bench: Bench) -> Iterator[Figure]:
    """The rule alone, with gap km² and what is newly covered and newly not; the whole answer; beside loading anew."""
    loaded = loaded_city()
    bench.say(f"{len(loaded.coverage.covers)} covers, {loaded.coverage.field.size} cells")
    seeds = itertools.count()

    def rule(*, drag: bool) -> tuple[float, int]:
        tried = changes(next(seeds))
        found = what_if(loaded.coverage, loaded.case, tried[:1] if drag else tried)
        sets = [found.hexes(mask).compact_cells() for mask in newly(loaded.coverage, found)]
        return found.km2(found.gap), sum(map(len, sets))

    def answer() -> bytes:
        return as_json(loaded, {}, {"changes": changes(next(seeds))})

    one = timed(lambda: rule(drag=True), repeats=200)
    yield from percentiles("what_if_one_unit_dragged", one, "ms", targets={50: 5.0})
    yield from percentiles("what_if_four_changes", timed(lambda: rule(drag=False), repeats=200), "ms")
    whole = timed(answer, repeats=200)
    yield from percentiles("what_if_whole_answer", whole, "ms", targets={50: 5.0})
    loading = timed(lambda: load(loaded.case), repeats=5)
    yield Figure("what_if_vs_loading_anew", percentile(loading, 50) / percentile(one, 50), "×", "higher")


async def bench_what_if_over_http(bench: Bench) -> AsyncIterator[Figure]:
    """The round trip: run found, policy judged, the analyst asked, the answer here."""
    url = await bench.fresh_database()
    database = Database(url)
    async with database.begin() as connection:
        await add_agency(connection, "cfd", name="Fire", color="#d55e00")
        key = await create_key(connection, "cfd", frozenset({Scope.ADMIN}))
    await database.dispose()
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        served(url) as service,
        httpx.AsyncClient(base_url=service.url, headers=headers, timeout=60) as client,
    ):
        for kind in ("units", "assets"):
            made = await client.post("/collections", json={"id": f"cfd.{kind}", "kind": kind})
            made.raise_for_status()
            body = {"type": "FeatureCollection", "features": city()[kind]}
            (await client.post(f"/collections/cfd.{kind}/items", json=body)).raise_for_status()
        asked = await client.post("/coverage/analysis", json={"area": CITY, "at_least": 2})
        run = asked.raise_for_status().json()["run"]
        took = [await dragged(client, run, seed) for seed in range(110)][10:]
        for figure in percentiles("what_if_round_trip", took, "ms"):
            yield figure


async def dragged(client: httpx.AsyncClient, run: str, seed: int) -> float:
    """Milliseconds until the answer to one unit's move is here."""
    move = changes(seed)[0]
    assert isinstance(move, Move)
    change: dict[str, Any] = {"do": "move", "layer": move.layer, "id": move.id, "to": move.to}
    begun = time.perf_counter()
    answer = await client.post("/coverage/what-if", json={"run": run, "changes": [change]})
    answer.raise_for_status()
    return (time.perf_counter() - begun) * 1e3
