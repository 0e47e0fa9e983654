"""Stopping and restarting `cop serve`: nobody loses anything, and those who reconnect notice nothing."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
import termios
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import text
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from cop.bench.publishing import request
from layers.database import Database
from layers.directory import add_layer
from tests.bench.service import free_port, served
from tests.faults.publisher import BATCH
from tests.faults.scene import LAYER, VIEWERS, scene, tell
from tests.live.conftest import feature

PROTOCOL = Subprotocol("cop.live.v1")


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_rolling_restart_under_load_loses_nothing_and_interrupts_nobody(open_folder: Path) -> None:
    async with scene(open_folder, workers=2) as staged:
        staged.load()
        staged.watch(VIEWERS + 2)
        rate, old = await staged.under_way(), {worker.pid for worker in staged.workers()}
        os.kill(staged.service.pid, signal.SIGHUP)

        def replaced() -> bool:
            now = {worker.pid for worker in staged.workers()}
            return len(now) == 2 and not now & old

        took_s = await staged.until("both workers replaced", replaced, 60)
        await staged.recovered()
        figures = await staged.settle()
        assert figures["resets"] == 0
        assert set(figures["connections ended"]) <= {"drained", "1012"}
        tell("rolling restart", rate=rate, took_s=took_s, **figures)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_worker_that_never_gets_ready_takes_nobodys_place(open_folder: Path) -> None:
    async with scene(open_folder, workers=2) as staged:
        staged.watch(2)
        staged.publish("u", rate=BATCH)
        await staged.under_way()
        old = {worker.pid for worker in staged.workers()}
        os.kill(staged.service.pid, signal.SIGHUP)
        await staged.until("a newcomer", lambda: len(staged.workers()) == 3)
        newcomer = next(worker for worker in staged.workers() if worker.pid not in old)
        newcomer.kill()
        await staged.until("two workers", lambda: len(staged.workers()) == 2)
        await staged.recovered()
        assert {worker.pid for worker in staged.workers()} == old
        await staged.settle()


async def _answered(
    http: httpx.AsyncClient, path: str, as_it_should: Callable[[httpx.Response], bool]
) -> httpx.Response:
    """The first such answer; of two workers one may hear of the signal a moment later, or have just begun."""
    async with asyncio.timeout(2):
        while True:
            async with http.stream("GET", path) as answer:
                if not answer.headers["Content-Type"].startswith("text/event-stream"):
                    await answer.aread()
                if as_it_should(answer):
                    return answer
            await asyncio.sleep(0.01)


async def _refused(address: str) -> InvalidStatus:
    """How a newcomer is refused, by whichever worker knows of the signal."""
    async with asyncio.timeout(2):
        while True:
            try:
                await (await connect(address, subprotocols=[PROTOCOL])).close()
            except InvalidStatus as refusal:
                return refusal


@pytest.mark.parametrize("workers", [1, 2])
async def test_sigterm_drains_refuses_newcomers_finishes_what_is_under_way_and_exits_with_zero(
    database_url: str, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setenv("COP_DRAIN_S", "3")
    async with (
        served(database_url, workers=workers) as service,
        httpx.AsyncClient(base_url=service.url) as http,
    ):
        address = f"ws://127.0.0.1:{service.port}/live"
        async with connect(address, subprotocols=[PROTOCOL]) as viewer:
            assert '"hello"' in str(await viewer.recv())
            began = time.monotonic()
            os.kill(service.pid, signal.SIGTERM)
            unready = await _answered(http, "/readyz", lambda answer: answer.json()["status"] == "draining")
            assert unready.status_code == 503
            refusal = (await _refused(address)).response
            assert (refusal.status_code, refusal.headers["Retry-After"]) == (503, "1")
            poll = await _answered(http, "/live/events", lambda answer: answer.status_code == 503)
            assert poll.headers["Retry-After"] == "1"
            await _answered(http, "/livez", lambda answer: answer.headers.get("Connection") == "close")
            said = []
            with suppress(ConnectionClosed):
                while True:
                    said.append(str(await viewer.recv()))
            assert any('"drain"' in message for message in said)
            assert viewer.close_code == 1012
        assert await service.ended() == 0
        assert 2.9 < time.monotonic() - began < 12


async def test_a_push_that_is_under_way_is_finished_and_acknowledged(
    db: Database, key: Callable[..., Awaitable[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COP_DRAIN_S", "0.3")
    secret = await key("cfd", "publish", host=True)
    async with db.begin() as connection:
        await add_layer(connection, LAYER, kind="units")
    body = json.dumps(feature("E1")).encode()
    async with served(db.url, workers=2) as service:
        reader, writer = await asyncio.open_connection(service.host, service.port)
        writer.write(request("POST", f"/collections/{LAYER}/items", secret, body)[:-20])
        os.kill(service.pid, signal.SIGTERM)
        with suppress(ConnectionRefusedError):
            while True:
                (await asyncio.open_connection(service.host, service.port))[1].close()
                await asyncio.sleep(0.05)
        writer.write(body[-20:])
        status = await reader.readline()
        assert status.split()[1] in (b"200", b"201"), status
        writer.close()
        assert await service.ended() == 0
    async with db.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM feature")) == 1


async def test_a_second_signal_ends_the_service_at_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COP_DRAIN_S", "60")
    async with (
        served(database_url, workers=2) as service,
        httpx.AsyncClient(base_url=service.url) as http,
        connect(f"ws://127.0.0.1:{service.port}/live", subprotocols=[PROTOCOL]),
    ):
        os.kill(service.pid, signal.SIGTERM)
        while (await http.get("/readyz")).status_code == 200:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        os.kill(service.pid, signal.SIGTERM)
        began = time.monotonic()
        assert await service.ended() == 0
        assert time.monotonic() - began < 8


async def test_ctrl_c_does_not_wait_when_nobody_is_there(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COP_DRAIN_S", "60")
    async with served(database_url) as service:
        began = time.monotonic()
        os.kill(service.pid, signal.SIGINT)
        assert await service.ended() == 0
        assert time.monotonic() - began < 8


async def test_workers_do_not_outlive_a_supervisor_that_was_killed(database_url: str) -> None:
    async with served(database_url, workers=2) as service:
        workers = psutil.Process(service.pid).children(recursive=True)
        os.kill(service.pid, signal.SIGKILL)
        _, alive = await asyncio.to_thread(psutil.wait_procs, workers, timeout=10)
        assert alive == []


async def test_a_terminal_that_is_closed_ends_the_service_and_restarts_nothing(database_url: str) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "cop", "serve", "--port", str(free_port()), "--workers", "2"]
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | {"COP_DATABASE_URL": database_url, "COP_DRAIN_S": "0"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    said = b""
    while b"Application startup complete" not in said:
        said += await asyncio.to_thread(os.read, ours, 4_096)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.close(ours)
    async with asyncio.timeout(30):
        await process.wait()
    _, alive = await asyncio.to_thread(psutil.wait_procs, workers, timeout=10)
    assert alive == []
