"""What a frame costs the service, beside a bare send of as many bytes to as many sockets as often.

What is read, encoded and judged once for all viewers is not fan-out: a few viewers with views of every size cost
that too, and are taken off; what is left is what the frames of each further viewer cost. It is the small difference of
two large numbers, so the further viewers are many, and it is measured twice. The bare sends go out while the few watch:
then the machine is as busy, and its caches are as full of other things, as when the many do. Both forms of the
protocol are measured, each beside a bare send of its own kind.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from statistics import mean
from typing import NamedTuple

from cop.bench.crew import Crews, crews
from cop.bench.plan import Address, Form, Plan
from cop.bench.usage import Usage
from tests.bench import Bench, Figure
from tests.bench.live_scene import Scene, scene
from tests.bench.service import free_port

FEW, MANY = 24, 1_000
"""The first 24 look at the map in every size that the thousand do; the first eight do not."""
ROUNDS = 2
UNITS = {"": 1_000, "_large": 10_000}
"""Small frames, of which most is what surrounds them, and large ones."""
FEWER = {("json", "_large"): 400}
"""80 kB of text a frame to a thousand viewers is more than two cores carry."""


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
    costs = [await _costs(bench, served, plan) for _ in range(ROUNDS)]
    frame_us, bare_us = (mean(each[kind] for each in costs) for kind in ("frame_us", "bare_us"))
    yield Figure(f"{name}_bytes", mean(each["bytes"] for each in costs), "B", "lower")
    yield Figure(f"{name}_frames_a_viewer", mean(each["rate"] for each in costs), "1/s", "higher")
    yield Figure(f"{name}_cpu", frame_us, "µs", "lower")
    yield Figure(f"{name}_bare_send_cpu", bare_us, "µs", "lower")
    yield Figure(f"{name}_of_bare_send", frame_us / bare_us, "ratio", "lower", 2.0)


async def _costs(bench: Bench, served: Scene, plan: Plan) -> dict[str, float]:
    """Of a frame and of a bare send, in microseconds of processor time; and how large and how frequent frames are."""
    many = await served.outcome(bench, plan)
    size, rate = many.counted.size // many.counted.frames, many.counted.frames / many.seconds / plan.viewers
    async with _bare_sends(plan, size, 1 / rate) as sends:
        few = await served.outcome(bench, replace(plan, viewers=FEW))
    within = [sent for sent in sends if few.from_ns <= sent.at_ns <= few.to_ns]
    frames = (many.counted.frames / many.seconds) - FEW * rate
    return {
        "bytes": size,
        "rate": rate,
        "frame_us": (many.cores - few.cores) / frames * 1e6,
        "bare_us": (within[-1].cpu_s - within[0].cpu_s) / (within[-1].frames - within[0].frames) * 1e6,
    }


class Sent(NamedTuple):
    """How many bare sends have arrived by then, and what they cost their sender."""

    at_ns: int
    frames: int
    cpu_s: float


@asynccontextmanager
async def _bare_sends(plan: Plan, size: int, tick_s: float) -> AsyncIterator[list[Sent]]:
    """As many viewers as the plan's are sent so many bytes each tick meanwhile, by a process that does nothing else."""
    sends: list[Sent] = []
    async with _bare_broadcast(size, tick_s, plan.form) as (address, pid):
        usage = Usage(pid)
        async with crews(replace(plan, address=address)) as all_crews:
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
