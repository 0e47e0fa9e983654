"""What a frame costs the service, beside a bare send of as many bytes to as many sockets as often.

What is read, encoded and judged once for all viewers is not fan-out: a few viewers with views of every size cost
that too, and are taken off; what is left is what the frames of each further viewer cost. A shared machine is now
faster and now slower by a quarter, so bare sends go out beside the many and beside the few, and what the service does
is counted in bare sends of the same moments. Both forms of the protocol are measured, each beside its own kind.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from statistics import mean
from typing import NamedTuple

from cop.bench.crew import Crews, crews
from cop.bench.plan import Address, Form, Plan
from cop.bench.run import Outcome
from cop.bench.usage import Usage
from cop.settings import TICK_MS
from tests.bench import Bench, Figure
from tests.bench.live_scene import Scene, scene
from tests.bench.service import free_port

FEW, MANY = 24, 1_000
"""The first 24 look at the map in every size that the thousand do; the first eight do not."""
ROUNDS = 5
UNITS = {"": 1_000, "_large": 5_000}
"""Small frames, of which most is what surrounds them, and large ones; with more units nothing is idle any more."""
FEWER = {("json", "_large"): 400}
"""50 kB of text a frame to a thousand viewers is more than two cores carry."""


async def bench_live_frame_json(bench: Bench) -> AsyncIterator[Figure]:
    """Text frames."""
    async for figure in _beside_bare(bench, "json"):
        yield figure


async def bench_live_frame_bin(bench: Bench) -> AsyncIterator[Figure]:
    """Frames with packed moves."""
    async for figure in _beside_bare(bench, "bin"):
        yield figure


async def _beside_bare(bench: Bench, form: Form) -> AsyncIterator[Figure]:
    for kind, units in UNITS.items():
        async with scene(bench) as served:
            plan = served.plan(viewers=FEWER.get((form, kind), MANY), units=units, form=form, seconds=10.0)
            async for figure in _figures(bench, served, plan, f"live_frame_{form}{kind}"):
                yield figure


async def _figures(bench: Bench, served: Scene, plan: Plan, name: str) -> AsyncIterator[Figure]:
    seen = (await served.outcome(bench, replace(plan, seconds=3.0))).counted
    size = seen.size // seen.frames
    costs = [await _cost(bench, served, plan, size) for _ in range(ROUNDS)]
    ratio, bare_us = mean(cost for cost, _ in costs), mean(bare_us for _, bare_us in costs)
    yield Figure(f"{name}_bytes", size, "B", "lower")
    yield Figure(f"{name}_cpu", ratio * bare_us, "µs", "lower")
    yield Figure(f"{name}_bare_send_cpu", bare_us, "µs", "lower")
    yield Figure(f"{name}_of_bare_send", ratio, "ratio", "lower", 2.0)


async def _cost(bench: Bench, served: Scene, plan: Plan, size: int) -> tuple[float, float]:
    """Of a frame in bare sends, and of a bare send beside the many in microseconds, both in processor time."""
    many, many_us = await _beside(bench, served, plan, _bare_sends(plan, size))
    few, few_us = await _beside(bench, served, replace(plan, viewers=FEW), _bare_sends(plan, size))
    frames = many.counted.frames / many.seconds - few.counted.frames / few.seconds
    ratio = (many.cores / many_us - few.cores / few_us) * 1e6 / frames
    bench.say(f"  A frame cost {ratio:.2f} bare sends of {many_us:.1f} µs.")
    return ratio, many_us


async def _beside(
    bench: Bench, served: Scene, plan: Plan, bare: AbstractAsyncContextManager[list[Sent]]
) -> tuple[Outcome, float]:
    """A load while others get *bare* sends; what one of those took (µs)."""
    async with bare as sends:
        outcome = await served.outcome(bench, plan)
    within = [sent for sent in sends if outcome.from_ns <= sent.at_ns <= outcome.to_ns]
    cpu_s, frames = within[-1].cpu_s - within[0].cpu_s, within[-1].frames - within[0].frames
    return outcome, cpu_s / frames * 1e6


class Sent(NamedTuple):
    """How many bare sends have arrived by then, and what they cost their sender."""

    at_ns: int
    frames: int
    cpu_s: float


@asynccontextmanager
async def _bare_sends(plan: Plan, size: int) -> AsyncIterator[list[Sent]]:
    """As many others as the plan's viewers are sent so many bytes each tick, by a process that does nothing else."""
    sends: list[Sent] = []
    async with _bare_broadcast(size, TICK_MS / 1000, plan.form) as (address, pid):
        usage = Usage(pid)
        async with crews(replace(plan, address=address, keep_bytes=0)) as all_crews:
            await all_crews.all("listen")
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(_watch(sends, usage, all_crews))
                yield sends
                watching.cancel()


async def _watch(sends: list[Sent], usage: Usage, all_crews: Crews) -> None:
    while True:
        cpu_s, count = usage.read().cpu_s, await all_crews.count()
        sends.append(Sent(count.at_ns, count.frames, cpu_s))
        await asyncio.sleep(0.5)


@asynccontextmanager
async def _bare_broadcast(size: int, tick_s: float, form: Form) -> AsyncIterator[tuple[Address, int]]:
    """A process that sends a message of that size to all sockets each tick."""
    port = free_port()
    command = (sys.executable, "-m", "tests.bench.bare_broadcast", str(port), str(size), str(tick_s), form)
    process = await asyncio.create_subprocess_exec(*command)
    deadline = time.monotonic() + 30
    try:
        while True:
            try:
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)
        yield Address("127.0.0.1", port), process.pid
    finally:
        process.terminate()
        await process.wait()
