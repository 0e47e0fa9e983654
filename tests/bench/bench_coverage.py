"""The planner's question about a city, over HTTP and without: 900 units and 100 stations with reach, 20 districts."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import numpy as np

from cop.app import create_app
from cop.settings import Settings
from layers.credentials import create_key
from layers.database import Database
from layers.directory import add_agency
from layers.ground import Case, Source, coverage_of, work_out
from layers.model import LayerName, LayerRules, Scope
from tests.bench import Bench, Figure, percentiles, timed
from tests.bench.bench_hexes import box
from tests.conftest import serving

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


def source(kind: str, features: list[dict[str, Any]]) -> Source:
    """A layer as the database gives it."""
    packed = [coverage_of(kind, each["geometry"], each["properties"], LayerRules()) for each in features]
    points = (
        [(*f["geometry"]["coordinates"], f["properties"]["reach_m"]) for f in features]
        if kind == "units"
        else []
    )
    stored = tuple(each for each in packed if each is not None)
    return Source(LayerName(f"cfd.{kind}"), "cfd", kind, UUID(int=1), 1, stored, tuple(points), ())


def bench_work(bench: Bench) -> Iterator[Figure]:
    """The analysis alone, everything read: fill of the area, 900 disks, depths, areas."""
    case = Case(CITY, RESOLUTION, 2, tuple(source(kind, features) for kind, features in city().items()))
    yield from percentiles("coverage_work_of_a_city", timed(lambda: work_out(case)), "ms")


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
