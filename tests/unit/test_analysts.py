"""Work in other processes: what is refused, what is given up, and that the loop runs on meanwhile."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator

import pytest

from cop.analysts import Analysts
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


def coded(code: str) -> pytest.RaisesExc[Unavailable]:
    return pytest.raises(Unavailable, check=lambda error: error.code == code)


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


async def test_the_loop_runs_on_while_work_is_done(analysts: Analysts) -> None:
    await analysts.run(busy_for, 0.0)
    working = asyncio.create_task(analysts.run(busy_for, 0.3))
    ticks = 0
    while not working.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 10
    assert await analysts.run(os.getpid) != os.getpid()
