"""Live lag and what a frame costs: 100 viewers of a city, 1,000 units that report every second over HTTP.

The service is a process of its own; publishers and viewers share this one, on loopback. Lag is from the moment
the layer was locked for the change, just before its commit, to the moment a viewer has the frame in its hands.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import psutil
from sqlalchemy import text as sql
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from cop.live.interest import sight_of, span_of, view_from
from cop.live.wire import PROTOCOL
from layers import credentials, directory
from layers.database import Database
from layers.model import LayerId, Scope
from layers.query import read_layer
from tests.bench import Bench, Figure, percentile, percentiles
from tests.bench.service import Service, Wire, free_port, request, served

VIEWERS = 100
UNITS = 1_000
BATCHES_A_SECOND = 10
WARM_S = 3.0
SECONDS = 12.0
LAYER = "cfd.units"
CITY = (-87.85, 41.70, -87.55, 42.02)


EVERYTHING = {"bbox": [-180, -90, 180, 90], "zoom": 0}


@dataclass(slots=True)
class Watcher:
    """A viewer that only notes when each frame came; they are read afterwards."""

    view: dict[str, Any]
    frames: list[tuple[int, str]] = field(default_factory=list)

    async def watch(self, socket: ClientConnection) -> None:
        """Until the socket is closed."""
        try:
            async for message in socket:
                self.frames.append((time.time_ns(), str(message)))
        except ConnectionClosed:
            pass


def views(count: int) -> Iterator[dict[str, Any]]:
    """City views of zoom 11 to 13, all of different places."""
    random_ = random.Random(7)
    for _ in range(count):
        width = random_.choice([0.1, 0.2, 0.35])
        west, south = random_.uniform(CITY[0], CITY[2] - 0.1), random_.uniform(CITY[1], CITY[3] - 0.1)
        yield {"bbox": [west, south, west + width, south + width * 0.7], "zoom": 12}


class Fleet:
    """Units that each drive a little further every second."""

    def __init__(self) -> None:
        random_ = random.Random(1)
        west, south, east, north = CITY
        self._places = [(random_.uniform(west, east), random_.uniform(south, north)) for _ in range(UNITS)]
        self._random = random_

    def batch(self, part: int, key: str) -> bytes:
        """The request with which one part of the fleet reports."""
        now = datetime.now(UTC).isoformat()
        features = [self._unit(number, now) for number in range(part, UNITS, BATCHES_A_SECOND)]
        body = orjson.dumps({"type": "FeatureCollection", "features": features})
        return request("POST", f"/collections/{LAYER}/items", key, body)

    def _unit(self, number: int, now: str) -> dict[str, Any]:
        lng, lat = self._places[number]
        lng, lat = lng + self._random.uniform(-2e-4, 2e-4), lat + self._random.uniform(-2e-4, 2e-4)
        self._places[number] = lng, lat
        return {
            "type": "Feature",
            "id": f"U{number}",
            "geometry": {"type": "Point", "coordinates": [round(lng, 6), round(lat, 6)]},
            "properties": {
                "callsign": f"Engine {number}",
                "unit_type": "engine",
                "status": "en_route",
                "heading_deg": self._random.randrange(360),
                "speed_mps": round(self._random.uniform(0, 20), 1),
                "observed_at": now,
            },
        }

    async def report(self, service: Service, key: str, seconds: float) -> None:
        """Every unit once a second, in batches spread over the second."""
        begin = time.perf_counter()
        async with await Wire.open(service.host, service.port) as wire:
            for turn in range(int(seconds * BATCHES_A_SECOND)):
                await asyncio.sleep(max(0.0, begin + turn / BATCHES_A_SECOND - time.perf_counter()))
                status, answer = await wire.send(self.batch(turn % BATCHES_A_SECOND, key))
                if status != 200:
                    raise RuntimeError(f"{status}: {answer[:300]!r}")


@asynccontextmanager
async def watching(
    ws_url: str, watchers: list[Watcher], *, protocol: str | None, key: str = ""
) -> AsyncIterator[None]:
    """All *watchers* connected and subscribed."""
    async with AsyncExitStack() as stack:
        tasks = []
        for watcher in watchers:
            socket = await stack.enter_async_context(
                connect(
                    f"{ws_url}/live",
                    subprotocols=[protocol] if protocol else None,  # type: ignore[list-item]
                    additional_headers={"Authorization": f"Bearer {key}"} if key else None,
                    compression=None,
                    max_size=None,
                )
            )
            if protocol:
                await socket.send(
                    orjson.dumps({"type": "subscribe", "view": watcher.view}).decode(), text=True
                )
            tasks.append(asyncio.create_task(watcher.watch(socket)))
        yield
    await asyncio.gather(*tasks)


def cpu_s(pid: int) -> float:
    """Processor time that a process and its children have used."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


@asynccontextmanager
async def bare_broadcast(characters: int, tick_s: float) -> AsyncIterator[Service]:
    """A process that sends a text of that length to all sockets each tick."""
    port = free_port()
    command = (sys.executable, "-m", "tests.bench.bare_broadcast", str(port), str(characters), str(tick_s))
    process = await asyncio.create_subprocess_exec(*command)
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    (await asyncio.open_connection("127.0.0.1", port))[1].close()
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        yield Service("127.0.0.1", port, process.pid)
    finally:
        process.terminate()
        await process.wait()


