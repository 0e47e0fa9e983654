"""`cop bench live` against the real service: a short load is whole, and what cannot be loaded is said."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from cop.bench.plan import Address, Form, LoadFailed, Plan
from cop.bench.run import run
from cop.bench.usage import Usage
from cop.bench.viewer import Recording, Shelf, connect
from cop.cli import app
from layers import directory
from layers.database import Database
from layers.model import Status
from tests.conftest import Serving

LAYER = "cfd.load"
Keys = Callable[..., Awaitable[str]]


@pytest.fixture
async def plan(server: Serving, db: Database, key: Keys) -> Plan:
    """A small load on a layer for tests, with all that the help says a key needs."""
    secret = await key("cfd", "publish")
    async with db.begin() as connection:
        await directory.add_layer(connection, LAYER, kind="units", status=Status.TEST)
    return Plan(Address.of(server.url), secret, LAYER, viewers=50, units=200, seconds=3.0, warm_s=1.0)


def words(plan: Plan, *options: str) -> list[str]:
    url = f"http://{plan.address.host}:{plan.address.port}"
    return ["bench", "live", "--url", url, "--key", plan.key, "--layer", plan.layer, *options]


def test_the_help_asks_for_no_more_than_a_load_needs() -> None:
    helped = CliRunner().invoke(app, ["bench", "live", "--help"], env={"COLUMNS": "400"}).output
    assert "A key with the scope publish, of the agency whose layer it is" in helped


@pytest.mark.parametrize("form", ["json", "bin"])
async def test_nothing_is_lost_in_a_short_load(plan: Plan, form: Form) -> None:
    outcome = await run(replace(plan, form=form, processes=2), usage=Usage(os.getpid()))
    assert outcome.whole, (outcome.verdict, outcome.ends)
    assert outcome.verdict.checked == 50
    assert outcome.published >= 3 * 200 * 0.8
    assert len(outcome.verdict.lags) > 1_000
    assert 0 < outcome.verdict.lags.percentile(50) < 5_000
    assert outcome.cores > 0


async def test_viewers_that_come_back_miss_nothing(plan: Plan) -> None:
    outcome = await run(replace(plan, seconds=1.0, away_s=1.0))
    assert outcome.whole, (outcome.verdict, outcome.ends)
    assert outcome.returned_with_cursor == len(outcome.return_s) == 50


async def test_viewer_that_may_not_come_in_is_told_why(plan: Plan) -> None:
    with pytest.raises(LoadFailed, match="401"):
        await run(replace(plan, key="cop_view_nobodys"))


async def test_why_a_viewer_may_not_come_in_is_read_to_its_end() -> None:
    told = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in (
            b"HTTP/1.1 503 Service Unavailable\r\nContent-",
            b"Length: 12\r\n\r\nall ",
            b"are here",
        ):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)  # So that the next comes in a reading of its own.
        writer.close()
        await writer.wait_closed()
        told.set()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        recording = Recording({})
        with pytest.raises(LoadFailed, match=r"503.*all are here"):
            await connect(Shelf([recording], 1_000), recording, Address(host, port), "json", None)
        await told.wait()


async def test_nobody_is_loaded_who_serves_real_units(plan: Plan, db: Database) -> None:
    async with db.begin() as connection:
        await directory.add_layer(connection, "cfd.units", kind="units")
    refused = await asyncio.to_thread(CliRunner().invoke, app, words(replace(plan, layer="cfd.units")))
    assert refused.exit_code == 2
    assert "is an actual layer" in refused.stderr


async def test_service_that_is_not_there_is_named(plan: Plan) -> None:
    nowhere = replace(plan, address=Address("127.0.0.1", 1))
    refused = await asyncio.to_thread(CliRunner().invoke, app, words(nowhere))
    assert refused.exit_code == 2
    assert "does not answer" in refused.stderr
