"""A stream of features in one request: how fast it is stored, and that memory does not follow its length."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import psutil

from layers import credentials, directory
from layers.database import Database
from layers.model import Scope, Stream
from tests.bench import Bench, Figure
from tests.bench.service import served

FEATURES = int(os.environ.get("COP_BENCH_STREAM", "200000"))
"""COP_BENCH_STREAM=1000000 streams a million."""
MORE_THAN_ENOUGH_S = 600


def lines(count: int) -> Iterator[bytes]:
    """*count* features, a line each, a thousand lines a piece."""
    for start in range(0, count, 1000):
        yield b"".join(_line(number) for number in range(start, min(start + 1000, count)))


def _line(number: int) -> bytes:
    place = [-180 + number * 7919 % 360_000 / 1000, -85 + number * 104_729 % 170_000 / 1000]
    geometry = {"type": "Point", "coordinates": place}
    properties = {"name": f"Hydrant {number}", "asset_type": "hydrant", "flow_lpm": 1000 + number % 5000}
    feature = {"type": "Feature", "id": f"H{number}", "geometry": geometry, "properties": properties}
    return json.dumps(feature).encode() + b"\n"


async def _peak(process: psutil.Process, done: asyncio.Event) -> float:
    """The most memory that *process* held until *done*, in MB."""
    most = 0
    while not done.is_set():
        most = max(most, process.memory_info().rss)
        await asyncio.sleep(0.1)
    return most / 1e6


async def _body(count: int) -> AsyncIterator[bytes]:
    for piece in lines(count):
        yield piece


async def bench_stream(bench: Bench) -> AsyncIterator[Figure]:
    """One NDJSON request into a tiled layer; the growth of the service's memory beside that of a tenth of it."""
    url = await bench.fresh_database()
    database = Database(url)
    async with database.begin() as connection:
        await directory.add_agency(connection, "water")
        for name in ("water.few", "water.many"):
            await directory.add_layer(connection, name, kind="assets", stream=Stream.TILED)
        key = await credentials.create_key(connection, "water", [Scope.PUBLISH])
    await database.dispose()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}
    grown = []
    async with (
        served(url) as service,
        httpx.AsyncClient(timeout=MORE_THAN_ENOUGH_S, headers=headers) as client,
    ):
        process = psutil.Process(service.pid)
        for name, count in (("water.few", FEATURES // 10), ("water.many", FEATURES)):
            before, done, begin = process.memory_info().rss / 1e6, asyncio.Event(), time.perf_counter()
            watching = asyncio.create_task(_peak(process, done))
            answer = await client.post(f"{service.url}/collections/{name}/items", content=_body(count))
            seconds = time.perf_counter() - begin
            done.set()
            if answer.status_code != 200 or answer.json()["accepted"] != count:
                raise RuntimeError(f"{answer.status_code}: {answer.text[:300]}")
            grown.append(await watching - before)
    yield Figure(f"stream_{FEATURES}_features", FEATURES / seconds, "features/s", "higher")
    yield Figure(f"stream_{FEATURES}_memory_growth", grown[1], "MB", "lower", 100)
    yield Figure(f"stream_{FEATURES // 10}_memory_growth", grown[0], "MB", "lower")
