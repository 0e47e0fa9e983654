"""A whole deployment for one test: a private cluster, `cop serve`, publishers and viewers, each a process to kill.

Everything is started here and ended here, by its pid.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
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

from cop.embedded import Cluster
from layers.credentials import create_key
from layers.database import Database
from layers.directory import add_agency, add_layer
from layers.model import Layer, Scope
from tests.bench.service import free_port
from tests.faults.publisher import ids_of
from tests.faults.viewer import digest
from tests.live.dialogue import truth

RATE = int(os.environ.get("COP_FAULT_RATE", "3000"))
"""Features a second that a publisher is to push; 10,000 is what the product promises, on a machine of its own."""
VIEWERS = int(os.environ.get("COP_FAULT_VIEWERS", "4"))
BATCH = 500
MOST_OF_ONE = 4_000
"""Features a second that one publisher can hope to push."""
READY_WITHIN_S = 60.0
LAYER = "cfd.units"


@dataclass(slots=True)
class Child:
    """One of our processes, told what to do on its standard input."""

    process: subprocess.Popen[str]
    account: Path
    units: int = 0
    """How many different features a publisher pushes."""

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
    """A batch that was acknowledged."""

    ids: list[str]
    observed_ms: int
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
    watchers: list[Child] = field(default_factory=list)

    # --- people and machines

    def start(self, module: str, **told: Any) -> Child:
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
        self.children.append(child := Child(process, account))
        self.tell(child, json.dumps(told | {"key": self.key, "layer": LAYER, "account": str(account)}))
        return child

    @staticmethod
    def tell(child: Child, line: str) -> None:
        child.process.stdin.write(line + "\n")
        child.process.stdin.flush()

    def publish(self, prefix: str = "u", *, rate: int = RATE, clock_s: int = 0) -> Child:
        """A publisher of its own units, as many as report once a second at that rate."""
        units = -(-rate // BATCH) * BATCH
        pace = {"rate": rate, "batch": BATCH, "clock_ms": clock_s * 1000}
        child = self.publishers[prefix] = self.start(
            "publisher", url=self.url, prefix=prefix, units=units, **pace
        )
        child.units = units
        return child

    def load(self) -> None:
        """As many publishers as it takes to push `RATE`; one waits for each answer before it goes on."""
        publishers = -(-RATE // MOST_OF_ONE)
        for number in range(publishers):
            self.publish(f"{'abcdefgh'[number]}", rate=RATE // publishers)

    def watch(self, viewers: int = VIEWERS) -> Child:
        """A process with that many viewers of the layer."""
        self.watchers.append(self.start("viewer", url=self.url.replace("http", "ws", 1), viewers=viewers))
        return self.watchers[-1]

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

    async def under_way(self) -> None:
        """Something was pushed for three seconds, and everybody holds a picture of the last few."""
        await self.until("three seconds of pushing", lambda: self._pushed_for_s() > 3)
        await self.until("a picture on every screen", lambda: self._all_newer_than(time.time() - 3))

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
        acks = []
        for prefix, child in self.publishers.items():
            for line in child.account.read_text().splitlines():
                number, observed_ms, first, last, took_ms = map(int, line.split())
                ids = ids_of(prefix, number, BATCH, child.units)
                acks.append(Ack(ids, observed_ms, first, last, took_ms))
        return acks

    async def settle(self) -> dict[str, Any]:
        """Stop the publishers, and prove that nothing was lost, doubled or shown wrongly; the figures."""
        for child in self.publishers.values():
            if child.process.poll() is None:
                await asyncio.to_thread(child.release)
        acks = self.acknowledged()
        await self.db.dispose()  # Its server may have been killed.
        await self._same_picture()
        await self._gapless()
        await self._in_the_log(acks)
        await self._readable(acks)
        reports = await self.reports()
        assert [report["wrong"] for report in reports if report["wrong"]] == []
        ends: dict[str, int] = {}
        for report in reports:
            for end, count in report["ends"].items():
                ends[end] = ends.get(end, 0) + count
        return {
            "acknowledged": sum(len(ack.ids) for ack in acks),
            "resets": sum(report["resets"] for report in reports) - len(reports),
            "connections ended": ends,
            "slowest push ms": max(ack.took_ms for ack in acks),
        }

    def rate(self, over_s: float = 3.0) -> float:
        """Features a second that were acknowledged lately."""
        acks = [ack for ack in self.acknowledged() if ack.observed_ms > (time.time() - over_s) * 1000]
        return sum(len(ack.ids) for ack in acks) / over_s

    def _pushed_for_s(self) -> float:
        moments = [ack.observed_ms for ack in self.acknowledged()]
        return (max(moments) - min(moments)) / 1000 if moments else 0.0

    async def _same_picture(self) -> None:
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
        async with self.db.connect() as connection:
            rows = await connection.execute(
                text(
                    "SELECT feature_id, round(extract(epoch FROM observed_at) * 1000)::bigint FROM change "
                    "WHERE layer_id = :layer"
                ),
                {"layer": self.layer.id},
            )
            logged = {(id, observed_ms) for id, observed_ms in rows}
        lost = [
            (id, ack.observed_ms) for ack in acks for id in ack.ids if (id, ack.observed_ms) not in logged
        ]
        assert lost == []

    async def _readable(self, acks: list[Ack]) -> None:
        newest = {id: ack.observed_ms for ack in acks for id in ack.ids}
        held: dict[str, str] = {}
        address: str | None = f"{self.url}/collections/{LAYER}/items?limit=10000"
        headers = {"Authorization": f"Bearer {self.key}"}
        async with httpx.AsyncClient(headers=headers, timeout=30, trust_env=False) as client:
            while address:
                page = (await client.get(address)).raise_for_status().json()
                held |= {each["id"]: each["properties"]["observed_at"] for each in page["features"]}
                address = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
        assert [id for id in newest if id not in held] == []
        older = [id for id, observed_ms in newest.items() if _ms(held[id]) < observed_ms]
        assert older == []


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
