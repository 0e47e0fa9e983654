"""Under load something is killed, frozen, starved or wrong about the time; afterwards nothing is lost or shown wrongly.

Each test prints what the fault cost and how long it took until every viewer was whole again.
`COP_FAULT_RATE=10000 pytest tests/faults -s` asks for the full load.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import psutil
import pytest

from cop.live.session import SEND_DEADLINE_MS
from cop.workers import HUNG_S
from tests.faults.publisher import BATCH, Batch
from tests.faults.scene import LAYER, now_ms, scene, tell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
MEGABYTE = 1_000_000
BULKS = 8
"""Batches of one MB: more than the system keeps for those who do not read."""


async def test_kill_9_of_a_worker_loses_nothing(open_folder: Path) -> None:
    async with scene(open_folder, workers=2) as staged:
        staged.load()
        staged.watch()
        rate = await staged.under_way()
        staged.busiest().kill()
        whole_s = await staged.recovered()
        two_again_s = await staged.until("two workers", lambda: len(staged.workers()) == 2)
        tell("kill -9 of a worker", rate=rate, whole_s=whole_s, two_s=two_again_s, **await staged.settle())
        assert whole_s < 15


async def test_a_worker_that_stands_still_is_replaced(open_folder: Path) -> None:
    async with scene(open_folder, workers=2) as staged:
        staged.load()
        staged.watch()
        rate = await staged.under_way()
        victim = staged.busiest()
        victim.suspend()
        whole_s = await staged.recovered(within_s=60)
        await staged.until("another", lambda: victim.pid not in {each.pid for each in staged.workers()})
        tell("frozen worker", rate=rate, whole_s=whole_s, **await staged.settle())
        assert whole_s < HUNG_S + 20


async def test_kill_9_of_postgres_loses_nothing_that_was_acknowledged(open_folder: Path) -> None:
    async with scene(open_folder) as staged:
        staged.load()
        staged.watch()
        rate = await staged.under_way()
        postmaster = staged.cluster.postmaster()
        os.kill(postmaster.pid, signal.SIGKILL)
        whole_s = await staged.recovered()
        assert staged.cluster.postmaster().pid != postmaster.pid
        tell("kill -9 of Postgres", rate=rate, whole_s=whole_s, **await staged.settle())
        assert whole_s < 20


async def test_kill_9_of_a_worker_and_of_postgres_at_once_loses_nothing(open_folder: Path) -> None:
    async with scene(open_folder, workers=2) as staged:
        staged.load()
        staged.watch()
        rate = await staged.under_way()
        os.kill(staged.cluster.postmaster().pid, signal.SIGKILL)
        staged.busiest().kill()
        whole_s = await staged.recovered(within_s=45)
        await staged.until("two workers", lambda: len(staged.workers()) == 2)
        tell("kill -9 of Postgres and a worker", rate=rate, whole_s=whole_s, **await staged.settle())
        assert whole_s < 25


async def test_a_publisher_that_is_killed_leaves_whole_batches_and_whoever_repeats_one_counts_once(
    open_folder: Path,
) -> None:
    async with scene(open_folder) as staged:
        victim, *_ = staged.load()
        staged.watch()
        rate = await staged.under_way()
        victim.kill()
        begun = [Batch(f"begun{number}-", now_ms()) for number in range(3)]
        sent = [Batch(f"sent{number}-", now_ms()) for number in range(3)]
        for batch in begun:
            await staged.abandon(batch, key=batch.prefix, share=0.5)
        for batch in sent:
            await staged.abandon(batch, key=batch.prefix, share=1)
        whole_s = await staged.recovered()
        held = await staged.items()
        moments = Counter(observed_ms for id, observed_ms in held.items() if id.startswith("a"))
        assert {count % BATCH for count in moments.values()} == {0}
        assert not {id for batch in begun for id in batch.ids} & held.keys()
        assert {len(held.keys() & batch.ids) for batch in sent} <= {0, BATCH}
        for batch in (*begun, *sent):
            await staged.push(batch, key=batch.prefix)
        tell("kill -9 of a publisher", rate=rate, whole_s=whole_s, **await staged.settle())
        assert whole_s < 10


async def test_a_viewer_that_was_frozen_catches_up_and_one_that_was_cut_off_resumes(
    open_folder: Path,
) -> None:
    async with scene(open_folder) as staged:
        staged.load()
        staged.watch(2)
        sleepers = [napping, sleeping] = [staged.watch(1), staged.watch(2)]
        rate = await staged.under_way()
        before = [await staged.recovered() for _ in range(10)]
        for sleeper in sleepers:
            staged.watchers.remove(sleeper)
            os.kill(sleeper.pid, signal.SIGSTOP)
        frozen_at, lags = time.monotonic(), []
        for number in range(BULKS):
            await staged.push(Batch(f"bulk{number}-", now_ms()), note="x" * 2_000)
            lags.append(await staged.recovered())
        staged.watchers.append(napping)
        os.kill(napping.pid, signal.SIGCONT)
        nap_s, awake_s = time.monotonic() - frozen_at, await staged.recovered()
        assert staged.connections(sleeping) == 2
        while staged.connections(sleeping):
            lags.append(await staged.recovered())
            assert time.monotonic() - frozen_at < SEND_DEADLINE_MS / 1000 + 20
        cut_s = time.monotonic() - frozen_at
        staged.watchers.append(sleeping)
        os.kill(sleeping.pid, signal.SIGCONT)
        whole_s = await staged.recovered()
        times = {"nap_s": nap_s, "awake_s": awake_s, "cut_s": cut_s, "whole_s": whole_s}
        others = {"others_lag_s": max(lags), "others_lag_before_s": max(before)}
        tell("frozen viewers", rate=rate, **times, **others, **(await staged.settle()))
        assert median(lags) < median(before) + 0.5
        assert max(lags) < max(before) + 5
        assert max(awake_s, whole_s) < 15


async def test_publishers_whose_clocks_are_an_hour_off_disturb_nobody(open_folder: Path) -> None:
    async with scene(open_folder) as staged:
        staged.load()
        staged.watch()
        rate = await staged.under_way()
        slow = staged.publish("slow", rate=BATCH, clock_s=-3600)
        fast = staged.publish("fast", rate=BATCH, clock_s=3600)
        # The one is refused with a sentence that names the clock.
        assert await asyncio.to_thread(fast.process.wait, 20) != 0
        assert "time.future" in fast.account.with_suffix(".log").read_text()
        assert fast.account.read_text() == ""
        # What the other says is old, and says so; nothing that was newer is overwritten.
        await staged.until("the late feed", lambda: slow.account.read_text().count("\n") > 2)
        whole_s = await staged.recovered()
        tell("clocks off by an hour", rate=rate, whole_s=whole_s, **await staged.settle())
        assert whole_s < 10


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
        rate, filler = await staged.under_way(), small_disk / "filler"
        with filler.open("wb") as sink:
            while (room := shutil.disk_usage(small_disk).free) > MEGABYTE:
                sink.write(bytes(min(room - MEGABYTE // 2, 8 * MEGABYTE)))
                sink.flush()
        full_at = time.monotonic()
        await staged.until("nothing acknowledged", lambda: staged.rate() == 0)
        staged.watch(1)  # A newcomer.
        async with staged.http() as client:
            assert (await client.get(f"/collections/{LAYER}/items")).status_code == 200
            body = {"type": "FeatureCollection", "features": Batch("refused", now_ms()).features()}
            refused = await client.post(f"/collections/{LAYER}/items", json=body)
        assert (refused.status_code, refused.json()["code"]) == (503, "database.unavailable")
        await staged.same_picture()
        full_s = time.monotonic() - full_at
        filler.unlink()
        whole_s = await staged.recovered(within_s=60)
        assert "refused0" not in await staged.items()
        tell("full disk", rate=rate, full_s=full_s, whole_s=whole_s, **await staged.settle())
        assert whole_s < 30
        assert all(child.process.poll() in (None, 0) for child in staged.children)
        assert psutil.pid_exists(staged.service.pid)
