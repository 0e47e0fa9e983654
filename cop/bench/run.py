"""One load from beginning to end: units report, viewers watch, and what came is held against what was true."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from zlib import crc32

import numpy as np
import orjson

from cop.bench.crew import NOTHING, Count, Crews, crews
from cop.bench.fleet import Fleet, batch_count, unit_id
from cop.bench.judging import Truth, Units, Verdict
from cop.bench.plan import LoadFailed, Plan
from cop.bench.publishing import Publishing, reach, request, said
from cop.bench.usage import Sample, Usage, sampled

PAGE = 10_000
LAST_WORD_S = 1.0
"""Before they leave, so that what was received while the lag was measured still comes without the pause in it."""


@dataclass(slots=True)
class Outcome:
    """What a load came to; filled in as it goes on."""

    plan: Plan
    verdict: Verdict = field(default_factory=Verdict)
    counted: Count = NOTHING
    """What came to the viewers within the time measured, and what that cost their processes …"""
    published: int = 0
    """… the observations acknowledged in it …"""
    own_cpu_s: float = 0.0
    """… and the processor time of the load generator itself, all its processes."""
    from_ns: int = 0
    to_ns: int = 0
    """The time measured, since 1970."""
    settled: bool = False
    arrival_s: list[float] = field(default_factory=list)
    return_s: list[float] = field(default_factory=list)
    returned_with_cursor: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    """Of the process that was to be watched, from beginning to end …"""
    measured: list[Sample] = field(default_factory=list)
    """… and within the time measured."""

    @property
    def seconds(self) -> float:
        """How long was measured."""
        return (self.to_ns - self.from_ns) / 1e9

    @property
    def cores(self) -> float:
        """Processor time that the process watched used in each second of the time measured; nan if none was."""
        if len(self.measured) < 2:
            return math.nan
        first, last = self.measured[0], self.measured[-1]
        return (last.cpu_s - first.cpu_s) / (last.at_s - first.at_s)

    @property
    def whole(self) -> bool:
        """Whether nothing was lost, nobody was cut off, and there was something to look at."""
        verdict = self.verdict
        return not (verdict.lost or verdict.gaps or self.ends or verdict.complaints) and verdict.checked > 0


class Fetched:
    """What the service says over HTTP, asked by the holder of the plan's key."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._path = f"/collections/{quote(plan.layer, safe='')}"

    async def layer(self) -> dict[str, Any]:
        """The layer as the service describes it. Raises `LoadFailed`."""
        known: dict[str, Any] = await self._get(self._path)
        return known

    async def truth(self, batches: int, rounds: int) -> Truth:
        """Where the units are now, and when the service received which batch: from the track of one unit of each."""
        known = [feature async for feature in self._features()]
        numbers = {unit_id(number): number for number in range(self._plan.units)}
        lng, lat = np.full(len(numbers), math.nan), np.full(len(numbers), math.nan)
        observed = np.full(len(numbers), -1, np.int64)
        for feature in known:
            if (number := numbers.get(feature["id"])) is not None:
                lng[number], lat[number] = feature["geometry"]["coordinates"]
                observed[number] = _ns(feature["properties"]["observed_at"]) // 1_000_000
        fixes: dict[int, int] = {}
        for batch in range(batches):
            track = await self._get(f"{self._path}/items/{unit_id(batch)}/track?limit={rounds + 10}")
            properties = track["properties"]
            for seen, received in zip(properties["times"], properties["received"], strict=True):
                fixes[_ns(seen) // 1_000_000] = _ns(received)
        stamps = np.array(sorted(fixes), np.int64)
        return Truth(
            lng, lat, observed, stamps, np.array([fixes[stamp] for stamp in sorted(fixes)], np.int64)
        )

    async def _features(self) -> AsyncIterator[dict[str, Any]]:
        after = ""
        while True:
            page = await self._get(f"{self._path}/items?limit={PAGE}&after={quote(after, safe='')}")
            for feature in page["features"]:
                yield feature
            if not any(link["rel"] == "next" for link in page["links"]):
                return
            after = page["features"][-1]["id"]

    async def _get(self, path: str) -> Any:
        address = self._plan.address
        async with await reach(address) as wire:
            status, answer = await wire.send(
                request("GET", f"{address.path}{path}", self._plan.key, host=address.host)
            )
        if status != 200:
            raise LoadFailed(f"{path.partition('?')[0]} answers {said(status, answer)}")
        return orjson.loads(answer)


def _ns(moment: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time, exact to the microsecond."""
    since = datetime.fromisoformat(moment) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1) * 1_000


def fleet_of(plan: Plan) -> Fleet:
    """The plan's units."""
    return Fleet(plan.units, plan.bbox, batches=batch_count(plan.units, plan.every_s), seed=plan.seed)


@asynccontextmanager
async def reporting(publishing: Publishing) -> AsyncIterator[None]:
    """The fleet reports while the block runs; if it cannot go on, the block ends with what it met."""
    owner = asyncio.current_task()
    assert owner is not None
    task = asyncio.create_task(publishing.drive())
    task.add_done_callback(lambda done: None if done.cancelled() else owner.cancel())
    try:
        yield
    except asyncio.CancelledError:
        if not task.done() or task.cancelled():
            raise
        owner.uncancel()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            try:
                await task
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from None


async def run(
    plan: Plan, *, say: Callable[[str], None] = lambda _: None, usage: Usage | None = None
) -> Outcome:
    """Put the load on and judge it. Raises `LoadFailed` when it cannot be put on."""
    publishing = Publishing(plan.address, plan.key, plan.layer, fleet_of(plan), every_s=plan.every_s)
    outcome = Outcome(plan)
    async with crews(plan) as all_crews, sampled(usage) as outcome.samples:
        say(f"{plan.units:,} units report for the first time …")
        await publishing.once()
        say(f"{plan.viewers:,} viewers arrive …")
        # While nothing moves: how it is to arrive under the load, all at once, is what coming back measures.
        outcome.arrival_s = await all_crews.arrive()
        async with reporting(publishing):
            await asyncio.sleep(plan.warm_s)
            say(f"Measuring for {plan.seconds:g} s …")
            await _measure(outcome, publishing, all_crews)
            await _away_and_back(outcome, all_crews, say)
        say("All that is under way arrives …")
        outcome.settled = all(await all_crews.all("settle"))
        outcome.ends = _summed(await all_crews.all("ends"))
        say("Reading what came …")
        outcome.verdict = await verdict_of(plan, publishing, all_crews, outcome.from_ns, outcome.to_ns)
    return outcome


async def _measure(outcome: Outcome, publishing: Publishing, all_crews: Crews) -> None:
    before, accepted, own = await all_crews.count(), publishing.accepted, time.process_time()
    first = len(outcome.samples)
    await asyncio.sleep(outcome.plan.seconds)
    after = await all_crews.count()
    outcome.measured = outcome.samples[first:]
    outcome.counted, outcome.published = after - before, publishing.accepted - accepted
    outcome.own_cpu_s = time.process_time() - own + outcome.counted.cpu_s
    outcome.from_ns, outcome.to_ns = before.at_ns, after.at_ns


async def verdict_of(
    plan: Plan, publishing: Publishing, all_crews: Crews, from_ns: int, to_ns: int
) -> Verdict:
    """What the recordings say, held against what the service now says was true."""
    truth = await Fetched(plan).truth(publishing.fleet.batches, publishing.rounds)
    ids = [unit_id(number) for number in range(plan.units)]
    units = Units(ids, (crc32(id.encode()) for id in ids))
    verdicts: list[Verdict] = await all_crews.all("judge", units, truth, from_ns, to_ns)
    total = Verdict()
    for verdict in verdicts:
        total += verdict
    return total


async def _away_and_back(outcome: Outcome, all_crews: Crews, say: Callable[[str], None]) -> None:
    """If the plan says so, all leave and come back at once."""
    away_s = outcome.plan.away_s
    if away_s is None:
        return
    await asyncio.sleep(LAST_WORD_S)
    say(f"All viewers leave, and come back in {away_s:g} s …")
    outcome.returned_with_cursor = sum(await all_crews.all("leave"))
    await asyncio.sleep(away_s)
    outcome.return_s = await all_crews.arrive(at_once=True)


def _summed(counts: list[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for code, count in each.items():
            total[code] = total.get(code, 0) + count
    return total