async def set_up(database: Database) -> tuple[LayerId, str]:
    """The layer, and a key that may publish and view."""
    async with database.begin() as connection:
        await directory.add_agency(connection, "cfd")
        layer = await directory.add_layer(connection, LAYER, kind="units")
        key = await credentials.create_key(connection, "cfd", [Scope.PUBLISH, Scope.VIEW])
    return layer.id, key


def ws(service: Service) -> str:
    """Its address for websockets."""
    return f"ws://{service.host}:{service.port}"


async def committed(database: Database, layer: LayerId) -> dict[tuple[str, int], int]:
    """When each observation was about to be committed, in nanoseconds, by unit and observed_at."""
    async with database.connect() as connection:
        rows = await connection.execute(
            sql(
                "SELECT feature_id, floor(extract(epoch FROM observed_at) * 1000)::bigint, "
                "(extract(epoch FROM received_at) * 1e9)::bigint FROM change WHERE layer_id = :layer"
            ),
            {"layer": layer},
        )
        return {(row[0], row[1]): row[2] for row in rows}


def replayed(watcher: Watcher) -> Iterator[tuple[int, str, int | None]]:
    """What a viewer was told: when, of which unit, and the observation it then held (None: gone)."""
    for arrived, message in watcher.frames:
        frame = orjson.loads(message)
        if frame["type"] != "frame":
            continue
        part = frame["layers"].get(LAYER, {})
        for item in part.get("put", ()):
            yield arrived, item["id"], item["observed_at"]
        for row in part.get("move", ()):
            yield arrived, row[0], row[3]
        for row in part.get("gone", ()):
            yield arrived, row[0], None


async def lost(database: Database, layer: LayerId, watchers: list[Watcher]) -> int:
    """Units that a viewer holds and should not, or should and does not, or holds an old state of; over all."""
    async with database.snapshot() as connection:
        _, features = await read_layer(connection, layer)
    count = 0
    for watcher in watchers:
        last = {unit: observed for _, unit, observed in replayed(watcher)}
        held = {unit: observed for unit, observed in last.items() if observed is not None}
        sight = sight_of(view_from(watcher.view))
        truth = {
            feature.id: int(feature.observed_at.timestamp() * 1e6) // 1000
            for feature in features
            if sight.sees(span_of(feature.bbox))
        }
        count += len(held.items() ^ truth.items())
    return count


async def bench_live(bench: Bench) -> AsyncIterator[Figure]:
    """Lag from commit to viewer, and a frame's processor time beside a bare send of the same length."""
    url = await bench.fresh_database()
    database = Database(url)
    layer, key = await set_up(database)
    fleet, watchers = Fleet(), [Watcher(view) for view in views(VIEWERS)]
    async with served(url) as service:
        # One viewer of everything: what is read and encoded once for all of them is not fan-out.
        async with watching(ws(service), [Watcher(EVERYTHING)], protocol=PROTOCOL, key=key):
            await fleet.report(service, key, WARM_S)
            before = cpu_s(service.pid)
            await fleet.report(service, key, SECONDS)
            one_s = cpu_s(service.pid) - before
        async with watching(ws(service), watchers, protocol=PROTOCOL, key=key):
            await fleet.report(service, key, WARM_S)
            measured_from, before = time.time_ns(), cpu_s(service.pid)
            await fleet.report(service, key, SECONDS)
            busy_s = cpu_s(service.pid) - before
            measured_to = time.time_ns()
            await asyncio.sleep(1.0)
        rss = psutil.Process(service.pid).memory_info().rss / 1e6
    known = await committed(database, layer)
    lags = [
        (arrived - known[unit, observed]) / 1e6
        for watcher in watchers
        for arrived, unit, observed in replayed(watcher)
        if observed is not None and measured_from <= known[unit, observed] <= measured_to
    ]
    for figure in percentiles("live_lag_100_viewers_1000_units", lags, "ms", targets={99: 500.0}):
        yield figure
    yield Figure("live_lag_rows", len(lags), "rows", "higher")
    yield Figure("live_lost", await lost(database, layer, watchers), "rows", "lower", 0)
    yield Figure("live_rss", rss, "MB", "lower")
    await database.dispose()

    sizes = [
        len(message)
        for watcher in watchers
        for arrived, message in watcher.frames
        if measured_from <= arrived <= measured_to
    ]
    mean = sum(sizes) // len(sizes)
    yield Figure("live_frame_characters", mean, "characters", "lower")
    yield Figure("live_frame_characters_p99", percentile(sizes, 99), "characters", "lower")
    frame_us = (busy_s - one_s) / len(sizes) * 1e6
    bare_us = await bare_frame_us(mean, len(sizes) / SECONDS / VIEWERS)
    yield Figure("live_frame_cpu", frame_us, "µs", "lower")
    yield Figure("live_bare_send_cpu", bare_us, "µs", "lower")
    yield Figure("live_frame_cpu_of_bare_send", frame_us / bare_us, "ratio", "lower", 2.0)


async def bare_frame_us(characters: int, frames_a_second: float) -> float:
    """Processor time of one bare send of that length, at that rate, to as many viewers."""
    watchers = [Watcher({}) for _ in range(VIEWERS)]
    async with (
        bare_broadcast(characters, 1 / frames_a_second) as service,
        watching(ws(service), watchers, protocol=None),
    ):
        await asyncio.sleep(WARM_S)
        before, sent = cpu_s(service.pid), sum(len(watcher.frames) for watcher in watchers)
        await asyncio.sleep(SECONDS)
        used = cpu_s(service.pid) - before
        sent = sum(len(watcher.frames) for watcher in watchers) - sent
    return used / sent * 1e6
