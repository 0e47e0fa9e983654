"""Publishing over HTTP, validated and durable, beside the bare SQL statement that it ends in."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import orjson

from cop.bench.publishing import Wire, request
from layers import admission, credentials, directory, store
from layers.database import Database
from layers.model import Edit, Layer, Scope
from tests.bench import Bench, Figure
from tests.bench.service import served

LAYERS = 4
UNITS = 2_000
"""In each layer; every batch moves the next of them."""
SECONDS = 6.0
START = datetime.now(UTC) - timedelta(hours=6)
Batch = list[dict[str, Any]]


def batches(layer: int, size: int, count: int) -> list[Batch]:
    """*count* batches that move the units of one layer in turn, each unit a second further."""
    random_ = random.Random(layer)
    made, number = [], 0
    for _ in range(count):
        batch = []
        for _ in range(size):
            age = number // UNITS
            batch.append(_unit(random_, number % UNITS, START + timedelta(seconds=age)))
            number += 1
        made.append(batch)
    return made


def _unit(random_: random.Random, number: int, at: datetime) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": f"U{number}",
        "geometry": {
            "type": "Point",
            "coordinates": [round(random_.uniform(-87.8, -87.6), 6), round(random_.uniform(41.77, 41.96), 6)],
        },
        "properties": {
            "callsign": f"Engine {number}",
            "unit_type": "engine",
            "status": random_.choice(["available", "en_route", "on_scene"]),
            "heading_deg": random_.randrange(360),
            "speed_mps": round(random_.uniform(0, 20), 1),
            "observed_at": at.isoformat(),
        },
    }


async def set_up(url: str) -> tuple[list[Layer], str]:
    """The layers, and a key that may publish to them."""
    database = Database(url)
    async with database.begin() as connection:
        await directory.add_agency(connection, "cfd")
        layers = [
            await directory.add_layer(connection, f"cfd.units-{number}", kind="units")
            for number in range(LAYERS)
        ]
        key = await credentials.create_key(connection, "cfd", [Scope.PUBLISH])
    await database.dispose()
    return layers, key


class Race:
    """Workers that each go through their own work until the time is over; counts what they did."""

    def __init__(self, seconds: float) -> None:
        self.done = 0
        self.waits: list[float] = []
        self.rate = 0.0
        self._seconds = seconds

    async def run(self, *workers: Any) -> Self:
        """Let *workers* work until the time is over; `rate` is then features a second, over all."""
        begin = time.perf_counter()
        self._until = begin + self._seconds
        await asyncio.gather(*(worker(self) for worker in workers))
        self.rate = self.done / (time.perf_counter() - begin)
        return self

    def stop(self) -> None:
        """End the race for all: a worker has done its work."""
        self._until = 0.0

    def going(self) -> bool:
        """Whether there is time left."""
        return time.perf_counter() < self._until

    def count(self, features: int, seconds: float) -> None:
        """Note that *features* were acknowledged after *seconds*."""
        self.done += features
        self.waits.append(seconds * 1000)


async def over_http(url: str, size: int, connections: int) -> Race:
    """Publish batches of *size* over HTTP for a while."""
    layers, key = await set_up(url)
    work = [
        [
            request("POST", f"/collections/{layers[n % LAYERS].name}/items", key, _body(batch))
            for batch in batches(n, size, _enough(size))
        ]
        for n in range(connections)
    ]
    async with served(url) as service:

        async def publisher(prepared: list[bytes], race: Race) -> None:
            async with await Wire.open(service.host, service.port) as wire:
                for message in prepared:
                    if not race.going():
                        return
                    begin = time.perf_counter()
                    status, answer = await wire.send(message)
                    if status not in (200, 201) or orjson.loads(answer)["accepted"] != size:
                        raise RuntimeError(f"{status}: {answer[:300]!r}")
                    race.count(size, time.perf_counter() - begin)
                race.stop()

        await Race(1.0).run(*(_bind(publisher, part[: len(part) // 4]) for part in work))
        return await Race(SECONDS).run(*(_bind(publisher, part[len(part) // 4 :]) for part in work))


async def bare_statement(url: str, size: int, connections: int) -> Race:
    """The same features, admitted beforehand, by the one statement under the layer's lock."""
    layers, _ = await set_up(url)
    now = datetime.now(UTC)
    work = [
        [_edits(batch, layers[n % LAYERS], now) for batch in batches(n, size, _enough(size))]
        for n in range(connections)
    ]
    database = Database(url, pool_size=connections)

    async def writer(layer: Layer, prepared: list[list[Edit]], race: Race) -> None:
        for edits in prepared:
            if not race.going():
                return
            begin = time.perf_counter()
            async with database.writing() as raw:
                locked = await store.lock(raw, layer.id)
                await store.put(
                    raw,
                    layer.id,
                    edits,
                    revision=locked.revision,
                    now=locked.now,
                    actor="bench",
                    repeat_within=timedelta(),
                    covers=False,
                )
            race.count(size, time.perf_counter() - begin)
        race.stop()

    try:
        await Race(1.0).run(
            *(_bind(writer, layers[n % LAYERS], p[: len(p) // 4]) for n, p in enumerate(work))
        )
        rest = [(layers[n % LAYERS], part[len(part) // 4 :]) for n, part in enumerate(work)]
        return await Race(SECONDS).run(*(_bind(writer, *each) for each in rest))
    finally:
        await database.dispose()


def _bind(worker: Any, *arguments: Any) -> Any:
    return lambda race: worker(*arguments, race)


def _body(batch: Batch) -> bytes:
    return orjson.dumps({"type": "FeatureCollection", "features": batch})


def _edits(batch: Batch, layer: Layer, now: datetime) -> list[Edit]:
    return [admission.admit(feature, layer, now, "") for feature in batch]


def _enough(size: int) -> int:
    """Batches for one connection: a quarter to warm up with; a race ends when one has done the rest."""
    return {500: 300, 100: 900}.get(size, 9_000)


async def bench_publish(bench: Bench) -> AsyncIterator[Figure]:
    """Batches of 500, 100 and 1, over four connections to four layers."""
    for size, target in ((500, 15_000.0), (100, None), (1, None)):
        bench.say(f"publishing batches of {size} …")
        bare = await bare_statement(await bench.fresh_database(), size, LAYERS)
        one = await bare_statement(await bench.fresh_database(), size, 1)
        http = await over_http(await bench.fresh_database(), size, LAYERS)
        name = f"publish_batch_{size}"
        share = 0.6 if size == 500 else None
        yield Figure(name, http.rate, "features/s", "higher", target)
        yield Figure(f"{name}_bare_statement", one.rate, "features/s", "higher")
        yield Figure(f"{name}_of_bare_statement", http.rate / one.rate, "ratio", "higher", share)
        # Four connections give the statement both cores; over HTTP the service's own work takes one of them.
        yield Figure(f"{name}_bare_statement_by_four", bare.rate, "features/s", "higher")
        yield Figure(f"{name}_of_bare_statement_by_four", http.rate / bare.rate, "ratio", "higher")
        waits = sorted(http.waits)
        yield Figure(f"{name}_p99", waits[int(len(waits) * 0.99)], "ms", "lower")
