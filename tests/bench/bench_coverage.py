"""The planner's question about a city, over HTTP and without: 900 units and 100 stations with reach, 20 districts."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import numpy as np

from cop.app import create_app
from cop.planning.answers import as_json
from cop.planning.desk import Loaded
from cop.settings import Settings
from layers.credentials import create_key
from layers.database import Database
from layers.directory import add_agency
from layers.hexes import Hexes
from layers.model import LayerRules, Scope
from layers.planning.coverage import load
from layers.planning.ground import coverage_of, grounds
from layers.planning.model import Case, Row, Rule, Source
from tests.bench import Bench, Figure, percentile, percentiles, timed
from tests.bench.bench_hexes import AREA as STATES
from tests.bench.bench_hexes import box, coverages
from tests.conftest import serving
from tests.unit.planning_cases import AT, source

CITY = box(-87.94, 41.64, -87.52, 42.03)
RESOLUTION = 9


def city() -> dict[str, list[dict[str, Any]]]:
    """Features by kind, spread over the city."""
    random = np.random.default_rng(20261122)

    def points(count: int, low_m: float, high_m: float) -> Iterator[dict[str, Any]]:
        for number in range(count):
            lng, lat = random.uniform(-87.94, -87.52), random.uniform(41.64, 42.03)
            yield {
                "type": "Feature",
                "id": str(number),
                "geometry": {"type": "Point", "coordinates": [lng, lat]},
                "properties": {"reach_m": random.uniform(low_m, high_m)},
            }

    strips = [box(-87.94 + n * 0.02, 41.64, -87.90 + n * 0.02, 41.9) for n in range(20)]
    districts = [
        {"type": "Feature", "id": str(n), "geometry": strip, "properties": {}}
        for n, strip in enumerate(strips)
    ]
    return {
        "units": list(points(900, 500, 3_000)),
        "assets": list(points(100, 2_000, 4_000)),
        "coverage": districts,
    }


def as_read(kind: str, features: list[dict[str, Any]]) -> Source:
    """A layer as the database gives it."""
    rows = [
        Row(
            each["id"],
            json.dumps(each["properties"]),
            AT,
            *(each["geometry"]["coordinates"] if kind != "coverage" else (None, None)),
            shape=json.dumps(each["geometry"]) if kind == "coverage" else None,
            stored=coverage_of(kind, each["geometry"], each["properties"], LayerRules()),
        )
        for each in features
    ]
    return source(kind, *rows, layer=f"cfd.{kind}")


def bench_work(bench: Bench) -> Iterator[Figure]:
    """The analysis alone, everything read: fill of the area, 900 disks, depths, areas, reasons."""
    case = Case(CITY, RESOLUTION, Rule(2), tuple(as_read(kind, found) for kind, found in city().items()), AT)

    def work() -> bytes:
        return as_json(Loaded(UUID(int=1), case, *load(case)), {})

    yield from percentiles("coverage_work_of_a_city", timed(work), "ms")


def bench_unstored(bench: Bench) -> Iterator[Figure]:
    """200 isochrones of which nothing is stored at this resolution, all at once and one by one."""
    rows = [
        Row(str(number), "{}", AT, None, None, shape=json.dumps(each))
        for number, each in enumerate(coverages(200))
    ]
    layer = source("coverage")

    def filled(*some: Row) -> list[Hexes | None]:
        found = grounds(layer, some, [{}] * len(some), [STATES], RESOLUTION, Rule())
        return [each and each.hexes for each in found]

    def one_by_one() -> list[Hexes | None]:
        return [hexes for row in rows for hexes in filled(row)]

    assert filled(*rows) == one_by_one()
    at_once = percentile(timed(lambda: filled(*rows), repeats=7, warmups=1), 50)
    alone = percentile(timed(one_by_one, repeats=5, warmups=1), 50)
    yield Figure("coverage_unstored_200_polygons", at_once, "ms", "lower")
    yield Figure("coverage_unstored_faster_than_one_by_one", alone / at_once, "x", "higher", 3)


async def bench_answer(bench: Bench) -> AsyncIterator[Figure]:
    """The whole answer over HTTP, as JSON and as polygons."""
    url = await bench.fresh_database()
    database = Database(url)
    async with database.begin() as connection:
        await add_agency(connection, "cfd", name="Fire", color="#d55e00")
        key = await create_key(connection, "cfd", frozenset({Scope.ADMIN}))
    await database.dispose()
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Settings(database_url=url, data_dir=Path(folder)))
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            serving(app) as server,
            httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client,
        ):
            for kind, features in city().items():
                (
                    await client.post("/collections", json={"id": f"cfd.{kind}", "kind": kind})
                ).raise_for_status()
                body = {"type": "FeatureCollection", "features": features}
                (await client.post(f"/collections/cfd.{kind}/items", json=body)).raise_for_status()
            for form in ("json", "geojson"):
                took = [await asked(client, form) for _ in range(13)][3:]
                for figure in percentiles(f"coverage_answer_{form}", took, "ms", targets={50: 1_000.0}):
                    yield figure


async def asked(client: httpx.AsyncClient, form: str) -> float:
    """Milliseconds until the answer is here."""
    begun = time.perf_counter()
    answer = await client.post("/coverage/analysis", json={"area": CITY, "at_least": 2}, params={"f": form})
    answer.raise_for_status()
    return (time.perf_counter() - begun) * 1e3
