"""Under load something is killed, frozen, starved or wrong about the time; afterwards nothing is lost or shown wrongly.

Each test prints what the fault cost. `COP_FAULT_RATE=10000 pytest tests/faults -s` asks for the full load.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.faults.scene import BATCH, LAYER, RATE, scene, tell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
MEGABYTE = 1_000_000


async def test_kill_9_of_a_worker_loses_nothing(open_folder: Path) -> None:
    async with scene(open_folder, workers=2) as staged:
        staged.load()
        staged.watch()
        await staged.under_way()
        victim, rate = staged.busiest(), staged.rate()
        victim.kill()
        whole_s = await staged.recovered()
        two_again_s = await staged.until("two workers", lambda: len(staged.workers()) == 2)
        tell("kill -9 of a worker", rate=rate, whole_s=whole_s, two_s=two_again_s, **await staged.settle())
        assert whole_s < 15


async def test_a_worker_that_stands_still_is_replaced(open_folder: Path) -> None:
    async with scene(open_folder, workers=2) as staged:
        staged.publish(rate=BATCH)
        staged.watch()
        await staged.under_way()
        victim = staged.busiest()
        victim.suspend()
        whole_s = await staged.recovered(within_s=60)
        await staged.until("another", lambda: victim.pid not in {each.pid for each in staged.workers()}, 60)
        tell("frozen worker", whole_s=whole_s, **await staged.settle())


async def test_kill_9_of_postgres_loses_nothing_that_was_acknowledged(open_folder: Path) -> None:
    async with scene(open_folder) as staged:
        staged.load()
        staged.watch()
        await staged.under_way()
        postmaster, rate = staged.cluster.postmaster(), staged.rate()
        os.kill(postmaster.pid, signal.SIGKILL)
        whole_s = await staged.recovered()
        assert staged.cluster.postmaster().pid != postmaster.pid
        tell("kill -9 of Postgres", rate=rate, whole_s=whole_s, **await staged.settle())
        assert whole_s < 25


async def test_kill_9_of_a_worker_and_of_postgres_at_once_loses_nothing(open_folder: Path) -> None:
    async with scene(open_folder, workers=2) as staged:
        staged.load()
        staged.watch()
        await staged.under_way()
        rate = staged.rate()
        os.kill(staged.cluster.postmaster().pid, signal.SIGKILL)
        staged.busiest().kill()
        whole_s = await staged.recovered(within_s=45)
        await staged.until("two workers", lambda: len(staged.workers()) == 2)
        tell("kill -9 of Postgres and a worker", rate=rate, whole_s=whole_s, **await staged.settle())


async def test_kill_9_of_a_publisher_leaves_whole_batches(open_folder: Path) -> None:
    async with scene(open_folder) as staged:
        victim = staged.publish("gone", rate=RATE // 2)
        staged.publish("stays", rate=RATE // 2)
        staged.watch()
        await staged.under_way()
        victim.kill()
        whole_s = await staged.recovered()
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {staged.key}"}) as client:
            page = await client.get(f"{staged.url}/collections/{LAYER}/items?limit=10000")
        moments = [
            f["properties"]["observed_at"] for f in page.json()["features"] if f["id"].startswith("gone")
        ]
        assert {moments.count(moment) % BATCH for moment in moments} == {0}
        tell("kill -9 of a publisher", whole_s=whole_s, **await staged.settle())


async def test_a_viewer_that_was_frozen_catches_up_without_a_gap(open_folder: Path) -> None:
    async with scene(open_folder) as staged:
        staged.load()
        staged.watch(2)
        sleeper = staged.start("viewer", url=staged.url.replace("http", "ws", 1), viewers=2)
        staged.watchers.append(sleeper)
        await staged.under_way()
        os.kill(sleeper.pid, signal.SIGSTOP)
        staged.watchers.remove(sleeper)
        lags = []
        frozen_at = time.monotonic()
        while time.monotonic() - frozen_at < 6:
            lags.append(await staged.recovered(within_s=10))
        os.kill(sleeper.pid, signal.SIGCONT)
        staged.watchers.append(sleeper)
        whole_s = await staged.recovered()
        tell("frozen viewer", whole_s=whole_s, others_lag_s=max(lags), **await staged.settle())
        assert whole_s < 10


@pytest.mark.parametrize("clock_s", [-3600, 3600])
async def test_a_publisher_whose_clock_is_an_hour_off_disturbs_nobody(
    open_folder: Path, clock_s: int
) -> None:
    async with scene(open_folder) as staged:
        staged.publish("right")
        wrong = staged.publish("wrong", rate=BATCH, clock_s=clock_s)
        staged.watch(2)
        await staged.under_way()
        if clock_s > 0:  # It is refused with a sentence that names the clock.
            assert await asyncio.to_thread(wrong.process.wait, 20) != 0
            assert "time.future" in wrong.account.with_suffix(".log").read_text()
            assert wrong.account.read_text() == ""
        else:  # It is old, and says so; nothing that was newer is overwritten.
            await staged.until("the late feed", lambda: wrong.account.read_text().count("\n") > 2)
        tell(f"clock off by {clock_s} s", **await staged.settle())


@pytest.fixture
def small_disk(open_folder: Path) -> Iterator[Path]:
    """A file system of its own with room for little more than an empty cluster."""
    folder = open_folder / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400m,mode=0711", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_full_disk_stops_writing_and_nothing_else(open_folder: Path, small_disk: Path) -> None:
    async with scene(open_folder, data_dir=small_disk / "cop") as staged:
        staged.load()
        staged.watch()
        await staged.under_way()
        rate, filler = staged.rate(), small_disk / "filler"
        with filler.open("wb") as sink:
            while (room := shutil.disk_usage(small_disk).free) > MEGABYTE:
                sink.write(bytes(min(room - MEGABYTE // 2, 8 * MEGABYTE)))
                sink.flush()
        full_at = time.time()
        await staged.until("nothing acknowledged", lambda: staged.rate() == 0, 30)
        assert not any(viewer["wrong"] for viewer in await staged.reports())
        filler.unlink()
        whole_s = await staged.recovered(within_s=60)
        tell("full disk", rate=rate, full_s=time.time() - full_at, whole_s=whole_s, **await staged.settle())
        assert all(child.process.poll() in (None, 0) for child in staged.children)
        assert psutil.pid_exists(staged.service.pid)
