"""A whole deployment for one test: a private cluster, `cop serve`, publishers and viewers, each a process to kill.

Everything is started here and ended here, by its pid.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import text

from cop.client import Client, split
from cop.embedded.cluster import Cluster
from layers.credentials import create_key
from layers.database import Database
from layers.directory import add_agency, add_layer
from layers.model import Layer, Receipt, Scope
from tests.bench.service import free_port
from tests.faults.publisher import BATCH, Batch
from tests.faults.viewer import digest
from tests.live.dialogue import truth

RATE = int(os.environ.get("COP_FAULT_RATE", "3000"))
"""Features a second that are pushed meanwhile; 10,000 is what the product promises."""
VIEWERS = int(os.environ.get("COP_FAULT_VIEWERS", "4"))
MOST_OF_ONE = 2_500
"""Features a second that one publisher can hope to push: it waits for each answer before it goes on."""
REACHED = 0.95
"""The part of the rate asked for that must be reached before anything is broken."""
READY_WITHIN_S = 60.0
LAYER = "cfd.units"


@dataclass(slots=True)
class Child:
    """One of our processes, told what to do on its standard input."""

    process: subprocess.Popen[str]
    account: Path
    rate: int = 0
    """Features a second that a publisher is to push."""

    @property
    def units(self) -> int:
        """How many different features it pushes: as many as report once a second at that rate."""
        return -(-self.rate // BATCH) * BATCH

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """As `kill -9`; its account stays."""
        self.process.kill()
        self.process.wait()

    def release(self) -> None:
        """Let it come to its end by itself."""
        self.process.stdin.close()
        assert self.process.wait(100) == 0, self.account.with_suffix(".log").read_text()[-2000:]

    def end(self) -> None:
        """Whatever became of the test."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                pipe.close()


@dataclass(frozen=True, slots=True)
class Ack:
    """A batch that was acknowledged, and the revisions that its receipt names."""

    batch: Batch
    first: int
    last: int
    took_ms: int


