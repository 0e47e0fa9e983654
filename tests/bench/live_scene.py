"""What the measurements of the live stream share: a served layer, a load on it, and the figures of its outcome."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cop.bench.plan import Address, Form, Plan
from cop.bench.run import Outcome, run
from cop.bench.usage import Sample, Usage
from layers import credentials, directory
from layers.database import Database
from layers.model import Scope, Status
from tests.bench import Bench, Figure
from tests.bench.service import Service, served

LAYER = "cfd.units"
FORM: Form = "json" if os.environ.get("COP_BENCH_FORM") == "json" else "bin"
"""COP_BENCH_FORM=json measures text frames where a measurement does not measure both."""
KEEP_BYTES = min(12 << 30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
"""More than any of these loads sends, so every viewer is checked; a machine with less memory checks fewer."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A service with one layer of units that the public may see, and a key that may publish and view."""

    service: Service
    database: Database
    key: str

    def plan(self, *, viewers: int, units: int, **more: Any) -> Plan:
        """A load on this layer."""
        address = Address(self.service.host, self.service.port)
        more = {"form": FORM, "warm_s": 3.0, "seconds": 12.0, "keep_bytes": KEEP_BYTES} | more
        return Plan(address, self.key, LAYER, viewers, units, **more)

    async def outcome(self, bench: Bench, plan: Plan) -> Outcome:
        """Put the load on, and watch the service's process."""
        return await run(plan, say=lambda text: bench.say(f"  {text}"), usage=Usage(self.service.pid))


@asynccontextmanager
async def scene(bench: Bench) -> AsyncIterator[Scene]:
    """A fresh database, served."""
    url = await bench.fresh_database()
    database = Database(url)
    async with database.begin() as connection:
        await directory.add_agency(connection, "cfd")
        await directory.add_layer(connection, LAYER, kind="units", status=Status.TEST)
        await directory.share(connection, LAYER, "public")
        key = await credentials.create_key(connection, "cfd", [Scope.PUBLISH, Scope.VIEW])
    try:
        async with served(url) as service:
            yield Scene(service, database, key)
    finally:
        await database.dispose()


def figures_of(name: str, outcome: Outcome, *, p99_ms: float | None = None) -> Iterator[Figure]:
    """Lag, loss, pace, size and cost of a load."""
    verdict, counted, seconds = outcome.verdict, outcome.counted, outcome.seconds
    for percent in (50, 95, 99):
        target = p99_ms if percent == 99 else None
        yield Figure(f"{name}_lag_p{percent}", verdict.lags.percentile(percent), "ms", "lower", target)
    yield Figure(f"{name}_lag_rows", len(verdict.lags), "rows", "higher")
    yield Figure(f"{name}_lost", verdict.lost + sum(outcome.ends.values()), "rows and viewers", "lower", 0)
    yield Figure(f"{name}_gaps", verdict.gaps, "gaps", "lower", 0)
    yield Figure(f"{name}_checked", verdict.checked, "viewers", "higher", outcome.plan.viewers)
    yield Figure(
        f"{name}_published", outcome.published / seconds, "units/s", "higher", 0.95 * outcome.plan.rate
    )
    yield Figure(f"{name}_frames", counted.frames / seconds, "frames/s", "higher")
    yield Figure(f"{name}_frame_bytes", counted.size / max(counted.frames, 1), "B", "lower")
    # A frame's head and what it says besides moves, shared by all its rows, are in the former and not in the latter.
    yield Figure(f"{name}_frame_bytes_a_row", verdict.row_bytes / max(verdict.rows, 1), "B", "lower")
    if outcome.plan.form == "bin":
        moves = verdict.moves
        size, all_moves = moves.record_bytes / max(moves.records, 1), moves.records + moves.in_words
        yield Figure(f"{name}_moved_unit_bytes", size, "B", "lower", 20.0)
        yield Figure(
            f"{name}_moves_packed", moves.records / max(all_moves, 1), "of all moves", "higher", 0.99
        )
    yield Figure(f"{name}_service_cpu", outcome.cores, "cores", "lower")
    yield Figure(f"{name}_service_rss", max(sample.rss_mb for sample in outcome.samples), "MB", "lower")
    yield Figure(f"{name}_generator_cpu", outcome.own_cpu_s / seconds, "cores", "lower")


def slope(samples: list[Sample]) -> float:
    """How fast memory grows, in MB a second: the least-squares line through the readings."""
    mean_s = math.fsum(sample.at_s for sample in samples) / len(samples)
    mean_mb = math.fsum(sample.rss_mb for sample in samples) / len(samples)
    spread = math.fsum((sample.at_s - mean_s) ** 2 for sample in samples)
    return math.fsum((sample.at_s - mean_s) * (sample.rss_mb - mean_mb) for sample in samples) / spread
