"""Work in other processes: what is refused, what is given up, and that the loop runs on meanwhile."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable

import psutil
import pytest

from cop.analysts import Analysts, report
from layers.errors import Invalid, Unavailable


@pytest.fixture
async def analysts() -> AsyncIterator[Analysts]:
    made = Analysts(processes=1, max_waiting=2, deadline_s=1.0)
    yield made
    made.close()


def busy_for(seconds: float) -> str:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(1000))
    return "done"


def refuse() -> None:
    raise Invalid("no", pointer="/area", code="coverage.area")


def die() -> None:
    os._exit(3)


def ends(pid: int) -> bool:
    """Whether the process is gone, or goes within ten seconds; one that nobody has buried counts as gone."""
    try:
        process = psutil.Process(pid)
        process.wait(10)
    except psutil.TimeoutExpired:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        pass
    return True


def coded(code: str) -> pytest.RaisesExc[Unavailable]:
    return pytest.raises(Unavailable, check=lambda error: error.code == code)


async def test_nobody_takes_more_than_half_of_the_line(analysts: Analysts) -> None:
    async with analysts.turn("cfd"):
        with coded("coverage.busy"):
            async with analysts.turn("cfd"):
                pytest.fail("taken")
        async with analysts.turn("ems"):
            pass
    async with analysts.turn("cfd"):
        pass


async def test_a_full_line_is_refused_at_once(analysts: Analysts) -> None:
    async with analysts.turn(), analysts.turn():
        with coded("coverage.busy"):
            async with analysts.turn():
                pass
    async with analysts.turn():
        pass


async def test_a_turn_is_given_back_after_a_failure(analysts: Analysts) -> None:
    for _ in range(5):
        with pytest.raises(Invalid):
            async with analysts.turn():
                await analysts.run(refuse)


async def test_what_the_work_refuses_arrives_whole(analysts: Analysts) -> None:
    with pytest.raises(Invalid) as caught:
        await analysts.run(refuse)
    assert (caught.value.code, caught.value.pointer, caught.value.detail) == ("coverage.area", "/area", "no")


async def test_work_beyond_the_deadline_is_given_up_and_the_process_is_free_again(analysts: Analysts) -> None:
    with coded("coverage.deadline"):
        await analysts.run(busy_for, 60.0)
    assert await analysts.run(busy_for, 0.0) == "done"


async def test_a_process_that_dies_is_replaced(analysts: Analysts) -> None:
    with coded("coverage.broken"):
        await analysts.run(die)
    assert await analysts.run(busy_for, 0.0) == "done"


async def test_all_who_wait_hear_of_a_death_and_the_next_pool_lives(analysts: Analysts) -> None:
    asked = [asyncio.create_task(analysts.run(work)) for work in (die, os.getpid, os.getpid)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [getattr(answer, "code", None) for answer in answers] == ["coverage.broken"] * 3
    assert await analysts.run(busy_for, 0.0) == "done"


async def test_closing_ends_what_is_under_way(analysts: Analysts) -> None:
    pid = await analysts.run(os.getpid)
    working = asyncio.create_task(analysts.run(busy_for, 0.9))
    await asyncio.sleep(0)
    analysts.close()
    with coded("coverage.broken"):
        await working
    assert await asyncio.to_thread(ends, pid)


def test_processes_end_with_a_parent_that_is_killed() -> None:
    code = (
        "import asyncio, os, signal\n"
        "from cop.analysts import Analysts\n"
        "if __name__ == '__main__':\n"
        "    print(asyncio.run(Analysts(processes=1).run(os.getpid)), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ends(int(ended.stdout))


async def test_the_loop_runs_on_while_work_is_done(analysts: Analysts) -> None:
    await analysts.run(busy_for, 0.0)
    working = asyncio.create_task(analysts.run(busy_for, 0.3))
    ticks = 0
    while not working.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 10
    assert await analysts.run(os.getpid) != os.getpid()


def halfway() -> float:
    report(0.5)
    report(0.2)
    time.sleep(60)
    return 0.0


def deep() -> None:
    """Work that hears no signal, as in a library that does not come back."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    report(0.1)
    ctypes.PyDLL(None).sleep(60)


async def until(said: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not said():  # noqa: ASYNC110 - another process rings no bell
            await asyncio.sleep(0.01)


async def test_what_work_reports_is_seen_outside_and_only_goes_onward(analysts: Analysts) -> None:
    report(1.0)  # which is nothing here
    working = asyncio.create_task(analysts.run(halfway))
    await until(lambda: analysts.progress > 0)
    assert analysts.progress == 0.5
    with coded("coverage.deadline"):
        await working
    assert analysts.progress == 0.0


async def test_work_that_is_deep_in_a_library_is_killed(analysts: Analysts) -> None:
    pid = await analysts.run(os.getpid)
    working = asyncio.create_task(analysts.run(deep))
    await until(lambda: analysts.progress > 0)
    analysts.kill()
    with coded("coverage.broken"):
        await working
    assert await asyncio.to_thread(ends, pid)
    assert await analysts.run(busy_for, 0.0) == "done"
