"""Processor time and memory of a process and its children, read now and then while a load is on. Linux only."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cop.bench.plan import LoadFailed

EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading: seconds on the monotonic clock, processor seconds used so far, resident memory in MB."""

    at_s: float
    cpu_s: float
    rss_mb: float


class Usage:
    """A process, by its number, with all its descendants. Raises `LoadFailed` when there is none."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        if not Path(f"/proc/{pid}/stat").exists():
            raise LoadFailed(f"There is no process {pid} on this machine (or /proc does not tell).")

    def read(self) -> Sample:
        """A reading now; a process that has ended counts no more."""
        ticks, pages = 0, 0
        for pid in [self.pid, *_descendants(self.pid)]:
            with contextlib.suppress(OSError):
                fields = _stat(pid)
                ticks += int(fields[11]) + int(fields[12])
                pages += int(fields[21])
        return Sample(
            time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        )


def _stat(pid: int) -> list[str]:
    """What follows the name in /proc/PID/stat (proc(5)): the name may hold spaces and brackets itself."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *_descendants(child)]
    return found


@asynccontextmanager
async def sampled(usage: Usage | None) -> AsyncIterator[list[Sample]]:
    """A list that grows by a reading twice a second while the block runs."""
    samples: list[Sample] = []
    if usage is None:
        yield samples
        return

    async def read() -> None:
        while True:
            samples.append(usage.read())
            await asyncio.sleep(EVERY_S)

    task = asyncio.create_task(read())
    try:
        yield samples
    finally:
        task.cancel()
