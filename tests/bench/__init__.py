"""The harness of `make bench`: what a figure is, how it is timed, and what a measurement is handed.

To add one, write `tests/bench/bench_SUBJECT.py` with functions named `bench_…` that yield figures. They may be plain
or async generators, and may take one argument, a `Bench`, for a fresh database:

    async def bench_publish(bench: Bench) -> AsyncIterator[Figure]:
        url = await bench.fresh_database()
        ...
        yield Figure("publish_batch_500", rate, "features/s", better="higher", target=15_000)

Seed the random numbers, warm up before timing, compare two ways in one run, and yield a ratio where there is one:
ratios hold on other machines. `python -m tests.bench ONLY` runs the modules and functions whose name contains ONLY;
without ONLY, those marked `@long` are left out.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

from cop.embedded.cluster import Cluster

Measure = TypeVar("Measure", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `ok` is worked out from the target, and None where there is none."""

    name: str
    value: float
    unit: str
    better: Literal["lower", "higher"]
    target: float | None = None

    @property
    def ok(self) -> bool | None:
        """Whether the target is met."""
        if self.target is None:
            return None
        return self.value <= self.target if self.better == "lower" else self.value >= self.target

    def line(self) -> str:
        """The figure as one line of JSON; the value keeps four significant digits."""
        return json.dumps(asdict(self) | {"value": float(f"{self.value:.4g}"), "ok": self.ok})


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that at least *percent* of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    if not ordered or not 0 < percent <= 100:
        raise ValueError("a percentile needs at least one value and 0 < percent ≤ 100")
    return ordered[ceil(len(ordered) * percent / 100) - 1]


def percentiles(
    name: str, values: Iterable[float], unit: str, *, targets: dict[int, float] | None = None
) -> list[Figure]:
    """p50, p95 and p99 of what is better when it is lower; *targets* by percent."""
    known = list(values)
    goals = targets or {}
    return [
        Figure(f"{name}_p{percent}", percentile(known, percent), unit, "lower", goals.get(percent))
        for percent in (50, 95, 99)
    ]


def timed(action: Callable[[], object], *, repeats: int = 20, warmups: int = 3) -> list[float]:
    """Milliseconds of each of *repeats* calls, after *warmups* that are not counted; no garbage collection between."""
    for _ in range(warmups):
        action()
    gc.collect()
    gc.disable()
    try:
        return [_milliseconds(action) for _ in range(repeats)]
    finally:
        gc.enable()


def _milliseconds(action: Callable[[], object]) -> float:
    begin = time.perf_counter_ns()
    action()
    return (time.perf_counter_ns() - begin) / 1e6


LONG: set[Callable[..., object]] = set()
"""Measurements that take a minute or more: they run only when they are asked for."""


def long(measure: Measure) -> Measure:
    """Mark a measurement as one that runs only when it is asked for."""
    LONG.add(measure)
    return measure


class Bench:
    """What a measurement is handed: databases on a private cluster with the product's own settings."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._cluster: Cluster | None = None
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def cluster(self) -> Cluster:
        """The cluster, started when it is first asked for."""
        if self._cluster is None:
            folder = self._open.enter_context(tempfile.TemporaryDirectory(prefix="cop-bench-"))
            Path(folder).chmod(0o711)
            self._cluster = self._open.enter_context(Cluster.open(Path(folder) / "cop"))
        return self._cluster

    async def fresh_database(self) -> str:
        """The address of a new migrated, empty database."""
        from layers.database import migrate

        self._count += 1
        url = await asyncio.to_thread(lambda: self.cluster.create_database(f"bench_{self._count}"))
        await migrate(url)
        return url

    def say(self, text: str) -> None:
        """Tell whoever waits what is going on; standard output is for figures."""
        print(text, file=sys.stderr, flush=True)