@dataclass(slots=True)
class Scene:
    """What a test acts upon."""

    folder: Path
    cluster: Cluster
    db: Database
    layer: Layer
    url: str
    key: str
    service: subprocess.Popen[str]
    children: list[Child] = field(default_factory=list)
    publishers: dict[str, Child] = field(default_factory=dict)
    acks: list[Ack] = field(default_factory=list)
    """What the test itself has pushed."""
    watchers: list[Child] = field(default_factory=list)

    # --- people and machines

    def start(self, module: str, *, rate: int = 0, **told: Any) -> Child:
        """A process of ours, told what to do."""
        account = self.folder / f"{module}-{len(self.children)}.txt"
        account.touch()
        with account.with_suffix(".log").open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", f"tests.faults.{module}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.children.append(child := Child(process, account, rate))
        told |= {"key": self.key, "layer": LAYER, "account": str(account), "rate": rate, "units": child.units}
        self.tell(child, json.dumps(told))
        return child

    @staticmethod
    def tell(child: Child, line: str) -> None:
        child.process.stdin.write(line + "\n")
        child.process.stdin.flush()

    def publish(self, prefix: str, *, rate: int, clock_s: int = 0) -> Child:
        """A publisher of its own units."""
        child = self.start("publisher", url=self.url, prefix=prefix, rate=rate, clock_ms=clock_s * 1000)
        self.publishers[prefix] = child
        return child

    def load(self) -> list[Child]:
        """As many publishers as it takes to push `RATE`, two at least."""
        count = max(2, -(-RATE // MOST_OF_ONE))
        return [self.publish("abcdefgh"[number], rate=RATE // count) for number in range(count)]

    async def push(self, batch: Batch, *, key: str | None = None, **properties: Any) -> None:
        """Push as a client does, and keep the receipt; *key*: an idempotency key."""

        def pushed() -> Receipt:
            with Client(self.url, self.key) as client:
                return client.push(LAYER, batch.features(**properties), idempotency_key=key)

        began = time.monotonic()
        receipt = await asyncio.to_thread(pushed)
        took_ms = round((time.monotonic() - began) * 1000)
        self.acks.append(Ack(batch, receipt.first_revision, receipt.last_revision, took_ms))

    async def abandon(self, batch: Batch, *, key: str, share: float) -> None:
        """Begin the push as a process does that is killed when that *share* of it is sent, or before the answer."""
        ((body, _),) = split(batch.features())
        head = (
            f"POST /collections/{LAYER}/items HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/geo+json\r\nContent-Length: {len(body)}\r\nIdempotency-Key: {key}\r\n\r\n"
        )

        def sent() -> None:
            with socket.create_connection(("127.0.0.1", httpx.URL(self.url).port)) as wire:
                wire.sendall(head.encode() + body[: round(len(body) * share)])

        await asyncio.to_thread(sent)

    def watch(self, viewers: int = VIEWERS) -> Child:
        """A process with that many viewers of the layer."""
        self.watchers.append(self.start("viewer", url=self.url.replace("http", "ws", 1), viewers=viewers))
        return self.watchers[-1]

    def connections(self, child: Child) -> int:
        """How many of its connections the service holds."""
        theirs = {each.laddr.port for each in psutil.Process(child.pid).net_connections("tcp")}
        held = [each for worker in self.workers() for each in worker.net_connections("tcp")]
        return sum(bool(each.raddr) and each.raddr.port in theirs for each in held)

    async def reports(self, *, whole: bool = False) -> list[dict[str, Any]]:
        """What all viewers say of themselves."""
        told = []
        for child in self.watchers:
            self.tell(child, "whole" if whole else "report")
            told += json.loads(await asyncio.to_thread(child.process.stdout.readline))
        return told

    def workers(self) -> list[psutil.Process]:
        """The processes that serve."""
        found = []
        for child in psutil.Process(self.service.pid).children():
            with suppress(psutil.NoSuchProcess):  # A zombie has no command line either.
                if "spawn_main" in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def busiest(self) -> psutil.Process:
        """The worker with most connections: one that is missed."""
        return max(self.workers(), key=lambda worker: len(worker.net_connections("tcp")))

    def log(self) -> str:
        """The last that the service has said."""
        return (self.folder / "serve.log").read_text()[-4000:]

    # --- waiting

    async def until(self, what: str, holds: Callable[[], Any], within_s: float = 30.0) -> float:
        """Wait until *holds* (which may be asynchronous) gives something true; the seconds that took."""
        began = time.monotonic()
        while True:
            found = holds()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return time.monotonic() - began
            assert time.monotonic() - began < within_s, f"{what}: not within {within_s:g} s\n{self.log()}"
            await asyncio.sleep(0.05)

    async def under_way(self) -> float:
        """Features a second, once everybody holds a picture of the last few seconds and as much is pushed as asked."""
        await self.until(
            "a picture on every screen", lambda: self._all_newer_than(time.time() - 3), READY_WITHIN_S
        )
        enough = sum(child.rate for child in self.publishers.values()) * REACHED
        reached = 0.0

        def pushed() -> bool:
            nonlocal reached
            reached = self.rate()
            return reached >= enough

        await self.until(f"{enough:g} features a second", pushed, READY_WITHIN_S)
        return reached

    async def recovered(self, *, within_s: float = 30.0) -> float:
        """Seconds from now until every viewer holds what was observed after now."""
        since_s = time.time()
        return await self.until("whole again", lambda: self._all_newer_than(since_s), within_s)

    async def _all_newer_than(self, moment_s: float) -> bool:
        reports = await self.reports()
        return all(report["newest_ms"] > moment_s * 1000 for report in reports)

    async def ready(self) -> bool:
        """Whether /readyz says so."""
        with suppress(httpx.HTTPError):
            async with httpx.AsyncClient(base_url=self.url, timeout=2, trust_env=False) as client:
                return (await client.get("/readyz")).status_code == 200
        return False

    # --- the account

    def acknowledged(self) -> list[Ack]:
        """Every batch of which a publisher heard that it is stored."""
        acks = [*self.acks]
        for prefix, child in self.publishers.items():
            for line in child.account.read_text().splitlines():
                number, observed_ms, first, last, took_ms = map(int, line.split())
                acks.append(Ack(Batch(prefix, observed_ms, number, child.units), first, last, took_ms))
        return acks

    async def settle(self) -> dict[str, Any]:
        """Stop the publishers, and prove that nothing was lost, doubled or shown wrongly; the figures."""
        for child in self.publishers.values():
            if child.process.poll() is None:
                await asyncio.to_thread(child.release)
        acks = self.acknowledged()
        await self.db.dispose()  # Its server may have been killed.
        await self.same_picture()
        await self._gapless()
        await self._in_the_log(acks)
        await self._readable([ack.batch for ack in acks])
        reports = await self.reports()
        assert [report["wrong"] for report in reports if report["wrong"]] == []
        ends: dict[str, int] = {}
        for report in reports:
            for end, count in report["ends"].items():
                ends[end] = ends.get(end, 0) + count
        return {
            "acknowledged": len(acks) * BATCH,
            "resets": sum(report["resets"] for report in reports) - len(reports),
            "connections ended": ends,
            "slowest push ms": max(ack.took_ms for ack in acks),
        }

    def rate(self, over_s: float = 3.0) -> float:
        """Features a second that were acknowledged lately."""
        since_ms = (time.time() - over_s) * 1000
        return sum(BATCH for ack in self.acknowledged() if ack.batch.observed_ms > since_ms) / over_s

    async def same_picture(self) -> None:
        """Wait until every viewer holds what the database does."""
        expected = digest(await truth(self.db, self.layer))

        async def same() -> bool:
            return all(report["digest"] == expected for report in await self.reports(whole=True))

        await self.until("every viewer equal to a fresh snapshot", same, 20)

    async def _gapless(self) -> None:
        async with self.db.connect() as connection:
            row = await connection.execute(
                text(
                    "SELECT revision, (SELECT count(*) FROM change WHERE layer_id = layer.id), "
                    "(SELECT count(DISTINCT revision) FROM change WHERE layer_id = layer.id), "
                    "(SELECT max(revision) FROM change WHERE layer_id = layer.id) FROM layer WHERE id = :layer"
                ),
                {"layer": self.layer.id},
            )
            head, rows, distinct, last = row.one()
        assert rows == distinct == last == head

    async def _in_the_log(self, acks: list[Ack]) -> None:
        """Each receipt names a range of the log that holds its batch and nothing else; nothing was logged twice."""
        async with self.db.connect() as connection:
            rows = await connection.execute(
                text(
                    "SELECT revision, feature_id, round(extract(epoch FROM observed_at) * 1000)::bigint "
                    "FROM change WHERE layer_id = :layer AND op <> 'gone'"
                ),
                {"layer": self.layer.id},
            )
            logged = {revision: (id, observed_ms) for revision, id, observed_ms in rows}
        assert len(logged) == len(set(logged.values()))
        end = 0
        for ack in sorted(acks, key=lambda ack: ack.first):
            assert end < ack.first, "two receipts overlap"
            end = ack.last
            told = {logged.get(revision) for revision in range(ack.first, end + 1)}
            assert told == {(id, ack.batch.observed_ms) for id in ack.batch.ids}

    async def _readable(self, batches: list[Batch]) -> None:
        newest = {
            id: batch.observed_ms
            for batch in sorted(batches, key=lambda batch: batch.observed_ms)
            for id in batch.ids
        }
        held = await self.items()
        assert [id for id in newest if id not in held] == []
        older = [id for id, observed_ms in newest.items() if held[id] < observed_ms]
        assert older == []

    async def items(self) -> dict[str, int]:
        """When each feature that can be read was observed, in milliseconds."""
        held: dict[str, int] = {}
        address: str | None = f"{self.url}/collections/{LAYER}/items?limit=10000"
        async with self.http() as client:
            while address:
                page = (await client.get(address)).raise_for_status().json()
                held |= {each["id"]: _ms(each["properties"]["observed_at"]) for each in page["features"]}
                address = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
        return held

    def http(self) -> httpx.AsyncClient:
        """Somebody with our key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30, trust_env=False)


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _ms(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


@asynccontextmanager
async def scene(folder: Path, *, workers: int = 2, data_dir: Path | None = None) -> AsyncIterator[Scene]:
    """A deployment with one layer of units, ready to be pushed to and looked at."""
    data_dir = data_dir or folder / "cop"
    port = free_port()
    environment = os.environ | {"COP_DATA_DIR": str(data_dir), "COP_DRAIN_S": "2", "COP_LOG_LEVEL": "info"}
    environment.pop("COP_DATABASE_URL", None)
    with (folder / "serve.log").open("w") as log:
        service = subprocess.Popen(  # noqa: ASYNC220 - it takes a millisecond
            [sys.executable, "-m", "cop", "serve", "--port", str(port), "--workers", str(workers)],
            env=environment,
            stdout=log,
            stderr=log,
            text=True,
        )
    family: list[psutil.Process] = []
    staged: Scene | None = None
    try:
        staged = Scene(folder, None, None, None, f"http://127.0.0.1:{port}", "", service)  # type: ignore[arg-type]
        await staged.until("ready", staged.ready, READY_WITHIN_S)
        staged.cluster = Cluster(data_dir)
        staged.db = Database(staged.cluster.url, pool_size=2)
        await _furnish(staged)
        yield staged
    finally:
        for child in staged.children if staged else ():
            child.end()
        if staged is not None and staged.db is not None:
            await staged.db.dispose()
        with suppress(psutil.NoSuchProcess):
            family = [psutil.Process(service.pid), *psutil.Process(service.pid).children(recursive=True)]
        service.send_signal(signal.SIGINT)
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, timeout=40)
        service.kill()
        service.wait()
    assert [each.name() for each in alive] == []


async def _furnish(staged: Scene) -> None:
    async with staged.db.begin() as connection:
        await add_agency(connection, "cfd", host=True)
        staged.layer = await add_layer(connection, LAYER, kind="units")
        staged.key = await create_key(connection, "cfd", [Scope.PUBLISH, Scope.VIEW])


def tell(fault: str, **figures: Any) -> None:
    """Print what a fault cost, as one JSON line."""
    shown = {name: round(value, 2) if isinstance(value, float) else value for name, value in figures.items()}
    print("\n" + json.dumps({"fault": fault} | shown), flush=True)
