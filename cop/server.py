"""Running the service: its database, and uvicorn with the same options for `cop serve`, the demo and the tests."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import uvicorn
from sqlalchemy.ext.asyncio import AsyncConnection

from cop.embedded import Cluster
from cop.live.wire import MAX_CLIENT_BYTES
from cop.settings import Settings
from layers.database import Database, migrate
from layers.errors import Unavailable

Result = TypeVar("Result")

OPTIONS: dict[str, Any] = {
    "http": "cop.api.protocols:BoundedHttp",
    "ws": "cop.api.protocols:BoundedWebsocket",
    # Compression makes a broadcast several times dearer.
    "ws_per_message_deflate": False,
    "ws_max_size": MAX_CLIENT_BYTES,
    "timeout_graceful_shutdown": 5,
    "server_header": False,
}


@contextmanager
def database_at(settings: Settings) -> Iterator[str]:
    """The database's address: the one that is set, or the private cluster's, running while the block does."""
    if settings.database_url:
        yield settings.database_url
        return
    with Cluster.open(settings.data_dir) as cluster:
        yield cluster.url


def in_transaction(url: str, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
    """What *work* returns, done in one transaction on a database whose schema is brought up to date first."""

    async def run() -> Result:
        await migrate(url)
        database = Database(url, pool_size=1)
        try:
            async with database.begin() as connection:
                return await work(connection)
        finally:
            await database.dispose()

    return asyncio.run(run())


def check_port(settings: Settings) -> None:
    """Raise `Unavailable` if somebody listens where we are to; asked before a database is started for nothing."""
    try:
        with socket.create_server((settings.host, settings.port)):
            pass
    except OSError as error:
        detail = (
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. Set COP_PORT to another."
        )
        raise Unavailable(detail, code="port.taken") from error


def run_server(settings: Settings) -> None:
    """Run uvicorn until it is told to stop; each worker builds the app from the environment set here."""
    os.environ |= {
        "COP_DATABASE_URL": settings.database_url,
        "COP_HOST": settings.host,
        "COP_PORT": str(settings.port),
    }
    uvicorn.run(
        "cop.app:create",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_level=settings.log_level,
        # The address of a one-time ticket would stand in it.
        access_log=settings.log_level == "debug",
        **OPTIONS,
    )
